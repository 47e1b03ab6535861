"""Runs ``c7n-secops org run`` against the emulator, and reads what it wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulator import Emulator
from tests.fleet_accounts import HUB, build, write
from tests.harness import SCRIPTS, environ

OUTPUT = "output"
DEADLINE = 120.0
"""Seconds after which a wait is a failure."""


@dataclass(frozen=True)
class Done:
    """A sweep that ended."""

    code: int
    printed: str
    errors: str
    output: Path

    @property
    def sweep(self) -> dict[str, Any]:
        """``sweep.json``."""
        data: dict[str, Any] = json.loads((self.output / "sweep.json").read_text())
        return data

    @property
    def units(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Its units, by account, region and policy."""
        return {(u["account"], u["region"], u["policy"]): u for u in self.sweep["units"]}

    def states(self) -> dict[tuple[str, str, str], str]:
        return {name: unit["state"] for name, unit in self.units.items()}


class Fleet:
    """A hub that may assume a role in each account; ``start`` and ``sweep`` run policies there."""

    def __init__(self, emulator: Emulator, folder: Path):
        self.emulator, self.folder = emulator, folder
        self.output = folder / OUTPUT

    def build(self, accounts: Sequence[str], regions: Sequence[str], **each: Any) -> Fleet:
        self.accounts = build(self.emulator, accounts, regions, **each)
        return self

    def start(
        self, policies: Sequence[dict[str, Any]], *options: str, **extra: str
    ) -> subprocess.Popen[str]:
        write(self.folder, accounts=self.accounts, policies={"policies": list(policies)})
        words = [
            str(SCRIPTS / "c7n-secops"),
            *("org", "run", "-c", "accounts.yml", "-u", "policies.yml", "-s", OUTPUT),
            *("--cache-period", "0", *options),
        ]
        env = {
            **environ(self.emulator, HUB),
            "AWS_MAX_ATTEMPTS": "1",
            "COLUMNS": "200",
            "HOME": str(self.folder),
            **extra,
        }
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, process: subprocess.Popen[str]) -> Done:
        printed, errors = process.communicate(timeout=DEADLINE)
        return Done(process.returncode, printed, errors, self.output)

    def sweep(self, policies: Sequence[dict[str, Any]], *options: str, **extra: str) -> Done:
        return self.ended(self.start(policies, *options, **extra))

    def kill_worker(self, account: str, region: str, policy: str) -> None:
        """Wait until a worker runs the unit, and kill it."""

        def pid() -> int | None:
            for claim in self.output.glob(f".ledger/*/{account}/{region}/{policy}"):
                words = claim.read_text().split()
                if len(words) > 1:
                    return int(words[1])
            return None

        os.kill(wait_for(pid), signal.SIGKILL)


def wait_for(found: Callable[[], Any]) -> Any:
    """What the function finds, once it finds something."""
    pause, end = threading.Event(), time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        pause.wait(0.02)
    raise AssertionError(f"{found.__name__}: not within {DEADLINE} s")
