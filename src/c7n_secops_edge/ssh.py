"""Logons that sshd reports: who came in, from where."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from c7n_secops_edge.addresses import packed

PATTERN = "sshd Accepted from port"
"""What an event must hold to be read at all."""
SHOWN = 50

HEAD = re.compile(
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.+Z-]{8,22}) "
    r"[\w.:-]{1,255} sshd(?:-session)?\[\d{1,10}\]: Accepted ",
    re.ASCII,
)
"""What stands before: the time, the host and the program, which no remote client can write."""
LOGON = re.compile(
    r"([\w/-]{1,64}) for ([^\s:]{1,64}) from (\S{1,64}) port \d{1,5}(?: ssh2)?(?:: .*)?",
    re.ASCII,
)


class Logon(NamedTuple):
    """One logon; ``address`` is None where sshd wrote none."""

    method: str
    user: str
    address: str | None


def logon(line: str) -> Logon | bool:
    """The logon that a line reports; False where it reports none, True where it is not clear.

    Lines are hostile. Other programs log what their clients send, so only what sshd itself begins
    a line with is believed.
    """
    head = HEAD.match(line)
    if head is None:
        return False
    rest = LOGON.fullmatch(line.rstrip(), head.end())
    if rest is None:
        return True
    method, user, address = rest.groups()
    raw = packed(address.encode())
    return Logon(method, user, None if raw is None else str(ipaddress.ip_address(raw)))


@dataclass
class Logons:
    """What an instance's log says: logons from outside by address, user and method."""

    allowed: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    found: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    unclear: int = 0

    def add(self, line: str, at: int) -> None:
        """Take in a line, written at so many milliseconds since 1970."""
        said = logon(line)
        if isinstance(said, bool):
            self.unclear += said
            return
        if said.address is None:
            self.unclear += 1
            return
        address = ipaddress.ip_address(said.address)
        if any(address in network for network in self.allowed):
            return
        seen = moment(at)
        row = self.found.setdefault(
            (said.address, said.user, said.method),
            {
                "address": said.address,
                "user": said.user,
                "method": said.method,
                "count": 0,
                "firstSeen": seen,
                "lastSeen": seen,
            },
        )
        row["count"] += 1
        row["firstSeen"] = min(row["firstSeen"], seen)
        row["lastSeen"] = max(row["lastSeen"], seen)

    @property
    def total(self) -> int:
        return sum(row["count"] for row in self.found.values())

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The rows of an annotation, the last first."""
        return sorted(self.found.values(), key=lambda row: str(row["lastSeen"]), reverse=True)[
            :SHOWN
        ]


def moment(milliseconds: int) -> str:
    """A time as people write it."""
    at = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def networks(texts: Iterable[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
