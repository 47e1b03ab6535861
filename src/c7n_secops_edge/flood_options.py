"""What a flood is: the options of ``http-flood``, from the policy's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from c7n_secops_edge.addresses import Grouping

DISTINCT = "uri-scan"
"""The metric that counts different paths; the others count requests."""


@dataclass(frozen=True)
class Paths:
    """Paths by how they begin, end, or what matches them anywhere."""

    prefix: tuple[bytes, ...] = ()
    suffix: tuple[bytes, ...] = ()
    regex: tuple[re.Pattern[bytes], ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Paths:
        return cls(
            tuple(text.encode() for text in data.get("prefix", ())),
            tuple(text.encode() for text in data.get("suffix", ())),
            tuple(re.compile(text.encode()) for text in data.get("regex", ())),
        )

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix or self.regex)

    def match(self, uri: bytes) -> bool:
        return (
            uri.startswith(self.prefix)
            or uri.endswith(self.suffix)
            or any(pattern.search(uri) for pattern in self.regex)
        )


@dataclass(frozen=True)
class Rule:
    """More than ``threshold`` is too much, or just as much, in ``window`` minutes in a row."""

    name: str
    metric: str
    threshold: int
    window: int
    statuses: frozenset[bytes] = frozenset()
    uris: Paths = Paths()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Rule:
        return cls(
            data["name"],
            data["metric"],
            data["threshold"],
            data["window"],
            frozenset(str(status).encode() for status in data.get("statuses", ())),
            Paths.of(data.get("uris", {})),
        )

    @property
    def distinct(self) -> bool:
        return self.metric == DISTINCT


@dataclass(frozen=True)
class Widening:
    """IPv4 clients that are judged together: at least ``min_hosts`` of one network."""

    bits: int
    min_hosts: int


@dataclass(frozen=True)
class Options:
    """All that an analysis needs to know; ``of`` makes it from a filter's data."""

    rules: tuple[Rule, ...]
    grouping: Grouping = field(default_factory=Grouping)
    widening: Widening | None = None
    ignore: Paths = Paths()
    trusted: tuple[str, ...] | None = None
    """Trusted proxies; None where the client is the peer, and X-Forwarded-For is not read."""
    samples: int = 3

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Options:
        widen, client = data.get("widen"), data.get("client-ip", {})
        forwarded = client.get("field") == "x-forwarded-for"
        return cls(
            rules=tuple(Rule.of(each) for each in data["rules"]),
            grouping=Grouping(**data.get("group-by", {})),
            widening=Widening(widen["ipv4"], widen["min-hosts"]) if widen else None,
            ignore=Paths.of(data.get("uri-ignore", {})),
            trusted=tuple(client["trusted-proxies"]) if forwarded else None,
            samples=data.get("samples", 3),
        )

    def needed(self) -> set[str]:
        """The columns of a log that these options ask for."""
        found = {"minute", "address"}
        if any(rule.metric == "errors" for rule in self.rules):
            found.add("status")
        if self.ignore or any(rule.distinct for rule in self.rules):
            found.add("uri")
        if self.trusted is not None:
            found.add("forwarded")
        return found
