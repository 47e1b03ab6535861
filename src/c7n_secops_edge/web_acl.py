"""Web ACLs: which ones, and rules put into them without harm to what else is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_edge.waf import CLOUDFRONT, REGIONAL, Waf, until_saved

ARN = re.compile(
    r"arn:[\w-]+:wafv2:[\w-]+:\d{12}:(global|regional)/webacl/([\w-]+)/([0-9a-f-]{36})"
)
ACTIONS = {"block": "Block", "count": "Count", "captcha": "Captcha", "challenge": "Challenge"}
HIGHEST_PRIORITY = 2**31 - 1

Rule = dict[str, Any]


class WebAcl(NamedTuple):
    """A web ACL as its ARN names it."""

    name: str
    id: str
    scope: str

    @classmethod
    def of(cls, arn: str) -> WebAcl | None:
        """The web ACL of an ARN; None for anything else, also for an id of WAF Classic."""
        found = ARN.fullmatch(arn)
        if not found:
            return None
        return cls(found[2], found[3], CLOUDFRONT if found[1] == "global" else REGIONAL)


class Change(NamedTuple):
    """What became of a rule: ``added``, ``changed``, ``removed`` or ``present``.

    ``behind`` are the rules before it that let requests through, which it therefore never sees.
    """

    outcome: str
    priority: int | None
    behind: list[str]


# --- which ones -----------------------------------------------------------------------------------


def named(waf: Waf, names: Sequence[str] | None) -> list[WebAcl]:
    """The web ACLs of a scope, all or those of these names."""
    return [
        WebAcl(row["Name"], row["Id"], waf.scope)
        for row in waf.web_acls()
        if names is None or row["Name"] in names
    ]


def of_resource(element: Any, waf: Waf, resource: dict[str, Any]) -> WebAcl | None:
    """The web ACL that protects a resource, if there is one of AWS WAF."""
    kind = element.manager.type.rpartition(".")[2]
    if kind == "distribution":
        arn = resource.get("WebACLId")
    elif kind == "rest-stage":
        arn = resource.get("webAclArn")
    elif kind == "wafv2":
        arn = resource.get("ARN")
    else:
        answer = calls.read(
            waf.client.get_web_acl_for_resource, ResourceArn=resource["LoadBalancerArn"]
        )
        arn = answer.get("WebACL", {}).get("ARN")
    return WebAcl.of(arn or "")


# --- rules ----------------------------------------------------------------------------------------


def change_rule(waf: Waf, web_acl: WebAcl, name: str, wanted: Rule | None) -> Change:
    """Put a rule into a web ACL, or take it out; everything else of the web ACL stays as it is.

    ``wanted`` is the rule without a name; its ``Priority`` is where a new one should stand: it
    gets the first free place from there on. One that is there keeps its place.
    """
    where = {"Name": web_acl.name, "Id": web_acl.id, "Scope": web_acl.scope}

    def change() -> Change:
        answer = waf.client.get_web_acl(**where)
        whole, rules = answer["WebACL"], answer["WebACL"].get("Rules", [])
        there = next((rule for rule in rules if rule["Name"] == name), None)
        others = [rule for rule in rules if rule["Name"] != name]
        if wanted is None:
            if there is None:
                return Change("present", None, [])
            new, outcome = others, "removed"
        else:
            priority = there["Priority"] if there else _free(others, wanted["Priority"])
            rule = {**(there or {}), **wanted, "Name": name, "Priority": priority}
            if rule == there:
                return Change("present", priority, _letting_through(others, priority))
            outcome = "changed" if there else "added"
            new = [rule if r["Name"] == name else r for r in rules] if there else [*rules, rule]
        waf.client.update_web_acl(
            **_as_it_is(waf, whole), **where, Rules=new, LockToken=answer["LockToken"]
        )
        if wanted is None:
            return Change(outcome, None, [])
        return Change(outcome, priority, _letting_through(others, priority))

    return until_saved(change)


def _as_it_is(waf: Waf, whole: dict[str, Any]) -> dict[str, Any]:
    """All that UpdateWebACL takes and the web ACL has: what it is not told, AWS removes."""
    taken = waf.client.meta.service_model.operation_model("UpdateWebACL").input_shape.members
    ours = ("Name", "Id", "Scope", "Rules", "LockToken")
    return {
        key: whole[key] for key in taken if key not in ours and whole.get(key) not in (None, "", [])
    }


def _free(rules: Iterable[Rule], first: int) -> int:
    used = {rule["Priority"] for rule in rules}
    return next(number for number in range(first, HIGHEST_PRIORITY) if number not in used)


def _letting_through(rules: Iterable[Rule], priority: int) -> list[str]:
    return [
        rule["Name"]
        for rule in rules
        if rule["Priority"] < priority and "Allow" in rule.get("Action", {})
    ]


def rule(statement: dict[str, Any], action: str, name: str, priority: int) -> Rule:
    """A rule with a statement and one of :data:`ACTIONS`, counted in CloudWatch by its name."""
    return {
        "Priority": priority,
        "Statement": statement,
        "Action": {ACTIONS[action]: {}},
        "VisibilityConfig": {
            "SampledRequestsEnabled": True,
            "CloudWatchMetricsEnabled": True,
            "MetricName": name,
        },
    }


def blocking(
    slots: Sequence[str], allow: Sequence[str], forwarded: dict[str, str] | None = None
) -> dict[str, Any]:
    """The statement of blocked addresses: in one of the slots, and in none of the allow sets.

    ``slots`` and ``allow`` are ARNs of IP sets. A rule that allows would end the evaluation and
    skip every later rule of the web ACL, so who is allowed is an exception of this rule only.
    """

    def any_of(arns: Sequence[str]) -> dict[str, Any]:
        each = [{"IPSetReferenceStatement": _reference(arn, forwarded)} for arn in arns]
        return {"OrStatement": {"Statements": each}} if len(each) > 1 else each[0]

    if not allow:
        return any_of(slots)
    exempt = {"NotStatement": {"Statement": any_of(allow)}}
    return {"AndStatement": {"Statements": [exempt, any_of(slots)]}}


def _reference(arn: str, forwarded: dict[str, str] | None) -> dict[str, Any]:
    if not forwarded:
        return {"ARN": arn}
    return {
        "ARN": arn,
        "IPSetForwardedIPConfig": {
            "HeaderName": forwarded["header"],
            "FallbackBehavior": forwarded.get("fallback", "NO_MATCH"),
            "Position": forwarded.get("position", "LAST"),
        },
    }


def put(waf: Waf, found: WebAcl, name: str, wanted: Rule | None) -> dict[str, Any]:
    """:func:`change_rule` as results tell it: ``rule`` is what became of it, or ``failed``."""
    try:
        change = change_rule(waf, found, name, wanted)
    except FAILURES as error:
        code, reason = calls.failure(error)
        return {"rule": "failed", "code": code, "reason": reason}
    said = {"rule": change.outcome, "priority": change.priority, "behind": change.behind}
    return {key: value for key, value in said.items() if value not in (None, [])}
