"""Networks: read from texts that others wrote, widened, subtracted, put together."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

FAMILIES = {4: "IPV4", 6: "IPV6"}
"""How AWS WAF calls the versions of the Internet Protocol."""
LONGEST = 64
"""No text of an address is longer."""


class MalformedError(ValueError):
    """A text that is not an address or a CIDR range."""


def parse(text: object) -> Network:
    """The network that a text names; an IPv4 address in IPv6 form is the IPv4 address.

    Raises :class:`MalformedError`, also for host bits: ``198.51.100.7/24`` may mean either.
    """
    if not isinstance(text, str) or not 2 <= len(text) <= LONGEST or "%" in text:
        raise MalformedError(f"{shown(text)} is not an address")
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise MalformedError(f"{shown(text)} is not an address or a CIDR range") from error
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def shown(text: object) -> str:
    """A text that others wrote, as it may stand in a message."""
    return ascii(text)[:LONGEST]


class Ranges:
    """Many networks, asked which of them hold or touch one; quick for a hundred thousand."""

    def __init__(self, networks: Iterable[Network]):
        self._starts: dict[tuple[int, int], set[int]] = defaultdict(set)
        for network in networks:
            self._starts[network.version, network.prefixlen].add(int(network.network_address))
        self._lengths = {
            version: sorted(length for of, length in self._starts if of == version)
            for version in FAMILIES
        }

    def holding(self, network: Network) -> Network | None:
        """The widest of the networks that holds this one whole."""
        bits, start = network.max_prefixlen, int(network.network_address)
        for length in self._lengths[network.version]:
            if length > network.prefixlen:
                return None
            first = start >> (bits - length) << (bits - length)
            if first in self._starts[network.version, length]:
                return type(network)((first, length))
        return None

    def inside(self, network: Network) -> list[Network]:
        """Those of the networks that are inside this one, the widest first."""
        return [
            type(network)((first, length))
            for length in self._lengths[network.version]
            if length >= network.prefixlen
            for first in self._between(network, length)
        ]

    def _between(self, network: Network, length: int) -> Iterator[int]:
        starts = self._starts[network.version, length]
        step = 1 << (network.max_prefixlen - length)
        every = range(int(network[0]), int(network[-1]) + 1, step)
        if 1 << (length - network.prefixlen) < len(starts):
            return (first for first in every if first in starts)
        return (first for first in starts if every.start <= first < every.stop)


def subtract(network: Network, ranges: Ranges) -> list[Network]:
    """What is left of a network without the ranges: the fewest networks, in order."""
    if ranges.holding(network):
        return []
    left = [network]
    for hole in ranges.inside(network):
        left = [piece for part in left for piece in _without(part, hole)]
    return sorted(left)


def _without(part: Network, hole: Network) -> Iterable[Network]:
    if isinstance(part, IPv4Network) and isinstance(hole, IPv4Network):
        return part.address_exclude(hole) if hole.subnet_of(part) else (part,)
    if isinstance(part, IPv6Network) and isinstance(hole, IPv6Network):
        return part.address_exclude(hole) if hole.subnet_of(part) else (part,)
    return (part,)


def collapse(networks: Iterable[Network]) -> list[Network]:
    """The fewest networks that cover exactly the same addresses, all of one family.

    ``ipaddress.collapse_addresses`` answers the same, and takes over a second for 50,000.
    """
    found = sorted({(int(each.network_address), each.prefixlen, each) for each in networks})
    if not found:
        return []
    kind, bits = type(found[0][2]), found[0][2].max_prefixlen
    done: list[tuple[int, int]] = []
    end = -1
    for start, length, _ in found:
        if start <= end:
            continue
        end = start + (1 << (bits - length)) - 1
        done.append((start, length))
        while len(done) > 1 and _are_halves(done[-2], done[-1], bits):
            first, half = done[-2]
            done[-2:] = [(first, half - 1)]
    return [kind(each) for each in done]


def _are_halves(low: tuple[int, int], high: tuple[int, int], bits: int) -> bool:
    size = 1 << (bits - low[1])
    return low[1] == high[1] and low[0] + size == high[0] and low[0] % (2 * size) == 0


def widen(
    networks: Iterable[Network], lengths: Mapping[int, int], hosts: int
) -> dict[Network, list[Network]]:
    """Put a wider network in the place of at least ``hosts`` narrower ones that it holds.

    ``lengths`` has the wider prefix length of each version. Returns what stands then, each with
    those that it stands for.
    """
    members: dict[Network, list[Network]] = defaultdict(list)
    for network in dict.fromkeys(networks):
        length = min(lengths.get(network.version, network.prefixlen), network.prefixlen)
        members[network.supernet(new_prefix=length)].append(network)
    found: dict[Network, list[Network]] = {}
    for wider, narrow in members.items():
        if len(narrow) >= hosts:
            found[wider] = narrow
        else:
            found |= {network: [network] for network in narrow}
    return found
