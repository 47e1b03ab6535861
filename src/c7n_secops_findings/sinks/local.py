"""The sink ``local``: a store of Parquet files under the run's output directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks import Refusal
from c7n_secops_findings.store import Store


class LocalSink:
    """Keeps records in a :class:`~c7n_secops_findings.store.Store`."""

    def __init__(self, folder: Path):
        self.store = Store(folder)

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        self.store.write(findings)
        return []
