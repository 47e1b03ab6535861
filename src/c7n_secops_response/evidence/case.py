"""One instance in one run: its steps, what each changed, and the ledger that remembers them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.evidence.lock import LOCK, MANIFEST, CaseLock, LockedError
from c7n_secops_response.evidence.store import Folder

PRIOR = "ledger/10-prior.json"
NUMBERS = {
    "evidence": 20,
    "snapshots": 30,
    "protect": 40,
    "asg": 50,
    "elb": 52,
    "gather": 60,
    "cut-tracked": 68,
    "contain": 70,
    "imds": 72,
    "profile": 80,
    "sessions": 82,
    "eip": 84,
    "restore-profile": 90,
    "restore-attributes": 91,
    "restore-imds": 92,
    "restore-eip": 93,
    "restore-groups": 94,
    "reattach-asg": 95,
    "reattach-elb": 96,
    "remove-revocation": 97,
}
"""Every step there is, in order; a step's object is ``ledger/<number>-<step>.json``."""

RELEASE = tuple(step for step, number in NUMBERS.items() if number >= 90)

log = logging.getLogger("custodian.c7n_secops.case")


class StepError(Exception):
    """A step cannot be done, for a reason that is not an error of AWS."""


@dataclass
class Entry:
    """What a step came to: done, failed, skipped or pending, and what it changed.

    A skipped step has no object of its own: the manifest tells its reason.
    """

    status: str = "done"
    before: Any = None
    after: Any = None
    reason: str | None = None


@dataclass
class Case:
    """An instance and its case in this run."""

    instance: dict[str, Any]
    name: str
    folder: Folder
    lock: CaseLock
    steps: dict[str, Entry] = field(default_factory=dict)
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    outcome: str = "partial"
    code: str | None = None
    lost: bool = False
    guest: bool = False
    """Whether this run only looks on: another case has the instance, or this one is closed."""

    @property
    def id(self) -> str:
        return str(self.instance["InstanceId"])

    # --- the ledger

    def open(self) -> None:
        """Take the lock, and read what earlier runs recorded; raises LockedError, RefusedError."""
        if self.lock.take():
            return
        try:
            self._read()
        except FAILURES:
            self.lock.free()
            raise

    def _read(self) -> None:
        for name in self.folder.names():
            if name == PRIOR:
                self.prior, _etag = self.folder.get_json(name)
            elif name.startswith("ledger/"):
                record, _etag = self.folder.get_json(name)
                self.ledger[record["step"]] = record
            elif name not in (LOCK, MANIFEST):
                self.folder.recall(name)

    def remember(self, sections: dict[str, Any]) -> None:
        """Keep prior state before it is changed. What an earlier run kept is never replaced.

        A section that is a dict of dicts gains the members that it lacks, and nothing else.
        """
        merged = {**sections, **self.prior}
        if "interfaces" in sections:
            merged["interfaces"] = {
                **sections["interfaces"],
                **self.prior.get("interfaces", {}),
            }
        if merged != self.prior:
            self.folder.put_json(PRIOR, merged)
            self.prior = merged

    def before(self, section: str) -> Any:
        """A section of the prior state; raises StepError where it was never recorded."""
        if section not in self.prior:
            raise StepError(f"the prior state ({section}) is not known, so nothing was changed")
        return self.prior[section]

    def ask(self, call: Callable[..., dict[str, Any]], **params: Any) -> dict[str, Any]:
        """One call, whose request id goes into the ledger with the step."""
        answer = call(**params)
        self.requests.append(
            {"operation": call.__name__, "id": answer["ResponseMetadata"].get("RequestId", "")}
        )
        return answer

    # --- steps

    def step(self, name: str, act: Callable[[], Entry]) -> None:
        """Do a step that no earlier run has done, and record it; a failure stops no other step."""
        record = self.ledger.get(name)
        if record and record["status"] == "done":
            self.steps[name] = Entry("done", record["before"], record["after"])
            return
        self.requests.clear()
        try:
            self.keep_lock()
            entry = act()
        except (StepError, LockedError) as error:
            entry = Entry("failed", reason=str(error))
        except FAILURES as error:
            entry = Entry("failed", reason=calls.failure(error)[1])
        self.note(name, entry)

    def note(self, name: str, entry: Entry) -> None:
        """Record what a step came to."""
        self.steps[name] = entry
        if entry.status == "failed":
            log.warning("case %s %s %s failed: %s", self.name, self.id, name, entry.reason)
        if entry.status == "skipped" or self.lost:
            return
        record = {
            "step": name,
            **asdict(entry),
            "requests": list(self.requests),
            "run": self.lock.run,
            "at": now(),
        }
        try:
            self.folder.put_json(f"ledger/{NUMBERS[name]}-{name}.json", record)
        except FAILURES as error:
            reason = f"{entry.status}, but not recorded: {calls.failure(error)[1]}"
            self.steps[name] = Entry("failed", entry.before, entry.after, reason)
            log.warning("case %s %s %s %s", self.name, self.id, name, reason)

    def keep_lock(self) -> None:
        """Raise LockedError once another run has the case; an unreachable bucket is no reason."""
        if self.lost:
            raise LockedError("another run took the case over")
        try:
            self.lock.keep()
        except LockedError:
            self.lost = True
            raise
        except FAILURES as error:
            log.warning("case %s %s lock not renewed: %s", self.name, self.id, error)

    @property
    def failed(self) -> list[str]:
        return [name for name, entry in self.steps.items() if entry.status == "failed"]

    @property
    def reason(self) -> str | None:
        """Why the outcome is what it is: notes, and what failed or was skipped for a reason."""
        texts = [*self.notes]
        texts += [
            f"{name}: {entry.reason}"
            for name, entry in self.steps.items()
            if entry.reason and entry.status in ("failed", "skipped", "pending")
        ]
        return "; ".join(texts) or None

    def close(self) -> None:
        """Write the manifest, which also sets the lock free."""
        if self.lost:
            return
        earlier = {name: record["status"] for name, record in self.ledger.items()}
        steps = {**earlier, **{name: entry.status for name, entry in self.steps.items()}}
        manifest = {
            "case": self.name,
            "instance": self.id,
            "run": self.lock.run,
            "at": now(),
            "outcome": self.outcome,
            "reason": self.reason,
            "steps": steps,
            "objects": [
                stored.to_dict()
                for name, stored in sorted(self.folder.objects.items())
                if name != MANIFEST
            ],
        }
        try:
            self.folder.put_json(MANIFEST, manifest)
        except FAILURES as error:
            self.fail("manifest", calls.failure(error)[1])
            log.warning("case %s %s manifest not written: %s", self.name, self.id, error)
            self.lock.free()

    def fail(self, name: str, reason: str) -> None:
        """Count something as failed that the ledger cannot tell."""
        self.steps[name] = Entry("failed", reason=reason)
        if self.outcome not in ("failed", "not-evaluated"):
            self.outcome = "partial"


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
