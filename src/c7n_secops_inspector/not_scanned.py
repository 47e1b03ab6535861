"""Why Inspector's silence about a resource is not a clean bill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from c7n_secops.aws.calls import RefusedError
from c7n_secops_inspector.reader import InspectorReader

NOT_COVERED = "NOT_COVERED"


def why_not_scanned(
    reader: InspectorReader,
    ids: Sequence[str],
    scan_types: Sequence[str],
    refusal: RefusedError | None,
) -> dict[str, tuple[str, str]]:
    """For each of the ids that Inspector has not scanned, or not let us read: code and reason.

    ``scan_types`` are the scans that must have run; where none is named the package scan must
    have, and any other that Inspector lists. ``refusal`` is what ended the reading of findings.
    """
    if not ids:
        return {}
    rows: dict[str, list[dict[str, Any]]] = {}
    if refusal is None:
        rows, refusal = reader.coverage(ids, scan_types)
    needed = scan_types or ("PACKAGE",)
    reasons = {}
    uncovered = {}
    for name in ids:
        covered = {row["scanType"]: row for row in rows.get(name, ())}
        gap = next((row for row in covered.values() if not is_scanned(row)), None)
        if gap is not None:
            status = gap["scanStatus"]
            reasons[name] = (
                status["reason"],
                f"the {gap['scanType']} scan is {status['statusCode']}: {status['reason']}",
            )
        elif lacking := [scan for scan in needed if scan not in covered]:
            uncovered[name] = lacking
    if uncovered:
        reason = _refused(reader, refusal) if refusal else _switched_off(reader)
        for name, lacking in uncovered.items():
            reasons[name] = reason or (
                NOT_COVERED,
                f"Inspector lists no {' and no '.join(lacking)} scan of the resource",
            )
    return reasons


def is_scanned(row: dict[str, Any]) -> bool:
    """Whether a coverage row says that the resource was scanned and still is."""
    status = row["scanStatus"]
    return bool(status["statusCode"] == "ACTIVE" and status["reason"] == "SUCCESSFUL")


def _refused(reader: InspectorReader, refusal: RefusedError) -> tuple[str, str]:
    """A refusal, or that Inspector is off where that may be what stands behind it."""
    off = _switched_off(reader) if refusal.denied else None
    return off or (refusal.code, str(refusal))


def _switched_off(reader: InspectorReader) -> tuple[str, str] | None:
    """That Inspector is off for this kind of resource; None where it is on or will not say."""
    try:
        state = reader.switched_off()
    except RefusedError:
        return None
    if state is None:
        return None
    where = f"account {reader.account} region {reader.region}"
    return f"INSPECTOR_{state}", f"Inspector is {state} for {reader.kind.type} in {where}"
