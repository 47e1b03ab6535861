"""Denied traffic added up by interface, and whether it is enough to match."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from c7n_secops_edge.flow_records import Denied

SHOWN = 10
"""How many peers and ports are shown, those denied most."""


class Wanted(NamedTuple):
    """What a policy asks for."""

    direction: str = "ingress"
    ports: frozenset[int] = frozenset()
    not_in: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    denies: int = 1
    different_ports: int = 1
    peers: int = 1
    by_peer: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Wanted:
        """The options of a ``flow-log-deny`` filter."""
        return cls(
            data.get("direction", "ingress"),
            frozenset(data.get("ports", ())),
            tuple(ipaddress.ip_network(each) for each in data.get("peers-not-in", ())),
            data.get("min-denies", 1),
            data.get("min-ports", 1),
            data.get("min-peers", 1),
            data.get("by", "interface") == "peer",
        )


@dataclass
class Denies:
    """What was denied of one interface: a number by peer, port and direction."""

    counts: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    first: int = 1 << 62
    last: int = 0


class Tally:
    """Denied traffic by interface. ``addresses`` are each interface's own.

    ``unattributed`` counts what is neither to nor from one of them, and has no direction.
    """

    def __init__(self, wanted: Wanted, addresses: Mapping[str, Collection[str]]):
        self.wanted, self.addresses = wanted, addresses
        self.denies: defaultdict[str, Denies] = defaultdict(Denies)
        self.unattributed = 0
        self._outside: dict[str, bool] = {}

    def add(self, record: Denied) -> None:
        """Count a record where it is of the wanted direction, port and peers."""
        direction = self.direction(record)
        if direction is None:
            self.unattributed += record.number
            return
        peer = record.source if direction == "ingress" else record.destination
        wanted = self.wanted
        if wanted.direction not in (direction, "any"):
            return
        if wanted.ports and record.port not in wanted.ports:
            return
        if not self.is_outside(peer):
            return
        found = self.denies[record.interface]
        found.counts[peer, record.port, direction] += record.number
        found.first = min(found.first, record.first)
        found.last = max(found.last, record.last)

    def direction(self, record: Denied) -> str | None:
        if record.direction is not None:
            return record.direction
        own = self.addresses[record.interface]
        if record.destination in own:
            return "ingress"
        return "egress" if record.source in own else None

    def is_outside(self, peer: str) -> bool:
        """Whether a peer is in none of the networks that are left out."""
        known = self._outside.get(peer)
        if known is None:
            address = ipaddress.ip_address(peer)
            known = not any(address in network for network in self.wanted.not_in)
            self._outside[peer] = known
        return known

    def answer(self, interface: str) -> dict[str, Any] | None:
        """What an annotation says of an interface; None where it is not enough."""
        if interface not in self.denies:
            return None
        found, wanted = self.denies[interface], self.wanted
        by_peer: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for (peer, port, _direction), number in found.counts.items():
            by_peer[peer][port] += number
        if wanted.by_peer:
            by_peer = defaultdict(
                Counter,
                {peer: ports for peer, ports in by_peer.items() if self.enough(ports)},
            )
        ports: Counter[int] = Counter()
        for each in by_peer.values():
            ports.update(each)
        if not self.enough(ports) or len(by_peer) < wanted.peers:
            return None
        worst = sorted(by_peer, key=lambda peer: (-by_peer[peer].total(), peer))[:SHOWN]
        return {
            "interface": interface,
            "denies": ports.total(),
            "ports": len(ports),
            "peers": len(by_peer),
            "firstSeen": moment(found.first),
            "lastSeen": moment(found.last),
            "worstPeers": [
                {"address": peer, "denies": by_peer[peer].total(), "ports": len(by_peer[peer])}
                for peer in worst
            ],
            "worstPorts": [
                {"port": port, "denies": number}
                for port, number in sorted(ports.items(), key=lambda item: (-item[1], item[0]))[
                    :SHOWN
                ]
            ],
        }

    def enough(self, ports: Counter[int]) -> bool:
        wanted = self.wanted
        return bool(ports.total() >= wanted.denies and len(ports) >= wanted.different_ports)


def moment(seconds: int) -> str:
    """A time as people write it."""
    at = datetime.fromtimestamp(seconds, timezone.utc)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
