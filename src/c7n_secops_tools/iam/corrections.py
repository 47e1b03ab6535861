"""Where Custodian's own elements declare other permissions than they call for.

Each is proved by ``tests/test_iam_proof.py``: a policy that uses the element runs under the
corrected role, and what is taken away was never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


def always(options: Mapping[str, Any]) -> bool:
    return True


class Correction(NamedTuple):
    """What an element with such options needs besides, and what it does not, and why."""

    reason: str
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    when: Callable[[Mapping[str, Any]], bool] = always


LOAD_BALANCERS = frozenset(
    {
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTags",
    }
)
PATTERN = frozenset(
    {
        "cloudwatch:DescribeAlarmsForMetric",
        "logs:DescribeMetricFilters",
        "sns:GetTopicAttributes",
    }
)
TAGGED = frozenset({"tag:GetResources"})
CORRECTIONS: Mapping[tuple[str, str, str], tuple[Correction, ...]] = {
    ("resource", "kms-key", ""): (
        Correction("it reads the aliases of all keys", add=frozenset({"kms:ListAliases"})),
        Correction(
            "tags come from the tagging API alone", remove=frozenset({"kms:ListResourceTags"})
        ),
    ),
    ("resource", "rds", ""): (Correction("the tags are in DescribeDBInstances", remove=TAGGED),),
    ("resource", "rds-cluster", ""): (
        Correction("the tags are in DescribeDBClusters", remove=TAGGED),
    ),
    ("filter", "account", "check-cloudtrail"): (
        Correction(
            "selectors are read for management events only",
            remove=frozenset({"cloudtrail:GetEventSelectors"}),
            when=lambda options: not options.get("include-management-events"),
        ),
        Correction(
            "metric filters, alarms and topics are read for a pattern only",
            remove=PATTERN,
            when=lambda options: not options.get("log-metric-filter-pattern"),
        ),
        Correction(
            "the status is read to say whether a trail runs",
            remove=frozenset({"cloudtrail:GetTrailStatus"}),
            when=lambda options: not options.get("running", True),
        ),
    ),
    ("filter", "iam-policy", "has-allow-all"): (
        Correction(
            "it reads the default version of each policy, and lists no versions",
            add=frozenset({"iam:GetPolicyVersion"}),
            remove=frozenset({"iam:ListPolicyVersions"}),
        ),
    ),
    ("filter", "iam-user", "policy"): (
        Correction(
            "groups are asked for only with include-via",
            remove=frozenset({"iam:ListAttachedGroupPolicies", "iam:ListGroupsForUser"}),
            when=lambda options: not options.get("include-via"),
        ),
    ),
    ("filter", "s3", "is-log-target"): (
        Correction(
            "trails are read unless services leaves them out",
            add=frozenset({"cloudtrail:DescribeTrails"}),
            when=lambda options: "cloudtrail" in options.get("services", ("cloudtrail",)),
        ),
        Correction(
            "load balancers are read unless services leaves them out",
            remove=LOAD_BALANCERS,
            when=lambda options: "elb" not in options.get("services", ("elb",)),
        ),
    ),
}


def corrected(
    kind: str,
    resource: str,
    name: str,
    declared: Iterable[str],
    options: Mapping[str, Any],
) -> list[str]:
    """What an element calls, for what it declares."""
    found = set(declared)
    for each in CORRECTIONS.get((kind, resource, name), ()):
        if each.when(options):
            found = (found - each.remove) | each.add
    return sorted(found)
