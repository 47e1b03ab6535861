"""Where records go. A sink is idempotent: writing a record again changes nothing.

A sink is made once for a run and written to in batches of at most :data:`BATCH` records, each of
another finding. ``write`` returns a :class:`Refusal` for each record that is not stored now; the
others are, for good. A record that is older than the stored one counts as stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from c7n_secops_findings.record import Finding

BATCH = 1000
"""Records in one write, so that memory stays flat whatever the number of findings."""


class Refusal(NamedTuple):
    """One record that is not stored, and why: AWS's error code, and its words."""

    id: str
    code: str
    reason: str


class Sink(Protocol):
    """One place that keeps records."""

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        """Store the records; returns those that are not."""


def refused(findings: Iterable[Finding], code: str, reason: str) -> list[Refusal]:
    """The same refusal for several records."""
    return [Refusal(finding.id, code, reason) for finding in findings]
