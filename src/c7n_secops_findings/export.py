"""Completes records and writes them to sinks, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c7n_secops.aws.calls import RefusedError
from c7n_secops_findings.decode.node import UnknownShapeError
from c7n_secops_findings.record import Finding, newest
from c7n_secops_findings.sinks import BATCH, Refusal, Sink

Complete = Callable[[Sequence[Finding]], tuple[list[Finding], list[Refusal]]]


@dataclass
class Tally:
    """What came of the findings of one resource.

    ``refusal`` is the first one and who gave it; ``unread`` says that not all could be listed.
    """

    exported: int = 0
    refused: int = 0
    refusal: tuple[str, Refusal] | None = None
    unread: RefusedError | None = None

    def refuse(self, by: str, refusal: Refusal) -> None:
        """Count one finding that is not stored."""
        self.refused += 1
        self.refusal = self.refusal or (by, refusal)

    def result(self) -> dict[str, Any]:
        """The same, as an action returns it."""
        made: dict[str, Any] = {"outcome": "exported", "findings": self.exported}
        if self.refusal:
            by, refusal = self.refusal
            made["outcome"] = "partial" if self.exported else "failed"
            made["code"] = refusal.code
            made["reason"] = f"{by} refused {self.refused} findings: {refusal.reason}"
        if self.unread:
            made.update(outcome="not-evaluated", code=self.unread.code, reason=str(self.unread))
        return made


class Export:
    """Takes findings one by one; each is stored in every sink, or counted as refused."""

    def __init__(self, complete: Complete, sinks: Mapping[str, Sink]):
        self.complete, self.sinks = complete, sinks
        self._waiting: list[tuple[Tally, Finding]] = []

    def add(self, findings: Iterable[Finding | UnknownShapeError]) -> Tally:
        """Take the findings of one resource; the tally is complete after :meth:`flush`."""
        tally = Tally()
        try:
            for finding in findings:
                if isinstance(finding, UnknownShapeError):
                    tally.refuse("decoding", Refusal("", "UnknownShape", str(finding)))
                    continue
                self._waiting.append((tally, finding))
                if len(self._waiting) >= BATCH:
                    self.flush()
        except RefusedError as refusal:
            tally.unread = refusal
        return tally

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        refusals = store(self.complete, self.sinks, newest([finding for _, finding in waiting]))
        for tally, finding in waiting:
            if finding.id in refusals:
                tally.refuse(*refusals[finding.id])
            else:
                tally.exported += 1


def store(
    complete: Complete, sinks: Mapping[str, Sink], findings: list[Finding]
) -> dict[str, tuple[str, Refusal]]:
    """Complete records and write them to every sink.

    Returns, by id of those that are not stored everywhere, who refused them first and why. What
    refused a record keeps it from no other sink.
    """
    completed, refusals = complete(findings)
    first = {refusal.id: ("enrichment", refusal) for refusal in refusals}
    for name, sink in sinks.items():
        for refusal in sink.write(completed) if completed else ():
            first.setdefault(refusal.id, (name, refusal))
    return first
