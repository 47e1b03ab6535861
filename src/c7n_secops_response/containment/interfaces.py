"""Puts every network interface of an instance into the quarantine group, and proves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_response.containment import prior
from c7n_secops_response.containment.groups import QuarantineGroups
from c7n_secops_response.containment.open_groups import OpenGroups
from c7n_secops_response.evidence import shared
from c7n_secops_response.evidence.case import Case, Entry, StepError
from c7n_secops_response.evidence.lock import LockedError
from c7n_secops_response.evidence.shared import Answers

ROUNDS = 3
"""How often what a re-read shows is corrected: interfaces may be attached meanwhile."""

Each = Callable[[Sequence[Case], Callable[[Case], None]], None]


class Containment:
    """Moves the interfaces of the cases of a run; ``each`` works on several cases at a time."""

    def __init__(self, client: Any, groups: QuarantineGroups, opens: OpenGroups | None, each: Each):
        self.client, self.groups, self.opens, self.each = client, groups, opens, each
        self.now: Answers
        """The interfaces of each instance, as last read."""
        self._failures: dict[str, dict[str, str]] = {}
        self._cut: dict[str, list[str]] = {}
        self._uncut: dict[str, list[str]] = {}

    def look_up(self, cases: Sequence[Case], known: Answers) -> None:
        """Learn which groups there are, in the VPCs of the interfaces that are ``known``."""
        self.now = known
        self.groups.look_up(self._vpcs(cases))

    def is_cut_off(self, case: Case) -> bool:
        """Whether all interfaces had the quarantine group when they were last read."""
        rows = self._rows(case)
        return bool(rows) and all(self.groups.holds(row["VpcId"], row) for row in rows)

    def contain(self, cases: Sequence[Case]) -> None:
        """Contain the instances, and record the step."""
        for case in cases:
            case.requests.clear()
        waiting = list(cases)
        self._prepare(waiting)
        try:
            for _round in range(ROUNDS):
                self.each(waiting, self._move)
                self.now = shared.interfaces(self.client, [case.id for case in cases])
                waiting = [case for case in waiting if self._open_interfaces(case)]
                if not waiting:
                    break
                self._prepare(waiting)
        finally:
            if self.opens:
                self.opens.remove()
        self.each(cases, self._record)

    def _prepare(self, cases: Sequence[Case]) -> None:
        missing = {vpc for vpc in self._vpcs(cases) if not self.groups.is_ready(vpc)}
        self.groups.prepare(missing)
        if self.opens:
            self.opens.prepare(missing)

    def _vpcs(self, cases: Sequence[Case]) -> set[str]:
        return {row["VpcId"] for case in cases for row in self._rows(case)}

    def _rows(self, case: Case) -> list[dict[str, Any]]:
        try:
            return self.now.of(case.id)
        except RefusedError:
            return []

    def _open_interfaces(self, case: Case) -> list[dict[str, Any]]:
        """The interfaces that are not contained, and that could be."""
        return [
            row
            for row in self._rows(case)
            if not self._is_contained(row) and not row.get("RequesterManaged")
        ]

    def _is_contained(self, row: dict[str, Any]) -> bool:
        return self.groups.is_ready(row["VpcId"]) and self.groups.holds(row["VpcId"], row)

    def _move(self, case: Case) -> None:
        failures = self._failures[case.id] = {}
        try:
            case.keep_lock()
            rows = self._open_interfaces(case)
            case.remember({"interfaces": prior.of_interfaces(rows)})
        except LockedError as error:
            failures["lock"] = str(error)
            return
        except FAILURES as error:
            failures["prior state"] = f"not kept, so not moved: {calls.failure(error)[1]}"
            return
        for row in rows:
            reason = self._move_one(case, row)
            if reason:
                failures[row["NetworkInterfaceId"]] = reason

    def _move_one(self, case: Case, row: dict[str, Any]) -> str | None:
        """Why an interface could not be moved, or None."""
        name, vpc = row["NetworkInterfaceId"], row["VpcId"]
        try:
            target = self.groups.of(vpc)
        except StepError as error:
            return str(error)
        if self.opens:
            self._cut_tracked(case, row, self.opens)
        reason = self._set_group(case, name, target)
        if reason and self.opens:
            reason = self._set_group(case, name, target)
            if reason:
                self.opens.shut(vpc)
        return reason

    def _cut_tracked(self, case: Case, row: dict[str, Any], opens: OpenGroups) -> None:
        name = row["NetworkInterfaceId"]
        try:
            group = opens.of(row["VpcId"])
        except StepError as error:
            reason: str | None = str(error)
        else:
            reason = self._set_group(case, name, group)
        if reason:
            self._uncut.setdefault(case.id, []).append(f"{name}: {reason}")
        else:
            self._cut.setdefault(case.id, []).append(name)

    def _set_group(self, case: Case, interface: str, group: str) -> str | None:
        try:
            case.ask(
                self.client.modify_network_interface_attribute,
                NetworkInterfaceId=interface,
                Groups=[group],
            )
        except FAILURES as error:
            return calls.failure(error)[1]
        return None

    def _record(self, case: Case) -> None:
        """Say what the last re-read showed; only that makes an instance contained."""
        before = {name: row["groups"] for name, row in case.prior.get("interfaces", {}).items()}
        earlier = case.ledger.get("contain")
        try:
            rows = self.now.of(case.id)
        except RefusedError as refused:
            case.note("contain", Entry("failed", before, None, f"not re-read: {refused}"))
            return
        after = {row["NetworkInterfaceId"]: prior.groups_of(row) for row in rows}
        reasons = self._failures.get(case.id, {})
        wrong = {
            row["NetworkInterfaceId"]: "it is requester-managed, which only its service can change"
            if row.get("RequesterManaged")
            else reasons.get(row["NetworkInterfaceId"]) or ", ".join(reasons.values())
            for row in rows
            if not self._is_contained(row)
        }
        if not rows:
            reason = "AWS tells of no network interface, so nothing is proven"
            case.note("contain", Entry("failed", before, after, reason))
        elif wrong:
            reason = "not contained: " + "; ".join(
                f"{name} ({why or 'its groups changed'})" for name, why in wrong.items()
            )
            case.note("contain", Entry("failed", before, after, reason))
        elif earlier and earlier["status"] == "done" and earlier["after"] == after:
            case.steps["contain"] = Entry("done", before, after)
        else:
            case.note("contain", Entry("done", before, after))
        if case.id in self._uncut:
            reason = "tracked connections may live on: " + "; ".join(self._uncut[case.id])
            case.note("cut-tracked", Entry("failed", reason=reason))
        elif case.id in self._cut:
            case.note("cut-tracked", Entry("done", after=self._cut[case.id]))
