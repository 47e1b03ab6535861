"""VPC flow logs: whose traffic was denied, how much of it, and who sent it?"""

from __future__ import annotations

import ipaddress
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.element import SecOpsElement
from c7n_secops_edge import flood_schema, permissions
from c7n_secops_edge.flow_inquiry import Inquiry

RESOURCES = ("aws.ec2",)
NUMBER = {"type": "integer", "minimum": 1, "maximum": 100_000_000}


class FlowLogDeny(SecOpsElement, Filter):
    """Finds instances of whose network interfaces the VPC flow logs say that traffic was denied.

    Security groups and network ACLs deny in silence. What they denied of an instance shows who
    looks for open ports (``direction: ingress``, unless set), or that the instance itself looks
    around where it must not (egress); ``any`` is both. ``ports`` are destination ports, all unless
    set. Peers in the networks ``peers-not-in`` do not count. An interface matches with at least
    ``min-denies`` records (REJECT, each the flows of one 5-tuple within a minute or ten),
    ``min-ports`` different ports and ``min-peers`` different peers, each 1 unless set; with ``by:
    peer`` one peer must reach denies and ports alone. Records that began within ``lookback``
    minutes (60) count; they come five to ten minutes late.

    The flow logs are read from the account: an active one of the interface, its subnet or its VPC
    that records what was denied, in S3 (text or Parquet, any partitions) or CloudWatch Logs, in
    the default format or any with interface-id, srcaddr, dstaddr, dstport, start and action. Where
    there are several, one is read: of denied traffic alone before all, in S3 before CloudWatch.
    Each is read once for all instances. Where the format lacks flow-direction, the interface's own
    addresses tell the direction. More than ``max-bytes`` (2GiB) of files are not read, unless
    ``athena`` names a table to ask instead, as ``engine: athena`` does in any case; the table has
    the columns of Athena's documentation. Parquet needs the extra ``logs``.

    Annotates ``c7n:FlowLogDenies`` with the interfaces: interface, denies, ports and peers (how
    many), firstSeen, lastSeen (UTC), worstPeers and worstPorts (ten each), and
    ``c7n:FlowLogsRead`` with what was read: flowLog, files, bytes, lines, badLines, truncated and
    unreadable.

    An instance is recorded as not evaluated, unless it matched, where an interface has no such
    flow log, its log cannot be read, holds no file within the lookback or, of all traffic, no
    record of it, where a file is truncated, and where AWS itself skipped records (SKIPDATA).

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-scans-its-network
            resource: aws.ec2
            filters:
              - type: flow-log-deny
                direction: egress
                lookback: 30
                by: peer
                min-ports: 20
    """

    schema = type_schema(
        "flow-log-deny",
        **{
            "direction": {"enum": ["ingress", "egress", "any"]},
            "lookback": {"type": "integer", "minimum": 1, "maximum": 1440},
            "ports": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "uniqueItems": True,
                "items": {"type": "integer", "minimum": 0, "maximum": 65535},
            },
            "peers-not-in": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]{2,39}/[0-9]{1,3}$"},
            },
            "min-denies": NUMBER,
            "min-ports": {"type": "integer", "minimum": 1, "maximum": 65536},
            "min-peers": NUMBER,
            "by": {"enum": ["interface", "peer"]},
            "engine": {"enum": ["auto", "athena"]},
            "athena": {
                "type": "object",
                "additionalProperties": False,
                "required": ["database", "table", "workgroup"],
                "properties": flood_schema.TABLE,
            },
            "max-bytes": flood_schema.MOST_BYTES,
        },
    )
    permissions = (
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
        "ec2:DescribeFlowLogs",
        "kms:Decrypt",
        "logs:DescribeLogStreams",
        "logs:FilterLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
    )
    annotation_key = "c7n:FlowLogDenies"
    logs_key = "c7n:FlowLogsRead"
    annotations = {
        annotation_key: "what was denied of each interface that matched, and by whom",
        logs_key: "how much was read, and what of it was bad, truncated or unreadable",
    }

    def get_permissions(self) -> tuple[str, ...]:
        return permissions.of_flow_logs(self)

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("a policy that takes no action on what it finds")
        for network in self.data.get("peers-not-in", ()):
            if reason := flood_schema.unusable(ipaddress.ip_network, network):
                raise self.invalid(f"peers-not-in: {reason}; give a network such as 192.0.2.0/24")
        if self.data.get("engine") == "athena" and "athena" not in self.data:
            raise self.invalid("engine athena needs athena: {database, table, workgroup}")
        if self.data.get("by") == "peer" and "min-peers" in self.data:
            raise self.invalid("by: peer looks at each peer alone; drop min-peers")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        inquiry = Inquiry(self)
        inquiry.examine(resources)
        matched = []
        for instance in resources:
            denied, read, problem = inquiry.answers(instance)
            if denied:
                instance[self.annotation_key] = denied
                instance[self.logs_key] = read
                matched.append(instance)
            elif problem:
                self.not_evaluated([instance], *problem)
        return matched
