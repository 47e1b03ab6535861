"""Client addresses as logs write them, and the groups by which they are counted.

A client is the packed bytes of its network address (4 for IPv4, 16 for IPv6): compact, and what
sorts and masks without text. Untrusted text that is no address is None, never an error.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

REMEMBERED = 1 << 18
"""How many addresses, as logs write them, are remembered: a bound on memory, not on clients."""
LONGEST = 64
"""Characters of the longest text that is looked at as an address: IPv6 with a zone."""

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED = bytes(10) + b"\xff\xff"


class Grouping(NamedTuple):
    """How many bits of an address make one client."""

    ipv4: int = 32
    ipv6: int = 64

    def bits(self, packed: bytes) -> int:
        return self.ipv4 if len(packed) == 4 else self.ipv6


def packed(raw: bytes) -> bytes | None:
    """The bytes of an address: zone and brackets removed, IPv4 in IPv6 as IPv4; None for others."""
    try:
        if b":" not in raw:
            return socket.inet_pton(socket.AF_INET, raw.decode("ascii"))
        text = raw[:LONGEST].decode("ascii").removeprefix("[").removesuffix("]")
        address = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return address[12:] if address.startswith(MAPPED) else address


def masked(address: bytes, bits: int) -> bytes:
    """The network of an address."""
    host = len(address) * 8 - bits
    if host <= 0:
        return address
    if not bits % 8:
        return address[: bits // 8].ljust(len(address), b"\0")
    return (int.from_bytes(address, "big") >> host << host).to_bytes(len(address), "big")


def cidr(network: bytes, bits: int) -> str:
    """A network as WAF and people write it, for example ``192.0.2.0/24``."""
    return f"{ipaddress.ip_address(network)}/{bits}"


class Remembered(dict[Any, "bytes | None"]):
    """Clients, by what a log writes of them.

    ``forgotten`` says that some were let go, ``clientless`` that some are None.
    """

    forgotten = clientless = False

    def keep(self, written: Any, client: bytes | None) -> bytes | None:
        if len(self) >= REMEMBERED:
            self.clear()
            self.forgotten = True
        self.clientless |= client is None
        self[written] = client
        return client


class Clients(Remembered):
    """From an address as a log writes it to its client; None where it is no address."""

    def __init__(self, grouping: Grouping):
        super().__init__()
        self.grouping = grouping

    def __missing__(self, raw: bytes) -> bytes | None:
        address = packed(raw)
        if address is None:
            return self.keep(raw, None)
        return self.keep(raw, masked(address, self.grouping.bits(address)))


class ForwardedClients(Remembered):
    """The same for a peer and its X-Forwarded-For: the right-most hop that is not trusted.

    Whatever a client writes into the header stands to the left of what the trusted proxies add,
    so a spoofed list is never believed. Where a trusted proxy added something that is no address,
    or every hop is a trusted proxy, there is no client: None.
    """

    def __init__(self, grouping: Grouping, trusted: Iterable[str]):
        super().__init__()
        self.grouping = grouping
        self.trusted = [ipaddress.ip_network(text) for text in trusted]

    def __missing__(self, hops: tuple[bytes, bytes]) -> bytes | None:
        return self.keep(hops, self.client(*hops))

    def client(self, peer: bytes, forwarded: bytes) -> bytes | None:
        # logs write the list's blanks as they came, or percent-encoded
        listed = forwarded.replace(b"%20", b"").replace(b" ", b"").split(b",")
        for hop in (peer, *reversed(listed)):
            address = packed(hop)
            if address is None:
                return None
            if not self.is_trusted(address):
                return masked(address, self.grouping.bits(address))
        return None

    def is_trusted(self, address: bytes) -> bool:
        where = ipaddress.ip_address(address)
        return any(where in network for network in self.trusted)
