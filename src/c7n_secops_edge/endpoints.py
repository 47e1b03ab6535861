"""Where DNS records lead, and which of those places a distribution has as its origin.

A place is a host name, ``ip:`` and an address, or ``bucket:`` and the name of an S3 bucket.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from c7n_secops_edge.distributions import host

BUCKET = re.compile(r"(.+)\.s3(?:-website)?(?:[.-](?:dualstack\.)?[a-z]{2}(?:-[a-z]+)+-\d)?\.")
WEBSITE = re.compile(r"s3-website[.-][a-z]{2}(?:-[a-z]+)+-\d\.amazonaws\.com")
INSTANCE = re.compile(r"ec2-(\d+)-(\d+)-(\d+)-(\d+)\..*compute.*\.amazonaws\.com")

Record = dict[str, Any]


def place(name: str) -> str:
    """The place that a host name leads to."""
    name = host(name)
    if name.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        if bucket := BUCKET.match(name):
            return f"bucket:{bucket[1]}"
        if instance := INSTANCE.fullmatch(name):
            return f"ip:{'.'.join(instance.groups())}"
    return name


def targets(record: Record) -> Iterator[str]:
    """The places that a record leads to. A website's alias does not name its bucket, which is
    called as the record is."""
    if alias := record.get("AliasTarget"):
        name = host(alias["DNSName"])
        yield f"bucket:{host(record['Name'])}" if WEBSITE.fullmatch(name) else place(name)
    elif record["Type"] in ("A", "AAAA"):
        yield from (f"ip:{value['Value']}" for value in record.get("ResourceRecords", ()))
    elif record["Type"] == "CNAME":
        yield from (place(value["Value"]) for value in record.get("ResourceRecords", ()))


class Origins:
    """The places that distributions have as origins, those behind a record of the origin's name
    included; ``names`` are the origins' own host names."""

    def __init__(self, distributions: Iterable[dict[str, Any]], records: Iterable[Record]):
        self._of: dict[str, set[str]] = defaultdict(set)
        self.names: set[str] = set()
        self._records: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._records[host(record["Name"])].append(record)
        for distribution in distributions:
            for origin in distribution["Origins"]["Items"]:
                self.names.add(host(origin["DomainName"]))
                self.add(place(origin["DomainName"]), distribution["Id"])

    def add(self, where: str, distribution: str) -> None:
        """Let a place, and those that records of its name lead to, be this distribution's."""
        for each in self.follow([where]):
            self._of[each].add(distribution)

    def follow(self, places: Iterable[str]) -> set[str]:
        """These places, and all that records of their names lead to."""
        found: set[str] = set()
        waiting = list(places)
        while waiting:
            where = waiting.pop()
            if where not in found:
                found.add(where)
                for record in self._records.get(where, ()):
                    waiting.extend(targets(record))
        return found

    def behind(self, where: str) -> list[str]:
        """The ids of the distributions that have this place as an origin."""
        return sorted(self._of.get(where, ()))
