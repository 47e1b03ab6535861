"""Sweeps that ran apart as one, and what differs between two of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c7n_secops_tools.fleet.outcome import Outcome, Unit
from c7n_secops_tools.fleet.sweep import FILE

NEW, GONE, MORE, FEWER = "new", "gone", "more", "fewer"
UNKNOWN, KNOWN = "not known any more", "known now"


class ResultsError(Exception):
    """A file that is no sweep.json."""


def read(path: Path) -> dict[str, Any]:
    """A ``sweep.json``, with the outcomes of its units."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**data, "units": [Outcome.from_json(unit) for unit in data["units"]]}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ResultsError(f"{path} is no sweep.json: {error}") from error


def gathered(folder: Path) -> dict[str, Any]:
    """The sweeps below a folder as one, in the form of ``sweep.json``."""
    found = [read(path) for path in sorted(folder.rglob(FILE))]
    if not found:
        raise ResultsError(f"there is no {FILE} below {folder}")
    units = sorted((unit for one in found for unit in one["units"]), key=lambda one: one.unit)
    states = Counter(unit.state for unit in units)
    return {
        "started": min(one["started"] for one in found),
        "ended": max(one["ended"] for one in found),
        "dryrun": any(one["dryrun"] for one in found),
        "kept": sum(one["kept"] for one in found),
        "states": dict(sorted(states.items())),
        "units": units,
    }


@dataclass(frozen=True)
class Change:
    """How many resources a policy matched in an account and region, before and now.

    None is what is not known: of a unit that is not there, or whose policy did not finish.
    """

    unit: Unit
    before: int | None
    now: int | None
    kind: str

    def as_json(self) -> dict[str, Any]:
        """The change as plain data."""
        return {**self.unit._asdict(), "before": self.before, "now": self.now, "kind": self.kind}


def changes(old: Iterable[Outcome], new: Iterable[Outcome]) -> list[Change]:
    """The units whose matches are not as many as before."""
    before, now = ({one.unit: one for one in side} for side in (old, new))
    found = []
    for unit in sorted({*before, *now}):
        then, here = before.get(unit), now.get(unit)
        kind = _kind(then, here)
        if kind:
            found.append(
                Change(unit, then.matched if then else None, here.matched if here else None, kind)
            )
    return found


def _kind(then: Outcome | None, here: Outcome | None) -> str:
    if then is None or here is None:
        return GONE if here is None else NEW
    if then.matched == here.matched:
        return ""
    if here.matched is None:
        return UNKNOWN
    if then.matched is None:
        return KNOWN
    return MORE if here.matched > then.matched else FEWER


def totals(found: Sequence[Change]) -> dict[str, int]:
    """How many changes there are of each kind."""
    return dict(sorted(Counter(change.kind for change in found).items()))
