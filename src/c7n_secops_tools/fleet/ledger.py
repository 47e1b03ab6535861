"""Who runs which unit, and what came of it: a folder that all workers of a sweep share.

A unit is claimed by making a file that must not exist yet, and finished by putting its outcome
in place whole. So a unit that is delivered twice runs once, and what a dead worker finished is
not lost. Each sweep, resumed ones too, is a generation of its own: a worker of an earlier one
that still lives claims nothing any more.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from c7n_secops_tools.fleet.outcome import Outcome, Unit

FOLDER = ".ledger"
CURRENT = "current"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one sweep; ``folder`` is the output folder's own, or another."""

    folder: Path
    generation: str

    @classmethod
    def begin(cls, output: Path, resume: bool) -> Ledger:
        """Start a sweep: with ``resume`` knowing what the earlier ones finished, else afresh."""
        folder = output / FOLDER
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        ledger = cls(folder, uuid.uuid4().hex)
        (folder / ledger.generation).mkdir()
        _put(folder / CURRENT, ledger.generation)
        return ledger

    @property
    def current(self) -> bool:
        """Whether no later sweep has begun."""
        try:
            return (self.folder / CURRENT).read_text(encoding="utf-8") == self.generation
        except FileNotFoundError:
            return False

    def claim(self, unit: Unit) -> bool:
        """Take a unit; False where somebody has it, or a later sweep has begun."""
        if not self.current:
            return False
        path = self._claim(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as claim:
                claim.write(f"process {os.getpid()} of {socket.gethostname()}")
        except FileExistsError:
            return False
        self._result(unit).unlink(missing_ok=True)  # what an earlier sweep said of it
        return True

    def claimant(self, unit: Unit) -> str | None:
        """Who took the unit in this sweep; None where nobody did."""
        try:
            return self._claim(unit).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def finish(self, outcome: Outcome) -> None:
        """Write down what became of a unit."""
        path = self._result(outcome.unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, json.dumps(outcome.as_json()))

    def outcome(self, unit: Unit) -> Outcome | None:
        """What became of a unit, in this sweep or an earlier one; None where it did not end."""
        try:
            return Outcome.from_json(json.loads(self._result(unit).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def _claim(self, unit: Unit) -> Path:
        return self.folder.joinpath(self.generation, *unit)

    def _result(self, unit: Unit) -> Path:
        return self.folder.joinpath("results", *unit[:-1], f"{unit.policy}.json")


def _put(path: Path, text: str) -> None:
    """Write a file so that nobody ever reads half of it."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
