"""Access logs: which clients flood a distribution, load balancer, API stage or web ACL?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.element import SecOpsElement
from c7n_secops_edge import flood_schema, permissions
from c7n_secops_edge.flood_inquiry import Inquiry

RESOURCES = ("aws.distribution", "aws.app-elb", "aws.rest-stage", "aws.wafv2")


class HttpFlood(SecOpsElement, Filter):
    """Finds resources whose access logs show clients that flood them.

    Logs come late (CloudFront's within an hour as a rule, up to a day), so this is the second
    line: a rate-based rule is the first. It sees what that does not: windows of up to an hour,
    errors and scans, and clients that only together are too many.

    Each rule has a ``metric``: ``requests``, ``errors`` (requests answered with ``statuses``) or
    ``uri-scan`` (how many different paths among ``uris``, by prefix, suffix or regex). A client
    offends when it reaches ``threshold`` in any ``window`` minutes in a row, over all files
    together. IPv6 clients are counted by /64 unless ``group-by`` says otherwise; ``widen`` also
    finds IPv4 networks of which ``min-hosts`` clients reach a threshold together, while none of
    them does alone. Paths in ``uri-ignore`` do not count. The client is who sent the request to
    AWS; with ``client-ip`` x-forwarded-for it is the right-most hop outside ``trusted-proxies``.

    The logs' place is read from the resource: standard logging (version 1, or version 2 to S3) of
    a distribution, the attributes of a load balancer, the S3 logging of a web ACL. The logs of an
    API stage are its web ACL's. ``source: waf-log`` takes the web ACL's for the others too, and
    ``logs`` gives bucket and prefix ({id}, {yyyy}, {MM}, {dd}, {HH} in it). Files delivered within
    ``lookback`` minutes (20) are read. More than ``max-bytes`` (2GiB) of them are not, unless
    ``athena`` names a table to ask instead; it is asked for what happened within ``lookback``.

    Engine ``python`` needs nothing else; ``duckdb`` (extra ``logs``) also reads Parquet. With
    duckdb and athena there are no samples.

    Annotates ``c7n:HttpFlood`` with the offenders, worst first: address (CIDR), rule, metric, count
    in the worst window, requests in it, windowStart, windowEnd, firstOver, lastOver, firstSeen,
    lastSeen (UTC minutes), hosts, and ``samples`` of what was sent; and ``c7n:HttpFloodLogs`` with
    files, bytes, lines, badLines, unattributed, truncated, unreadable, from and to. Writes
    ``traffic.json``, requests of every minute, also for resources that do not match.

    A resource whose logging is off, without a file within the lookback, or over ``max-bytes`` is
    recorded as not evaluated. So is one of which a file is truncated or cannot be read: offenders
    in its other files, and in what could be inflated, are found all the same.

    :example:

    .. code-block:: yaml

        policies:
          - name: distribution-flood
            resource: aws.distribution
            filters:
              - type: http-flood
                lookback: 60
                rules:
                  - {name: flood, metric: requests, threshold: 2000, window: 5}
                  - {name: scan, metric: errors, statuses: [403, 404], threshold: 50, window: 1}
                uri-ignore: {suffix: [.css, .js]}
                widen: {ipv4: 24, min-hosts: 32}
    """

    schema = type_schema("http-flood", required=["rules"], **flood_schema.PROPERTIES)
    permissions = (
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
        "cloudfront:GetDistributionConfig",
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "kms:Decrypt",
        "logs:DescribeDeliveries",
        "logs:DescribeDeliveryDestinations",
        "logs:DescribeDeliverySources",
        "s3:GetObject",
        "s3:ListBucket",
        "wafv2:GetLoggingConfiguration",
        "wafv2:GetWebACLForResource",
    )
    annotation_key = "c7n:HttpFlood"
    logs_key = "c7n:HttpFloodLogs"
    annotations = {
        annotation_key: "the offenders, worst first, with their worst window and samples",
        logs_key: "how much was read, and what of it was bad, truncated or unreadable",
    }

    def get_permissions(self) -> tuple[str, ...]:
        return permissions.of_flood(self)

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("a policy that takes no action on what it finds")
        for problem in flood_schema.problems(self.data):
            raise self.invalid(problem)
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        inquiry = Inquiry(self)
        matched = []
        for resource in resources:
            analysis = inquiry.examine(resource)
            if analysis is not None and analysis.offenders:
                resource[self.annotation_key] = analysis.offenders
                resource[self.logs_key] = analysis.logs
                matched.append(resource)
        inquiry.write_traffic()
        return matched
