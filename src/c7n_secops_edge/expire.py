"""Taking blocks away whose time is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_edge import ring
from c7n_secops_edge.action import Target, WafAction, by_scope
from c7n_secops_edge.ring import RingError
from c7n_secops_edge.waf import utcnow


class IpExpire(WafAction):
    """What ``waf-ip-expire`` does; the element's file has its schema and documentation."""

    def validate(self) -> Any:
        super().validate()
        if self.kind != "account" and "scope" in self.data:
            raise self.invalid("scope follows from the resource; remove it")
        return self

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Which IP sets would be emptied."""
        rows = []
        for targets in by_scope(self.targets(resources)):
            try:
                slots = ring.read(targets[0].waf, self.data["name"])
                said = {"ip-sets": [slot.name for slot in slots if slot.has_expired(utcnow())]}
            except (RefusedError, RingError) as error:
                said = {"failed": [str(error)]}
            rows += [{"resource": t.id, "scope": t.waf.scope, **said} for t in targets]
        return rows

    def process(
        self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        targets = self.targets(resources)
        for several in by_scope(targets):
            self._expire(several)
        return self.report(targets)

    def _expire(self, targets: list[Target]) -> None:
        waf, name = targets[0].waf, self.data["name"]
        try:
            slots = ring.read(waf, name)
        except RefusedError as refused:
            self.not_known(targets, refused)
            return
        except RingError as error:
            for target in targets:
                target.end("failed", error.code, str(error))
            return
        try:
            emptied = ring.sweep(waf, name, slots)
        except (*FAILURES, RingError) as error:
            code, reason = failure(error)
            for target in targets:
                target.end("failed", code, reason)
            return
        for target in targets:
            if emptied:
                target.said["ip-sets"] = emptied
                target.end("expired")
            else:
                target.end("skipped", "NothingExpired", "no block's time is over")


def failure(error: Exception) -> tuple[str, str]:
    """The code and the message of what a write failed with."""
    return (error.code, str(error)) if isinstance(error, RingError) else calls.failure(error)
