"""What the actions of a case share: who may be worked on, the lock, evidence, tags, results."""

from __future__ import annotations

import math
import time
import uuid
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime, timezone
from threading import Lock
from typing import Any, ClassVar

from c7n.actions import EventAction
from c7n.exceptions import PolicyExecutionError
from c7n.utils import dumps

from c7n_secops import deadline
from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops.aws.planner import batches
from c7n_secops.element import SecOpsElement
from c7n_secops_response.evidence import capture, names, shared
from c7n_secops_response.evidence.case import Case, Entry
from c7n_secops_response.evidence.lock import CaseLock, LockedError
from c7n_secops_response.evidence.names import CaseNameError
from c7n_secops_response.evidence.options import (
    CASE,
    CASE_DOC,
    DEFAULT_PIECES,
    RESULT_DOC,
    SNAPSHOTS,
    STATE,
    STORE_DOC,
)
from c7n_secops_response.evidence.snapshots import Snapshots, tag, volumes
from c7n_secops_response.evidence.store import ConflictError, Folder, Store, StoreError
from c7n_secops_response.permissions import EVIDENCE, Uses

WORKERS = 10
"""Instances that are worked on at the same time."""

IDS_PER_TAGGING = 1000
LOCK_SECONDS = 900
GONE = ("terminated", "shutting-down")
BAD = ("failed", "not-evaluated")
CASE_PERMISSIONS = (
    "ec2:CreateTags",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
    "s3:PutObjectRetention",
    "sts:AssumeRole",
)
EVIDENCE_PERMISSIONS = (
    "ec2:CopySnapshot",
    "ec2:CreateSnapshots",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeSnapshots",
    "ec2:GetConsoleOutput",
    "ec2:GetConsoleScreenshot",
    "ec2:LockSnapshot",
    "ec2:ModifySnapshotAttribute",
)


class CaseAction(SecOpsElement, EventAction):
    """Works on the cases of instances, several at a time, and returns one result for each."""

    packages = ("c7n_secops_ssm",)
    exempt_tag: str | None = None
    """The tag whose instances are left alone."""
    optional: ClassVar[Mapping[str, Uses]] = {}
    """The permissions that not every choice of options takes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        doc = cls.__doc__ or ""
        for place, text in (("case", CASE_DOC), ("store", STORE_DOC), ("result", RESULT_DOC)):
            doc = doc.replace(f"{{about {place}}}", text.strip())
        cls.__doc__ = doc

    def get_permissions(self) -> tuple[str, ...]:
        permissions: tuple[str, ...] = self.permissions
        if not self.data:
            return permissions
        by_evidence = {name: uses(self.evidence) for name, uses in EVIDENCE.items()}
        taken = {**by_evidence, **{name: uses(self.data) for name, uses in self.optional.items()}}
        return tuple(name for name in permissions if taken.get(name, True))

    @property
    @abstractmethod
    def evidence(self) -> dict[str, Any]:
        """The keys of the evidence bucket and of what is collected."""

    @abstractmethod
    def work(self, cases: list[Case]) -> None:
        """Do the steps of these cases, whose locks are held."""

    def tags_of(self, case: Case) -> dict[str, str]:
        """The tags that an instance gets at the end."""
        return {}

    def admits(self, case: Case) -> None:
        """Raise CaseError where this action must not work on the case; its lock is held."""

    def finish(self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None) -> None:
        """Called once, when all results are known."""

    def validate(self) -> Any:
        super().validate()
        mode = self.manager.data.get("mode") or {}
        if "timeout" in mode and mode["timeout"] < deadline.RESERVE + 60:
            raise self.invalid(
                f"mode.timeout {mode['timeout']} leaves no time, since the last "
                f"{deadline.RESERVE:.0f} seconds are kept for containment; set at least 180"
            )
        return self

    # --- the plan of a dry run

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What would be done to each instance, as far as the instance itself says. No calls."""
        plans = []
        for instance in resources:
            row: dict[str, Any] = {"InstanceId": instance["InstanceId"]}
            state = instance["State"]["Name"]
            if state in GONE:
                row["skipped"] = f"the instance is {state}"
            elif self._is_exempt(instance):
                row["skipped"] = f"it has the tag {self.exempt_tag}"
            else:
                try:
                    row["case"] = self._case_name(instance, {})
                except CaseNameError as error:
                    row["case"] = str(error)
                row.update(self.planned(instance))
            plans.append(row)
        return plans

    @abstractmethod
    def planned(self, instance: dict[str, Any]) -> dict[str, Any]:
        """The part of an instance's plan that is this action's own."""

    def planned_evidence(self, instance: dict[str, Any]) -> dict[str, Any]:
        """What would be collected, and where it would be put."""
        pieces = self.evidence.get("collect", DEFAULT_PIECES)
        plan: dict[str, Any] = {"bucket": self.evidence["bucket"], "collect": list(pieces)}
        if "snapshots" in pieces:
            plan["snapshots"] = volumes(instance, self.evidence.get("snapshots", {}))
        return plan

    # --- one run

    def process(
        self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Work on every instance; raises PolicyExecutionError where one is failed, at the end."""
        self.results: dict[str, dict[str, Any]] = {}
        self._clients: dict[tuple[str, bool], Any] = {}
        self._making = Lock()
        self.run = uuid.uuid4().hex
        self.evidence_until = deadline.after(math.inf)
        cases = self._open(resources, event or {})
        try:
            if cases:
                self.work(cases)
        finally:
            self._close(cases)
        results = [self.results[row["InstanceId"]] for row in resources]
        counts = dict(Counter(row["outcome"] for row in results))
        self.finish(resources, event)
        answer = {"results": results, "counts": counts}
        summary = " ".join(f"{outcome}:{count}" for outcome, count in sorted(counts.items()))
        self.log.info("policy:%s %s %s", self.manager.ctx.policy.name, self.label, summary)
        bad = [row for row in results if row["outcome"] in BAD or self.is_bad(row)]
        if bad:
            self.manager.ctx.output.write_file(f"action-{self.name}", dumps(answer))
            first = bad[0]
            raise PolicyExecutionError(
                f"policy:{self.manager.ctx.policy.name} {self.label} failed on {len(bad)} of "
                f"{len(results)} instances; {first['InstanceId']}: {first.get('reason')}"
            )
        return answer

    def is_bad(self, result: dict[str, Any]) -> bool:
        """Whether a result makes the policy fail, beside the outcomes that always do."""
        return False

    def each(self, cases: Sequence[Case], work: Callable[[Case], None]) -> None:
        """Work on several cases at a time; the first error is raised when all are done."""
        if len(cases) < 2:
            for case in cases:
                work(case)
            return
        with ThreadPoolExecutor(min(WORKERS, len(cases))) as pool:
            futures = [pool.submit(copy_context().run, work, case) for case in cases]
        for future in futures:
            future.result()

    def client(self, service: str, *, retry: bool = True) -> Any:
        """A client of this run, made when it is first asked for."""
        with self._making:
            key = (service, retry)
            if key not in self._clients:
                self._clients[key] = calls.client(self, service, retry=retry)
            return self._clients[key]

    @property
    def out_of_time(self) -> bool:
        """Whether a Lambda has only the time left that containment needs."""
        return time.monotonic() >= self.evidence_until

    # --- opening: nothing is changed before all of this has passed

    def _open(self, resources: list[dict[str, Any]], event: Mapping[str, Any]) -> list[Case]:
        self.ec2 = self.client("ec2")
        try:
            self._check_expanded()
            self.store = Store(self, self.evidence, f"c7n-secops-{self.run[:12]}")
            self.store.check()
        except (StoreError, RefusedError) as error:
            self._refuse(resources, error.code, f"nothing was changed: {error}")
            return []
        ids = [row["InstanceId"] for row in resources]
        described = shared.instances(self.ec2, ids)
        cases = []
        for resource in resources:
            with self._refusing(resource):
                rows = described.of(resource["InstanceId"])
                instance = rows[0] if rows else {**resource, "State": {"Name": "terminated"}}
                case = self._case(instance, event)
                if case:
                    cases.append(case)
        opened: list[Case] = []
        self.each(cases, lambda case: self._take(case, opened))
        order = {name: number for number, name in enumerate(ids)}
        return sorted(opened, key=lambda case: order[case.id])

    def _check_expanded(self) -> None:
        for key, value in self.evidence.items():
            if isinstance(value, str) and "{" in value:
                raise StoreError(
                    "NotExpanded",
                    f"{key} is {value!r}, which nothing expanded; set it in the vars of the run",
                )

    def _case(self, instance: dict[str, Any], event: Mapping[str, Any]) -> Case | None:
        """The case of an instance, or None where it is left alone."""
        state = instance["State"]["Name"]
        if state in GONE:
            self._result(instance, "skipped", "Terminated", f"the instance is {state}")
            return None
        if self._is_exempt(instance):
            self._result(instance, "skipped", "Exempt", f"it has the tag {self.exempt_tag}")
            return None
        name = self._case_name(instance, event)
        folder = self.folder(name, instance["InstanceId"])
        return Case(instance, name, folder, CaseLock(folder, self.run, self._lock_seconds()))

    def _is_exempt(self, instance: dict[str, Any]) -> bool:
        return any(mark["Key"] == self.exempt_tag for mark in instance.get("Tags", ()))

    def _case_name(self, instance: dict[str, Any], event: Mapping[str, Any]) -> str:
        values = names.values_for(
            instance,
            event,
            self.manager.config.account_id,
            self.manager.config.region,
            datetime.now(timezone.utc),
            tag(instance, CASE),
        )
        return names.fill(self.data["case-id"], values)

    def folder(self, case: str, instance_id: str) -> Folder:
        config = self.manager.config
        path = "/".join((self.store.prefix, case, config.account_id, config.region, instance_id))
        return Folder(self.store, path)

    def _lock_seconds(self) -> float:
        """As long as a run may last: in a Lambda, no longer than the Lambda."""
        seconds = float(self.data.get("lock-timeout", LOCK_SECONDS))
        left = self.evidence_until + deadline.RESERVE - time.monotonic()
        return min(seconds, max(left, 1.0))

    def _take(self, case: Case, opened: list[Case]) -> None:
        with self._refusing(case.instance, case.name):
            self.before_lock(case)
            case.open()
            try:
                self.admits(case)
            except CaseError as error:
                case.guest = True
                case.outcome, case.code = error.outcome, error.code
                case.notes.append(str(error))
                self._close([case])
            else:
                opened.append(case)

    def before_lock(self, case: Case) -> None:
        """Raise CaseError where not even the lock may be taken."""

    @contextmanager
    def _refusing(self, instance: dict[str, Any], case: str | None = None) -> Iterator[None]:
        """Turn what prevents the work on an instance into its result."""
        try:
            yield
        except CaseNameError as error:
            self._result(instance, "failed", "InvalidCase", str(error), case)
        except LockedError as error:
            reason = f"case {case} on {instance['InstanceId']}: {error}; nothing was changed"
            self._result(instance, "failed", "CaseLocked", reason, case)
        except CaseError as error:
            self._result(instance, error.outcome, error.code, str(error), case)
        except RefusedError as refused:
            self.not_evaluated([instance], refused.code, str(refused))
            reason = f"nothing was changed: {refused}"
            self._result(instance, "not-evaluated", refused.code, reason, case)
        except FAILURES as error:
            code, message = calls.failure(error)
            self._result(instance, "failed", code, f"nothing was changed: {message}", case)
        except ConflictError as error:
            self._result(instance, "failed", "Conflict", f"{error} was written meanwhile", case)

    def _refuse(self, instances: Sequence[dict[str, Any]], code: str, reason: str) -> None:
        for instance in instances:
            self._result(instance, "failed", code, reason)

    def _result(
        self,
        instance: dict[str, Any],
        outcome: str,
        code: str | None = None,
        reason: str | None = None,
        case: str | None = None,
        steps: dict[str, str] | None = None,
    ) -> None:
        row = {
            "InstanceId": instance["InstanceId"],
            "case": case,
            "outcome": outcome,
            "code": code,
            "reason": reason,
            "steps": steps or {},
        }
        self.results[instance["InstanceId"]] = {
            key: value for key, value in row.items() if value is not None
        }
        if outcome in BAD:
            self.log.error(
                "policy:%s %s %s %s: %s",
                self.manager.ctx.policy.name,
                self.label,
                instance["InstanceId"],
                outcome,
                reason,
            )

    # --- closing: manifests, tags, results

    def _close(self, cases: Sequence[Case]) -> None:
        """Write the manifests, then the tags, each of which says only what was written before."""
        self.each(cases, Case.close)
        self._tag_at_the_end(cases)
        for case in cases:
            steps = {name: entry.status for name, entry in case.steps.items()}
            code = case.code or ("StepFailed" if case.failed else None)
            self._result(case.instance, case.outcome, code, case.reason, case.name, steps)

    def _tag_at_the_end(self, cases: Sequence[Case]) -> None:
        groups: dict[tuple[tuple[str, str], ...], list[Case]] = defaultdict(list)
        for case in cases:
            marks = {} if case.lost or case.guest else self.tags_of(case)
            if marks:
                groups[tuple(sorted(marks.items()))].append(case)
        for shared_marks, group in groups.items():
            for refused in self.mark(group, dict(shared_marks)):
                refused.fail("tags", "the final tags were not written")

    def mark(self, cases: Sequence[Case], marks: dict[str, str]) -> list[Case]:
        """Tag the instances, and return those for which AWS did not take it."""
        refused: list[Case] = []
        tags = [{"Key": key, "Value": value} for key, value in marks.items()]
        for some in batches(list(cases), IDS_PER_TAGGING):
            if not self._create_tags([case.id for case in some], tags):
                refused += some
        return refused

    def _create_tags(self, ids: list[str], tags: list[dict[str, str]]) -> bool:
        try:
            self.ec2.create_tags(Resources=ids, Tags=tags)
        except FAILURES as error:
            self.log.warning("%s tags %s of %s not written: %s", self.label, tags, ids, error)
            return False
        return True

    # --- evidence

    def validate_evidence(self) -> None:
        """Raise PolicyValidationError where keys of the evidence do not fit together."""
        if "copy-key" in self.evidence.get("snapshots", {}) and "role" not in self.evidence:
            raise self.invalid(
                "snapshots.copy-key copies into the account of the evidence role; set role"
            )

    def prepare_evidence(self, cases: Sequence[Case]) -> None:
        """The reads that all cases share; before :meth:`collect`."""
        options = self.evidence
        self.pieces = list(options.get("collect", DEFAULT_PIECES))
        self.capture = capture.Capture(self.ec2, self.pieces)
        wanted = dict(options.get("snapshots", {}))
        forensic = account = None
        if "copy-key" in wanted:
            forensic = calls.client(self, "ec2", retry=False, credentials=self.store.credentials)
            account = options["role"].split(":")[4]
        self.snapshots = Snapshots(
            self.ec2, self.client("ec2", retry=False), wanted, forensic, account
        )
        if "snapshots" in self.pieces:
            self.snapshots.look_up(cases)
        self.interfaces = shared.interfaces(self.ec2, [case.id for case in cases])

    def collect(self, case: Case, attributes: Callable[[], dict[str, Any]]) -> bool:
        """Take the evidence of a case; whether to go on with it."""
        if set(self.pieces) - {"snapshots"}:
            self._timely(case, "evidence", lambda: self._collect(case, attributes))
        if "snapshots" in self.pieces:
            self._timely(case, "snapshots", lambda: self.snapshots.take(case))
        if case.failed and self.evidence.get("on-error") == "abort":
            case.outcome, case.code = "failed", "Aborted"
            case.notes.append("stopped, since on-error is abort")
            return False
        return True

    def _collect(self, case: Case, attributes: Callable[[], dict[str, Any]]) -> Entry:
        described = {
            "Instance": case.instance,
            "NetworkInterfaces": self.interfaces.of(case.id),
        }
        return self.capture.collect(case, described, attributes)

    def _timely(self, case: Case, name: str, act: Callable[[], Entry]) -> None:
        if self.out_of_time:
            reason = "the Lambda's time is over; what is left of it is for containment"
            case.note(name, Entry("failed", reason=reason))
        else:
            case.step(name, act)

    def snapshot_tag(self, case: Case) -> dict[str, str]:
        """The tag that says whether the snapshots of the case are complete."""
        entry = case.steps.get("snapshots")
        if entry is None or entry.status == "skipped":
            return {}
        return {SNAPSHOTS: {"failed": "error"}.get(entry.status, entry.status)}


class CaseError(Exception):
    """The action does nothing for a case; ``outcome`` is the result's."""

    def __init__(self, outcome: str, code: str, reason: str):
        super().__init__(reason)
        self.outcome, self.code = outcome, code


def state_of(instance: dict[str, Any]) -> tuple[str, str]:
    """The case and the state that an instance's tags name; "" for what they do not."""
    return tag(instance, CASE), tag(instance, STATE)
