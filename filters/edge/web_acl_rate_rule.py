"""WAF: does a web ACL limit how often an address may ask?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.comparisons import COUNT, is_count
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import rate_rules

RESOURCES = ("aws.wafv2",)

MANY = {"type": "array", "minItems": 1, "uniqueItems": True}


class WebAclRateRule(SecOpsElement, Filter):
    """Finds web ACLs with a rate-based rule as described or, with ``absent: true``, without one.

    A rate-based rule is the first line against a flood: by AWS's word WAF applies it within about
    30 seconds, where logs come minutes or hours later. The rule may stand in the web ACL or in a
    rule group that it uses; there the web ACL may override it, so that it only counts. ``action``
    is what a rule does in the end (Block, Count, Captcha, Challenge, Allow), ``limit`` and
    ``window`` the requests and the seconds in which it counts them, and ``scoped-down: false``
    asks for a rule that counts every request. One rule must meet every key that is given.

    Managed rule groups do not show their statements: a rate-based rule inside one is not found.

    Annotates ``c7n:WebAclRateRules`` with the rules that meet, or with ``absent: true`` those that
    do not: ``Name``, ``RuleGroup`` (its ARN, or empty), ``Action``, ``Limit``, ``Window`` in
    seconds, ``AggregateKeyType`` and ``ScopedDown``. Where AWS refuses to show a rule group (as it
    may one that Firewall Manager shares) and no other rule meets, the web ACL is recorded as not
    evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: web-acl-without-rate-rule
            resource: aws.wafv2
            query:
              - Scope: CLOUDFRONT
            filters:
              - type: web-acl-rate-rule
                absent: true
                action: [Block]
                limit: {op: lte, value: 2000}
    """

    schema = type_schema(
        "web-acl-rate-rule",
        absent={"type": "boolean"},
        action={**MANY, "items": {"enum": ["Block", "Count", "Captcha", "Challenge", "Allow"]}},
        limit=COUNT,
        window={**MANY, "items": {"enum": [60, 120, 300, 600]}},
        **{"scoped-down": {"type": "boolean"}},
    )
    permissions = ("wafv2:GetRuleGroup",)
    annotation_key = "c7n:WebAclRateRules"
    annotations = {annotation_key: "rate-based rules, with the action that they take in the end"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("absent: true")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        self.groups: dict[str, list[dict[str, Any]] | Exception] = {}
        self.client = calls.client(self, "wafv2", region=self.manager.scope_region)
        return [resource for resource in resources if self.matches(resource)]

    def matches(self, resource: dict[str, Any]) -> bool:
        """Whether a web ACL has, or lacks, the rule; what there is of rules is annotated then."""
        unread: list[Exception] = []

        def read_group(arn: str) -> list[dict[str, Any]]:
            rules = self.group(arn)
            if isinstance(rules, Exception):
                unread.append(rules)
                return []
            return rules

        rows = list(rate_rules.find(resource, read_group))
        meeting = [row for row in rows if self.meets(row)]
        if unread and not meeting:
            self.not_evaluated([resource], *calls.failure(unread[0]))
            return False
        absent = self.data.get("absent", False)
        if bool(meeting) is absent:
            return False
        resource[self.annotation_key] = rows if absent else meeting
        return True

    def meets(self, row: dict[str, Any]) -> bool:
        """Whether one rule meets every key of the filter."""
        return (
            row["Action"] in self.data.get("action", (row["Action"],))
            and row["Window"] in self.data.get("window", (row["Window"],))
            and row["ScopedDown"] is self.data.get("scoped-down", row["ScopedDown"])
            and ("limit" not in self.data or is_count(row["Limit"], self.data["limit"]))
        )

    def group(self, arn: str) -> list[dict[str, Any]] | Exception:
        """The rules of a rule group, read once, or why AWS did not show them."""
        if arn not in self.groups:
            _, name, group_id = arn.rsplit("/", 2)
            try:
                answer = calls.read(
                    self.client.get_rule_group, Name=name, Id=group_id, Scope=self.manager.scope
                )
                self.groups[arn] = answer["RuleGroup"].get("Rules", [])
            except calls.FAILURES as error:
                self.groups[arn] = error
        return self.groups[arn]
