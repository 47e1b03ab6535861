"""The rate-based rules of a web ACL, wherever they stand, and what they do to a request.

AWS lets a rate-based statement stand only at the top of a rule, so there are three places: a rule
of the web ACL, a rule of a rule group that it uses, and the groups that Firewall Manager puts
before and after its own rules. A managed rule group does not show its statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

DEFAULT_WINDOW = 300
COUNTED = "Count"
MANAGED_FIRST, MANAGED_LAST = (
    "PreProcessFirewallManagerRuleGroups",
    "PostProcessFirewallManagerRuleGroups",
)

ReadGroup = Callable[[str], list[dict[str, Any]]]


def find(acl: dict[str, Any], read_group: ReadGroup) -> Iterator[dict[str, Any]]:
    """Every rate-based rule, as a row: see the filter ``web-acl-rate-rule``.

    ``read_group`` gives the rules of the group with this ARN.
    """
    for key in (MANAGED_FIRST, "Rules", MANAGED_LAST):
        for rule in acl.get(key, ()):
            statement = rule.get("Statement") or rule.get("FirewallManagerStatement", {})
            if "RateBasedStatement" in statement:
                yield _row(rule, "", _action(rule))
            elif reference := statement.get("RuleGroupReferenceStatement"):
                yield from _of_group(rule, reference, read_group)


def _of_group(
    rule: dict[str, Any], reference: dict[str, Any], read_group: ReadGroup
) -> Iterator[dict[str, Any]]:
    """The rate-based rules of a group, with the actions that the web ACL has them take."""
    whole = COUNTED if COUNTED in rule.get("OverrideAction", {}) else ""
    single = {name["Name"]: COUNTED for name in reference.get("ExcludedRules", ())}
    for override in reference.get("RuleActionOverrides", ()):
        single[override["Name"]] = next(iter(override["ActionToUse"]), "")
    for inner in read_group(reference["ARN"]):
        if "RateBasedStatement" in inner["Statement"]:
            action = whole or single.get(inner["Name"]) or _action(inner)
            yield _row(inner, reference["ARN"], action)


def _action(rule: dict[str, Any]) -> str:
    return next(iter(rule.get("Action", {})), "")


def _row(rule: dict[str, Any], group: str, action: str) -> dict[str, Any]:
    rate = rule["Statement"]["RateBasedStatement"]
    return {
        "Name": rule["Name"],
        "RuleGroup": group,
        "Action": action,
        "Limit": rate["Limit"],
        "Window": rate.get("EvaluationWindowSec", DEFAULT_WINDOW),
        "AggregateKeyType": rate["AggregateKeyType"],
        "ScopedDown": "ScopeDownStatement" in rate,
    }
