"""Network ACLs, where moto differs.

* A network ACL has at most 20 entries a direction, beside the last one that denies the rest.
* Of two that create an entry under one number at once, one succeeds.
* They can be filtered by ``network-acl-id``.
* To delete an entry that is not there is an error of AWS, not of the emulator.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import threading
from typing import Any

from moto.ec2.models.network_acls import NetworkAcl

from tests.emulator.kit import Context, fail, operation

MOST_ENTRIES = 20
THE_REST = 32767

one_at_a_time = threading.Lock()
moto_filter_value = NetworkAcl.get_filter_value


def filter_value(self: NetworkAcl, filter_name: str, method_name: str | None = None) -> Any:
    if filter_name == "network-acl-id":
        return self.id
    return moto_filter_value(self, filter_name, method_name)


def numbers(context: Context, network_acl: str, egress: bool) -> set[int]:
    found = context.backend().get_network_acl(network_acl).network_acl_entries
    return {int(e.rule_number) for e in found if e.egress == egress} - {THE_REST}


@operation("ec2", "CreateNetworkAclEntry")
def create_network_acl_entry(
    context: Context,
    NetworkAclId: str,
    RuleNumber: int,
    Protocol: str,
    RuleAction: str,
    Egress: bool,
    CidrBlock: str | None = None,
    Ipv6CidrBlock: str | None = None,
    PortRange: dict[str, int] | None = None,
    IcmpTypeCode: dict[str, int] | None = None,
    **_: Any,
) -> None:
    ports, icmp = PortRange or {}, IcmpTypeCode or {}
    with one_at_a_time:
        used = numbers(context, NetworkAclId, Egress)
        if RuleNumber not in used and len(used) >= MOST_ENTRIES:
            fail(
                "NetworkAclEntryLimitExceeded",
                f"The maximum number of network ACL entries has been reached: {MOST_ENTRIES}",
            )
        context.backend().create_network_acl_entry(
            network_acl_id=NetworkAclId,
            rule_number=RuleNumber,
            protocol=Protocol,
            rule_action=RuleAction,
            egress=Egress,
            cidr_block=CidrBlock,
            icmp_code=icmp.get("Code"),
            icmp_type=icmp.get("Type"),
            port_range_from=ports.get("From"),
            port_range_to=ports.get("To"),
            ipv6_cidr_block=Ipv6CidrBlock,
        )


@operation("ec2", "DeleteNetworkAclEntry")
def delete_network_acl_entry(
    context: Context, NetworkAclId: str, RuleNumber: int, Egress: bool, **_: Any
) -> None:
    with one_at_a_time:
        if RuleNumber not in numbers(context, NetworkAclId, Egress):
            fail("InvalidNetworkAclEntry.NotFound", f"There is no entry {RuleNumber}")
        context.backend().delete_network_acl_entry(NetworkAclId, RuleNumber, Egress)


def install() -> None:
    NetworkAcl.get_filter_value = filter_value
