"""Where Custodian's own elements declare other permissions than they call for.

Each is proved by ``tests/test_iam_proof.py``: a policy that uses the element runs under the
corrected role, and what is taken away was never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


def always(_options: Mapping[str, Any]) -> bool:
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
    ("resource", "app-elb", ""): (
        Correction(
            "attributes are read by the filters that ask for them",
            remove=frozenset({"elasticloadbalancing:DescribeLoadBalancerAttributes"}),
        ),
    ),
    ("resource", "ecr-image", ""): (
        Correction(
            "images are read a repository at a time",
            add=frozenset({"ecr:DescribeRepositories"}),
        ),
    ),
    ("resource", "efs", ""): (
        Correction(
            "the tags are in DescribeFileSystems",
            remove=TAGGED | {"elasticfilesystem:ListTagsForResource"},
        ),
    ),
    ("resource", "kms-key", ""): (
        Correction("it reads the aliases of all keys", add=frozenset({"kms:ListAliases"})),
        Correction(
            "tags come from the tagging API alone", remove=frozenset({"kms:ListResourceTags"})
        ),
    ),
    ("resource", "lambda", ""): (
        Correction("tags come from the tagging API alone", remove=frozenset({"lambda:ListTags"})),
    ),
    ("resource", "rds", ""): (Correction("the tags are in DescribeDBInstances", remove=TAGGED),),
    ("resource", "rds-cluster", ""): (
        Correction("the tags are in DescribeDBClusters", remove=TAGGED),
    ),
    ("resource", "rest-api", ""): (Correction("the tags are in GetRestApis", remove=TAGGED),),
    ("resource", "rest-stage", ""): (Correction("the tags are in GetStages", remove=TAGGED),),
    ("resource", "sns", ""): (
        Correction(
            "tags come from the tagging API alone", remove=frozenset({"sns:ListTagsForResource"})
        ),
    ),
    ("resource", "wafv2", ""): (
        Correction(
            "tags come from the tagging API alone",
            remove=frozenset({"wafv2:ListTagsForResource"}),
        ),
    ),
    ("action", "distribution", "set-wafv2"): (
        Correction(
            "an update starts from the distribution's configuration",
            add=frozenset({"cloudfront:GetDistributionConfig"}),
        ),
    ),
    ("filter", "distribution", "wafv2-enabled"): (
        Correction(
            "a distribution says itself which web ACL it has",
            remove=frozenset({"wafv2:ListResourcesForWebACL"}),
        ),
    ),
    ("filter", "wafv2", "logging"): (
        Correction(
            "it lists all configurations, and gets none",
            add=frozenset({"wafv2:ListLoggingConfigurations"}),
            remove=frozenset({"wafv2:GetLoggingConfiguration"}),
        ),
    ),
    ("filter", "account", "check-cloudtrail"): (
        Correction(
            "metric filters, alarms and topics are read for a pattern only",
            remove=PATTERN,
            when=lambda options: not options.get("log-metric-filter-pattern"),
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
    ("filter", "s3", "bucket-logging"): (
        Correction(
            "the account's alias is read to compare targets only",
            remove=frozenset({"iam:ListAccountAliases"}),
            when=lambda options: options.get("op") in ("disabled", "enabled"),
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
