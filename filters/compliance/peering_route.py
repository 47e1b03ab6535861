"""VPC peering: which route tables open more of the peer than they need?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import peering

RESOURCES = ("aws.route-table",)
PAGE = 1000


class PeeringRoute(SecOpsElement, Filter):
    """Finds route tables with a peering route that takes in a whole address block of the peer.

    Such a route, or a wider one, lets every subnet of the table reach every address of the peer.
    A route to part of a block is as narrow as somebody chose, and does not match; whether it is
    needed is for a person to say. Routes that lead nowhere (``blackhole``) are ignored.

    Annotates ``c7n:PeeringRoutes`` with the routes that matched, as DescribeRouteTables has them.
    Where AWS refuses to describe the peerings, does not tell the peer's address blocks, or the
    destination is a prefix list, the table is recorded as not evaluated unless another route
    matched.

    :example:

    .. code-block:: yaml

        policies:
          - name: route-table-wide-peering
            resource: aws.route-table
            filters:
              - type: peering-route
    """

    schema = type_schema("peering-route")
    permissions = ("ec2:DescribeVpcPeeringConnections",)
    annotation_key = "c7n:PeeringRoutes"
    annotations = {annotation_key: "the routes that matched, as ec2 DescribeRouteTables has them"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("the routes of route-table")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        peered = [table for table in resources if peering.peerings_of(table)]
        if not peered:
            return []
        client = calls.client(self, "ec2")
        try:
            known = {
                each["VpcPeeringConnectionId"]: each
                for page in calls.pages(
                    client, "describe_vpc_peering_connections", "VpcPeeringConnections", PAGE
                )
                for each in page
            }
        except calls.RefusedError as refusal:
            self.not_evaluated(peered, refusal.code, str(refusal))
            return []
        return [table for table in peered if self.matches(table, known)]

    def matches(self, table: dict[str, Any], known: dict[str, Any]) -> bool:
        """Whether a route is too wide; what cannot be told is recorded where none is."""
        wide, untold = [], []
        for route in peering.peering_routes(table):
            name = route["VpcPeeringConnectionId"]
            blocks = peering.blocks_of_peer(known.get(name, {}), table["VpcId"])
            destination = peering.destination_of(route)
            if destination is None or not blocks:
                untold.append(name)
            elif peering.takes_whole(destination, blocks):
                wide.append(route)
        if wide:
            table[self.annotation_key] = wide
        elif untold:
            reason = f"the destination or the peer's address blocks of {untold[0]} are not told"
            self.not_evaluated([table], "NotReported", reason)
        return bool(wide)
