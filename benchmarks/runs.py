"""Runs a policy against the emulator and counts the calls it makes."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from c7n_secops_tools.testing.runs import run_policy
from tests.emulator import Emulator, running

ACCOUNT, REGION = "111111111111", "us-east-1"


class Counted(NamedTuple):
    """One run: how many resources matched and were not evaluated, what the actions returned.

    ``calls`` counts the requests that botocore sent, repeated ones too, by service and operation.
    """

    matched: int
    not_evaluated: int
    actions: dict[str, Any]
    calls: Counter[str]
    seconds: float

    def of(self, *services: str) -> int:
        """The number of calls to these services."""
        return sum(number for name, number in self.calls.items() if name.split(".")[0] in services)


@contextmanager
def emulator() -> Iterator[Emulator]:
    """An emulator without its reply checks, and this process's environment pointing at it."""
    with running(validate=False) as server:
        os.environ.update(server.environ(ACCOUNT, REGION))
        yield server


def counted(
    policy: Mapping[str, Any],
    account: str = ACCOUNT,
    region: str = REGION,
    variables: Mapping[str, Any] | None = None,
) -> Counted:
    """Run a policy in pull mode and count its calls; the environment's credentials say as whom."""
    calls: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        calls[event_name.partition(".")[2]] += 1

    def watch(session: Any) -> None:
        session.events.register("request-created.*.*", count, unique_id="benchmark-count")

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = run_policy(
            policy,
            Path(folder),
            account=account,
            region=region,
            variables=variables,
            on_session=[watch],
        )
        seconds = time.perf_counter() - start
        actions = {
            action["type"]: run.action(action["type"]) for action in policy.get("actions", ())
        }
        return Counted(len(run.resources), len(run.not_evaluated), actions, calls, seconds)
