"""Of an element's permissions, those that its options and resource take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from c7n_secops_edge import protected

OWN = frozenset({"ec2:DescribeAddresses", "ec2:DescribeNatGateways"})
ATHENA = frozenset(
    {
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    }
)
FILES = frozenset({"s3:GetObject", "s3:ListBucket"})
FLOW_LOGS = frozenset({"ec2:DescribeFlowLogs", "logs:DescribeLogStreams", "logs:FilterLogEvents"})
DISTRIBUTION = frozenset(
    {
        "cloudfront:GetDistributionConfig",
        "logs:DescribeDeliveries",
        "logs:DescribeDeliveryDestinations",
        "logs:DescribeDeliverySources",
    }
)
BALANCER = frozenset({"elasticloadbalancing:DescribeLoadBalancerAttributes"})
LOGGING = frozenset({"wafv2:GetLoggingConfiguration"})
LOOK_UP, LISTING = "wafv2:GetWebACLForResource", "wafv2:ListWebACLs"
SAYS_ITS_WEB_ACL = ("distribution", "rest-stage", "wafv2")
"""Resources that have the ARN of their web ACL in what AWS says of them."""


def of_flood(element: Any) -> tuple[str, ...]:
    """What ``http-flood`` calls: where logs are is asked of the resource, unless it is given."""
    data = element.data
    engine, waf = data.get("engine", "auto"), data.get("source") == "waf-log"
    kind = kind_of(element)
    used: set[str] = set()
    if "athena" in data and engine in ("auto", "athena"):
        used |= ATHENA
    if engine != "athena":
        used |= FILES
        if "logs" not in data:
            used |= place(kind, waf)
    return without(element, {*ATHENA, *FILES, *DISTRIBUTION, *BALANCER, *LOGGING, LOOK_UP} - used)


def of_flow_logs(element: Any) -> tuple[str, ...]:
    """What ``flow-log-deny`` calls: which flow logs there are is not asked where Athena is."""
    data, read = element.data, {*FILES, *FLOW_LOGS}
    if data.get("engine") == "athena":
        return without(element, read)
    return without(element, () if "athena" in data else ATHENA)


def place(kind: str, waf: bool) -> frozenset[str]:
    """What it takes to learn where a resource's logs are; ``waf`` for its web ACL's."""
    if kind in ("rest-stage", "wafv2"):
        return LOGGING
    if kind == "distribution":
        return LOGGING if waf else DISTRIBUTION
    return LOGGING | {LOOK_UP} if waf else BALANCER


def of_block(element: Any) -> tuple[str, ...]:
    """What blocking addresses calls: lists may be in buckets, own addresses may be asked for."""
    idle = set(idle_web_acls(element))
    if protected.OWN not in element.data.get("protect", protected.DEFAULT):
        idle |= OWN
    if not any(text.startswith("s3://") for text in texts(element.data)):
        idle.add("s3:GetObject")
    return without(element, idle)


def of_web_acls(element: Any) -> tuple[str, ...]:
    """What finding the web ACLs of a resource calls."""
    return without(element, idle_web_acls(element))


def idle_web_acls(element: Any) -> Iterator[str]:
    named = "web-acls" in element.data
    if not named:
        yield LISTING
    if named or kind_of(element) in SAYS_ITS_WEB_ACL:
        yield LOOK_UP


def without(element: Any, idle: Iterable[str]) -> tuple[str, ...]:
    """An element's permissions without these; all where it has no options yet."""
    left_out = set(idle) if element.data else set()
    return tuple(action for action in element.permissions if action not in left_out)


def kind_of(element: Any) -> str:
    """The resource type without its provider."""
    return str(element.manager.type.rpartition(".")[2])


def texts(value: Any) -> Iterator[str]:
    """All texts in an element's options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
