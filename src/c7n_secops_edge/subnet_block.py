"""Denying addresses in network ACLs for a time, and taking that away again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from c7n.actions import EventAction

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops.aws.planner import batches
from c7n_secops.element import SecOpsElement
from c7n_secops_edge import guardduty, network_acl, protected
from c7n_secops_edge.network_acl import FIRST, LAST, NetworkAcl, NoNumberError
from c7n_secops_edge.protected import UnknownError
from c7n_secops_edge.screen import Screen, Screened
from c7n_secops_edge.waf import utcnow

MINUTES = 1440
AT_ONCE = 200
"""Values that a filter of EC2 takes."""

Row = dict[str, Any]


class SubnetAction(SecOpsElement, EventAction):
    """What blocking and expiring share: one result a resource."""

    def report(self, rows: list[Row]) -> dict[str, Any]:
        counts = dict(Counter(str(row["outcome"]) for row in rows))
        summary = " ".join(f"{outcome}:{count}" for outcome, count in sorted(counts.items()))
        self.log.info("policy:%s %s %s", self.manager.ctx.policy.name, self.label, summary)
        return {"results": rows, "counts": counts}

    def not_known(self, resources: list[Row], refused: RefusedError) -> list[Row]:
        """Record a refused read, and the results that say so."""
        self.not_evaluated(resources, refused.code, str(refused))
        id_key = self.manager.get_model().id
        return [ended(r[id_key], "not-evaluated", refused.code, str(refused)) for r in resources]


class SubnetBlock(SubnetAction):
    """What ``network-acl-block`` does; the element's file has its schema and documentation."""

    def validate(self) -> Any:
        super().validate()
        source, mode = self.data.get("from"), self.manager.data.get("mode") or {}
        if source == "event" and mode.get("type", "pull") in ("pull", "periodic"):
            raise self.invalid("from: event needs a mode with events; set mode.type to guard-duty")
        if "direction" in self.data and source != "event":
            raise self.invalid("direction is about the connection of an event; set from: event")
        first, last = self._numbers
        if first > last:
            raise self.invalid(f"rule-numbers.first {first} is after rule-numbers.last {last}")
        return self

    def plan(self, resources: list[Row]) -> list[Row]:
        """What would be denied where; nothing is read of the network ACLs."""
        if self.data.get("from") == "event":
            return [{"InstanceId": r["InstanceId"], "skipped": "no event yet"} for r in resources]
        try:
            screened = self._screen(None)
        except (UnknownError, RefusedError) as error:
            return [{"InstanceId": r["InstanceId"], "failed": str(error)} for r in resources]
        said = {"block": [str(n) for n in screened.networks], "refused": screened.refused}
        return [
            {"InstanceId": r["InstanceId"], "subnets": sorted(set(subnets_of(r))), **said}
            for r in resources
        ]

    def process(
        self, resources: list[Row], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        ids = [resource["InstanceId"] for resource in resources]
        try:
            screened = self._screen(event)
        except UnknownError as error:
            reason = f"nothing was blocked: {error}"
            return self.report([ended(i, "failed", "ProtectionUnknown", reason) for i in ids])
        except RefusedError as refused:
            return self.report(self.not_known(resources, refused))
        said = {"refused": screened.refused} if screened.refused else {}
        if not screened.networks:
            reason = "no address is left that may be blocked"
            return self.report([ended(i, "skipped", "NothingToBlock", reason) | said for i in ids])
        subnets = [subnet for resource in resources for subnet in subnets_of(resource)]
        client = calls.client(self, "ec2")
        try:
            acls = [
                acl
                for batch in batches(sorted(set(subnets)), AT_ONCE)
                for acl in network_acl.of_subnets(client, batch, *self._numbers)
            ]
        except RefusedError as refused:
            return self.report(self.not_known(resources, refused))
        denied = {acl.id: self._deny(acl, screened) for acl in acls}
        of_subnet = {row["SubnetId"]: acl.id for acl in acls for row in acl.row["Associations"]}
        return self.report(
            [self._conclude(resource, of_subnet, denied) | said for resource in resources]
        )

    @property
    def _numbers(self) -> tuple[int, int]:
        given = self.data.get("rule-numbers", {})
        return given.get("first", FIRST), given.get("last", LAST)

    def _screen(self, event: Mapping[str, Any] | None) -> Screened:
        offered = list(self._offered(event))
        if not offered:
            return Screened()
        allowed = protected.allowed(self, self.data.get("allow", {}))
        (screened,) = Screen(self, allowed).all([offered])
        return screened

    def _offered(self, event: Mapping[str, Any] | None) -> Iterator[tuple[Any, float]]:
        source = self.data["from"]
        if source == "event":
            direction = self.data.get("direction", guardduty.INBOUND)
            texts = guardduty.remote_addresses(event, direction)
        else:
            texts = [*source.get("addresses", ()), *protected.listed(self, source)]
        return ((text, 0) for text in texts)

    def _deny(self, acl: NetworkAcl, screened: Screened) -> dict[str, Row]:
        """Deny all networks in a network ACL; says of each what became of it."""
        now = utcnow()
        expires = now + timedelta(minutes=self.data.get("duration", MINUTES))
        said: dict[str, Row] = {}
        for network in screened.networks:
            try:
                what = {"entry": acl.deny(network, expires, now), "until": expires.isoformat()}
            except NoNumberError as error:
                what = {"entry": "failed", "code": "NoRuleNumber", "reason": str(error)}
            except FAILURES as error:
                code, reason = calls.failure(error)
                what = {"entry": "failed", "code": code, "reason": reason}
            said[str(network)] = what
        return said

    def _conclude(
        self, resource: Row, of_subnet: dict[str, str], denied: dict[str, dict[str, Row]]
    ) -> Row:
        its = {of_subnet[s]: denied[of_subnet[s]] for s in subnets_of(resource) if s in of_subnet}
        name = resource["InstanceId"]
        if not its:
            return ended(name, "failed", "NoNetworkAcl", "no network ACL of its subnets was found")
        rows = [row for acl in its.values() for row in acl.values()]
        failed = [row for row in rows if row["entry"] == "failed"]
        found = {"network-acls": its}
        if failed:
            outcome = "failed" if len(failed) == len(rows) else "partial"
            return ended(name, outcome, failed[0]["code"], failed[0]["reason"]) | found
        if all(row["entry"] == "present" for row in rows):
            reason = "all addresses were denied already"
            return ended(name, "skipped", "AlreadyBlocked", reason) | found
        return ended(name, "blocked") | found


class SubnetExpire(SubnetAction):
    """What ``network-acl-expire`` does; the element's file has its schema and documentation."""

    def plan(self, resources: list[Row]) -> list[Row]:
        """Which network ACLs have entries whose time is over, by their tags."""
        return [
            {"NetworkAclId": r["NetworkAclId"], "over": self._is_over(r, utcnow())}
            for r in resources
        ]

    def process(
        self, resources: list[Row], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        now = utcnow()
        over = [resource for resource in resources if self._is_over(resource, now)]
        rows = [
            ended(r["NetworkAclId"], "skipped", "NothingExpired", "no entry's time is over")
            for r in resources
            if r not in over
        ]
        client = calls.client(self, "ec2")
        for batch in batches(over, AT_ONCE):
            try:
                fresh = network_acl.by_id(client, [r["NetworkAclId"] for r in batch])
            except RefusedError as refused:
                rows += self.not_known(batch, refused)
                continue
            rows += [self._expire(acl, now) for acl in fresh]
        return self.report(rows)

    def _is_over(self, resource: Row, now: datetime) -> bool:
        return NetworkAcl(None, resource).has_expired(now)

    def _expire(self, acl: NetworkAcl, now: datetime) -> Row:
        try:
            return ended(acl.id, "expired") | {"networks": acl.sweep(now)}
        except FAILURES as error:
            return ended(acl.id, "failed", *calls.failure(error))


def ended(name: str, outcome: str, code: str | None = None, reason: str | None = None) -> Row:
    """One result."""
    said = {"code": code, "reason": reason}
    return {"resource": name, "outcome": outcome, **{k: v for k, v in said.items() if v}}


def subnets_of(instance: Row) -> list[str]:
    """The subnets that an instance has an interface in."""
    interfaces = instance.get("NetworkInterfaces", ())
    found = [interface["SubnetId"] for interface in interfaces if "SubnetId" in interface]
    return found or [instance["SubnetId"]] if "SubnetId" in instance else found
