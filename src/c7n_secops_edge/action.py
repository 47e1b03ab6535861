"""What the actions on AWS WAF share: one result for each resource and scope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from c7n.actions import EventAction

from c7n_secops.aws.calls import RefusedError
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import web_acl
from c7n_secops_edge.waf import CLOUDFRONT, REGIONAL, SCOPES, Waf
from c7n_secops_edge.web_acl import WebAcl


@dataclass
class Target:
    """A resource in one scope of AWS WAF, and what became of it."""

    resource: dict[str, Any]
    id: str
    waf: Waf
    web_acls: list[WebAcl] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""

    def end(self, outcome: str, code: str | None = None, reason: str | None = None) -> None:
        """Settle the outcome."""
        self.outcome = outcome
        self.said |= {k: v for k, v in (("code", code), ("reason", reason)) if v}

    @property
    def row(self) -> dict[str, Any]:
        """The result, with all that is said of it."""
        first = {"resource": self.id, "scope": self.waf.scope, "outcome": self.outcome}
        return {**first, **self.said}


class WafAction(SecOpsElement, EventAction):
    """An action on resources that web ACLs protect."""

    @property
    def kind(self) -> str:
        """The resource type without its provider."""
        return str(self.manager.type.rpartition(".")[2])

    def id_of(self, resource: dict[str, Any]) -> str:
        return str(resource[self.manager.get_model().id])

    def targets(self, resources: Iterable[dict[str, Any]]) -> list[Target]:
        """Each resource in the scopes that it has; one client a scope."""
        pairs = [(each, scope) for each in resources for scope in self._scopes(each)]
        wafs = {scope: Waf.of(self, scope) for scope in {scope for _, scope in pairs}}
        return [Target(resource, self.id_of(resource), wafs[scope]) for resource, scope in pairs]

    def _scopes(self, resource: dict[str, Any]) -> tuple[str, ...]:
        """CLOUDFRONT of a distribution, REGIONAL of what is in a region; an account has both."""
        if self.kind == "account":
            chosen = self.data.get("scope")
            return (chosen,) if chosen else SCOPES
        if self.kind == "distribution" or ":global/webacl/" in str(resource.get("ARN", "")):
            return (CLOUDFRONT,)
        return (REGIONAL,)

    def check_web_acls(self) -> None:
        """Raise PolicyValidationError where ``web-acls`` or ``scope`` do not fit the resource."""
        is_account = self.kind == "account"
        if is_account and "web-acls" not in self.data:
            raise self.invalid("needs the web ACLs of the account; set web-acls to names or to all")
        if not is_account and self.data.get("web-acls") == "all":
            raise self.invalid("web-acls: all is for resource aws.account; name the web ACLs")
        if not is_account and "scope" in self.data:
            raise self.invalid("scope follows from the resource; remove it")

    def find_web_acls(self, targets: Iterable[Target]) -> None:
        """Give every resource its web ACLs; one without, or not known, has its result then."""
        listed: dict[str, list[WebAcl]] = {}
        wanted = self.data.get("web-acls")
        for target in targets:
            try:
                if wanted is None:
                    own = web_acl.of_resource(self, target.waf, target.resource)
                    target.web_acls = [own] if own else []
                else:
                    if target.waf.scope not in listed:
                        names = None if wanted == "all" else wanted
                        listed[target.waf.scope] = web_acl.named(target.waf, names)
                    target.web_acls = listed[target.waf.scope]
            except RefusedError as refused:
                self.not_known([target], refused)
                continue
            if not target.web_acls:
                self._without_web_acl(target, wanted)

    def _without_web_acl(self, target: Target, wanted: Any) -> None:
        scope = target.waf.scope
        if wanted is None:
            reason = "the resource has no web ACL of AWS WAF; associate one"
            target.end("failed", "NoWebAcl", reason)
        elif wanted == "all":
            target.end("skipped", "NoWebAcl", f"there is no web ACL of scope {scope}")
        else:
            reason = f"no web ACL of scope {scope} is named {' or '.join(wanted)}"
            target.end("skipped" if self.kind == "account" else "failed", "NoWebAcl", reason)

    def not_known(self, targets: Sequence[Target], refused: RefusedError) -> None:
        """Record a refused read."""
        unique = {target.id: target.resource for target in targets}
        self.not_evaluated(unique.values(), refused.code, str(refused))
        for target in targets:
            target.end("not-evaluated", refused.code, str(refused))

    def report(self, targets: Sequence[Target]) -> dict[str, Any]:
        """What the action returns."""
        results = [target.row for target in targets]
        counts = dict(Counter(str(row["outcome"]) for row in results))
        summary = " ".join(f"{outcome}:{count}" for outcome, count in sorted(counts.items()))
        self.log.info("policy:%s %s %s", self.manager.ctx.policy.name, self.label, summary)
        return {"results": results, "counts": counts}


def by_scope(targets: Iterable[Target]) -> list[list[Target]]:
    """The targets without a result yet, those of a scope together."""
    found: dict[str, list[Target]] = {}
    for target in targets:
        if not target.outcome:
            found.setdefault(target.waf.scope, []).append(target)
    return list(found.values())
