"""EC2: deny addresses at the subnet of an instance, for a time."""

from __future__ import annotations

from c7n.utils import type_schema

from c7n_secops_edge import permissions
from c7n_secops_edge.protected import KINDS
from c7n_secops_edge.schemas import IP_RANGES, LIST, NUMBER, lengths
from c7n_secops_edge.subnet_block import SubnetBlock

RESOURCES = ("aws.ec2",)


class NetworkAclBlock(SubnetBlock):
    """Denies addresses in the network ACLs of an instance's subnets, for ``duration`` minutes.

    For what is not behind a web ACL, and for every protocol. A network ACL is for all of its
    subnets, so all that is in them is closed to the address. It holds about 20 entries (a quota of
    AWS, 40 at most): this is for single addresses, as in a GuardDuty finding, and no use against a
    flood from many. Where there is no room the result says so.

    The entries take incoming traffic's ``rule-numbers`` from ``first`` (1) to ``last`` (99), which
    must be ours alone and lower than those of entries that allow. Until when an entry holds is in
    a tag of the network ACL, ``c7n-secops:block:<number>``; ``network-acl-expire`` takes it away.
    ``duration`` is in minutes, 1,440 unless set.

    ``from`` is ``event`` (the remote addresses of a GuardDuty finding, of connections only
    ``INBOUND`` ones unless ``direction`` is ``ANY``), ``addresses`` or ``value_from``. ``allow``,
    ``protect``, ``ip-ranges`` and ``min-prefix`` are those of ``waf-ip-block``: who is protected is
    not blocked, and where that cannot be known nobody is.

    Returns ``{"results": [...], "counts": {outcome: number}}``, one result for each instance:
    ``resource``, ``outcome`` (``blocked``, ``skipped``, ``partial``, ``failed`` or
    ``not-evaluated``), ``code``, ``reason``, ``refused`` and ``network-acls`` (what became of each
    address in each, and until when).

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-subnet-block-guardduty-address
            resource: ec2
            mode:
              type: guard-duty
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            actions:
              - type: network-acl-block
                from: event
                duration: 1440
                rule-numbers: {first: 1, last: 50}
    """

    schema = type_schema(
        "network-acl-block",
        required=["from"],
        **{
            "from": {"oneOf": [{"enum": ["event"]}, LIST]},
            "direction": {"enum": ["INBOUND", "ANY"]},
            "duration": {"type": "integer", "minimum": 30, "maximum": 43200},
            "rule-numbers": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"first": NUMBER, "last": NUMBER},
            },
            "allow": LIST,
            "protect": {"type": "array", "uniqueItems": True, "items": {"enum": list(KINDS)}},
            "ip-ranges": IP_RANGES,
            "min-prefix": lengths(),
        },
    )
    permissions = (
        "ec2:CreateNetworkAclEntry",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        "ec2:DescribeAddresses",
        "ec2:DescribeNatGateways",
        "ec2:DescribeNetworkAcls",
        "s3:GetObject",
    )

    def get_permissions(self) -> tuple[str, ...]:
        return permissions.of_block(self)
