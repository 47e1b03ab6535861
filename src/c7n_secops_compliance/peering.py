"""What the routes of a table open towards the peers of its VPC."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

Network = IPv4Network | IPv6Network


def peerings_of(table: dict[str, Any]) -> list[str]:
    """The peering connections that a route table's usable routes go through."""
    return sorted({route["VpcPeeringConnectionId"] for route in peering_routes(table)})


def peering_routes(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes through a peering connection, without those that lead nowhere."""
    return [
        route
        for route in table.get("Routes", ())
        if route.get("VpcPeeringConnectionId") and route.get("State") != "blackhole"
    ]


def blocks_of_peer(peering: dict[str, Any], vpc_id: str) -> list[Network]:
    """All address blocks of the VPC at the other side; [] where AWS does not tell them."""
    sides = (peering.get("AccepterVpcInfo") or {}, peering.get("RequesterVpcInfo") or {})
    peers = [side for side in sides if side.get("VpcId") != vpc_id]
    told = [
        block
        for side in peers
        for block in (
            *(each["CidrBlock"] for each in side.get("CidrBlockSet", ())),
            *(each["Ipv6CidrBlock"] for each in side.get("Ipv6CidrBlockSet", ())),
            *([side["CidrBlock"]] if side.get("CidrBlock") else ()),
        )
    ]
    return [ip_network(block) for block in dict.fromkeys(told)]


def destination_of(route: dict[str, Any]) -> Network | None:
    """Where a route leads; None for a prefix list, whose entries the route does not tell."""
    block = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
    return ip_network(block) if block else None


def takes_whole(destination: Network, blocks: list[Network]) -> bool:
    """Whether the destination holds a whole block of the peer, or more."""
    return any(
        block.version == destination.version and block.subnet_of(destination)  # type: ignore[arg-type]
        for block in blocks
    )
