"""Network ACLs: entries that deny an address, with their expiry in the tags of the network ACL.

AWS gives network ACLs no lock token. What stands in for one: an entry is created under a number
that nobody uses, and AWS refuses a number that is taken; the tag ``c7n-secops:block:<number>`` says
until when, and is written before its entry, so that no entry is without one. An entry whose time is
nearly over is not prolonged but joined by a new one, and a number whose tag is there is not free.
So a sweep that looked a moment ago takes nothing away that somebody has blocked since.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from c7n_secops.aws import calls
from c7n_secops_edge.networks import MalformedError, Network, parse

TAG = "c7n-secops:block:"
TIME = "%Y-%m-%dT%H:%M:%SZ"
FIRST, LAST = 1, 99
"""The rule numbers that are ours; a lower number is asked first."""
HIGHEST = 32766
NEARLY_OVER = timedelta(minutes=15)
TAKEN = "NetworkAclEntryAlreadyExists"


class Entry(NamedTuple):
    """One of our entries and when it expires."""

    number: int
    network: Network
    expires: datetime


@dataclass
class NetworkAcl:
    """A network ACL as AWS described it, and the rule numbers in it that are ours."""

    client: Any
    row: dict[str, Any]
    first: int = FIRST
    last: int = LAST

    @property
    def id(self) -> str:
        return str(self.row["NetworkAclId"])

    @property
    def tags(self) -> dict[int, datetime]:
        """Until when each number of ours is blocked; tags of another form are not ours."""
        found = {}
        for tag in self.row.get("Tags", ()):
            number = tag["Key"].removeprefix(TAG)
            if tag["Key"].startswith(TAG) and number.isdecimal():
                with suppress(ValueError):
                    moment = datetime.strptime(tag["Value"], TIME).replace(tzinfo=timezone.utc)
                    found[int(number)] = moment
        return found

    @property
    def used(self) -> set[int]:
        """Numbers that an entry for incoming traffic has."""
        return {int(e["RuleNumber"]) for e in self.row["Entries"] if not e["Egress"]}

    def entries(self) -> Iterator[Entry]:
        """What we deny: entries in our range with a tag."""
        tags = self.tags
        for entry in self.row["Entries"]:
            number = int(entry["RuleNumber"])
            is_ours = number in tags and self.first <= number <= self.last
            if is_ours and not entry["Egress"] and entry["RuleAction"] == "deny":
                with suppress(MalformedError):
                    block = entry.get("CidrBlock") or entry.get("Ipv6CidrBlock")
                    yield Entry(number, parse(block), tags[number])

    def deny(self, network: Network, expires: datetime, now: datetime) -> str:
        """Deny a network until then; ``blocked``, ``prolonged`` or ``present``.

        Raises what AWS refuses with: NetworkAclEntryLimitExceeded where there is no room.
        """
        for entry in self.entries():
            if entry.network == network and entry.expires - now > NEARLY_OVER:
                if entry.expires >= expires:
                    return "present"
                self._mark(entry.number, expires)
                return "prolonged"
        key = "CidrBlock" if network.version == 4 else "Ipv6CidrBlock"
        for number in self._free():
            self._mark(number, expires)
            try:
                self.client.create_network_acl_entry(
                    NetworkAclId=self.id,
                    RuleNumber=number,
                    Protocol="-1",
                    RuleAction="deny",
                    Egress=False,
                    **{key: str(network)},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == TAKEN:
                    continue
                self._unmark(number, expires)
                raise
            entry_row = {"RuleNumber": number, "Egress": False, "RuleAction": "deny"}
            self.row["Entries"].append({**entry_row, key: str(network)})
            self.row.setdefault("Tags", []).append(_tag(number, expires))
            return "blocked"
        raise NoNumberError(f"no rule number from {self.first} to {self.last} is free in {self.id}")

    def _free(self) -> list[int]:
        """Numbers to try, drawn: two that block at once, and a sweep, rarely choose the same."""
        taken = self.used | set(self.tags)
        free = [number for number in range(self.first, self.last + 1) if number not in taken]
        random.shuffle(free)
        return free

    def sweep(self, now: datetime) -> list[str]:
        """Take away the entries whose time is over, and their tags; returns their networks."""
        gone = {entry.number: str(entry.network) for entry in self.entries()}
        over = {number: until for number, until in self.tags.items() if until <= now}
        for number, until in over.items():
            if number in gone:
                try:
                    self.client.delete_network_acl_entry(
                        NetworkAclId=self.id, RuleNumber=number, Egress=False
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "InvalidNetworkAclEntry.NotFound":
                        raise
            self._unmark(number, until)
        return [gone[number] for number in over if number in gone]

    def has_expired(self, now: datetime) -> bool:
        return any(until <= now for until in self.tags.values())

    def _mark(self, number: int, expires: datetime) -> None:
        self.client.create_tags(Resources=[self.id], Tags=[_tag(number, expires)])

    def _unmark(self, number: int, expires: datetime) -> None:
        """Delete a tag, where it still has this value."""
        self.client.delete_tags(Resources=[self.id], Tags=[_tag(number, expires)])


class NoNumberError(Exception):
    """All rule numbers that are ours are in use."""


def _tag(number: int, expires: datetime) -> dict[str, str]:
    return {"Key": f"{TAG}{number}", "Value": f"{expires.astimezone(timezone.utc):{TIME}}"}


def of_subnets(
    client: Any, subnets: Sequence[str], first: int = FIRST, last: int = LAST
) -> list[NetworkAcl]:
    """The network ACLs of subnets; raises RefusedError."""
    wanted = [{"Name": "association.subnet-id", "Values": sorted(set(subnets))}]
    pages = calls.pages(client, "describe_network_acls", "NetworkAcls", 1000, Filters=wanted)
    return [NetworkAcl(client, row, first, last) for page in pages for row in page]


def by_id(client: Any, ids: Sequence[str]) -> list[NetworkAcl]:
    """These network ACLs as they are now; raises RefusedError."""
    wanted = [{"Name": "network-acl-id", "Values": list(ids)}]
    pages = calls.pages(client, "describe_network_acls", "NetworkAcls", 1000, Filters=wanted)
    return [NetworkAcl(client, row, 1, HIGHEST) for page in pages for row in page]
