"""A rate-based rule, kept in web ACLs or taken out of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops_edge import web_acl
from c7n_secops_edge.action import Target, WafAction
from c7n_secops_edge.web_acl import WebAcl

LIMIT, WINDOW = 2000, 300


class RateLimit(WafAction):
    """What ``waf-rate-limit`` does; the element's file has its schema and documentation."""

    def validate(self) -> Any:
        super().validate()
        self.check_web_acls()
        is_forwarded = self.data.get("aggregate") == "FORWARDED_IP"
        if is_forwarded != ("forwarded-ip" in self.data):
            raise self.invalid(
                "needs aggregate: FORWARDED_IP and forwarded-ip together; set or remove both"
            )
        return self

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Which rule would be put into which web ACLs, or taken out; the web ACLs are not read."""
        targets = self.targets(resources)
        self.find_web_acls(targets)
        would = {"rule": self.data["name"], "wanted": self._wanted() or "removed"}
        return [
            target.row
            if target.outcome
            else {
                "resource": target.id,
                "scope": target.waf.scope,
                "web-acls": [found.name for found in target.web_acls],
                **would,
            }
            for target in targets
        ]

    def process(
        self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        targets = self.targets(resources)
        self.find_web_acls(targets)
        rules: dict[WebAcl, dict[str, Any]] = {}
        for target in targets:
            if not target.outcome:
                self._conclude(target, rules)
        return self.report(targets)

    def _conclude(self, target: Target, rules: dict[WebAcl, dict[str, Any]]) -> None:
        for found in target.web_acls:
            if found not in rules:
                rules[found] = web_acl.put(target.waf, found, self.data["name"], self._wanted())
        its = {found.name: rules[found] for found in target.web_acls}
        target.said["web-acls"] = its
        failed = [said for said in its.values() if said["rule"] == "failed"]
        if failed:
            outcome = "failed" if len(failed) == len(its) else "partial"
            target.end(outcome, failed[0]["code"], failed[0]["reason"])
        elif all(said["rule"] == "present" for said in its.values()):
            target.end("skipped", "AsWanted", "the web ACLs are as they should be")
        else:
            target.end("changed")

    def _wanted(self) -> web_acl.Rule | None:
        if self.data.get("mode") == "remove":
            return None
        rate: dict[str, Any] = {
            "Limit": self.data.get("limit", LIMIT),
            "EvaluationWindowSec": self.data.get("window", WINDOW),
            "AggregateKeyType": self.data.get("aggregate", "IP"),
        }
        forwarded = self.data.get("forwarded-ip")
        if forwarded:
            rate["ForwardedIPConfig"] = {
                "HeaderName": forwarded["header"],
                "FallbackBehavior": forwarded.get("fallback", "NO_MATCH"),
            }
        action = self.data.get("rule-action", "block")
        statement = {"RateBasedStatement": rate}
        return web_acl.rule(statement, action, self.data["name"], self.data.get("priority", 0))
