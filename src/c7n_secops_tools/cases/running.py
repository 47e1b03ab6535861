"""Runs one policy on one case, and says what came of it."""

from __future__ import annotations

import copy
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from c7n.utils import reset_session_cache

from c7n_secops import outcomes
from c7n_secops_tools.cases.answers import Answers, Call
from c7n_secops_tools.cases.function import as_event, invoke, rule_patterns
from c7n_secops_tools.cases.offline import Sessions, offline
from c7n_secops_tools.cases.policies import InvalidPolicyError, Place, provisioned, written
from c7n_secops_tools.cases.reading import BadInput, Case
from c7n_secops_tools.replay.pattern import matches

Data = dict[str, Any]

PULLED = ("pull", "periodic", "schedule")
"""Modes in which a policy reads its resources itself."""


@dataclass
class Outcome:
    """What a run did. ``error`` is what it raised; ``not_evaluated`` are the records of ours."""

    delivered: bool = True
    matched: list[str] = field(default_factory=list)
    resources: dict[str, Data] = field(default_factory=dict)
    not_evaluated: list[Data] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    error: str = ""


def run(policy: Data, case: Case, *, checked: bool = False) -> Outcome:
    """Run a policy on a case. Raises InvalidPolicyError; what the policy raises is the outcome's.

    With an event it goes through the Lambda handler, on the policy as deployment would have
    packed it, and only if the rule's pattern matches. ``checked`` says that its schema allows it.
    """
    data = case.data
    _check_mode(policy, case)
    answers = Answers(data.get("answers", ()), data["expect"].get("calls", ()))
    outcome = Outcome()
    with (
        _folder(data.get("files", {})),
        tempfile.TemporaryDirectory(prefix="c7n-case-") as output,
        offline(
            answers,
            now=data["now"],
            region=data["region"],
            web=data["web"],
            names=data["names"],
        ),
        logs() as records,
    ):
        reset_session_cache()
        try:
            if "event" in data:
                _run_event(policy, data, Path(output), outcome, checked)
            else:
                _run_pull(policy, data, Path(output), outcome, checked)
        except InvalidPolicyError:
            raise
        except Exception as error:  # noqa: BLE001  (the policy's failure is what is told)
            outcome.error = f"{type(error).__name__}: {' '.join(str(error).split())}"
        finally:
            reset_session_cache()
        outcome.not_evaluated = not_evaluated(records)
    outcome.calls, outcome.unanswered = answers.changes, answers.unanswered
    return outcome


def not_evaluated(records: Sequence[logging.LogRecord]) -> list[Data]:
    """The records of what was not evaluated, as the log has them."""
    return [
        json.loads(str(record.args[0]))
        for record in records
        if record.name == outcomes.log.name and isinstance(record.args, tuple) and record.args
    ]


def _check_mode(policy: Data, case: Case) -> None:
    mode = policy.get("mode", {}).get("type", "pull")
    if "event" in case.data and mode in PULLED:
        raise BadInput(f"{case.where}: no event starts {case.policy} (mode {mode}); give resources")
    if "event" not in case.data and mode not in PULLED:
        raise BadInput(f"{case.where}: events start {case.policy} (mode {mode}); give an event")


def _run_pull(policy: Data, data: Data, output: Path, outcome: Outcome, checked: bool) -> None:
    pulled = {key: value for key, value in policy.items() if key != "mode"}
    loaded = provisioned(
        pulled, Place.of(data), Sessions(data["region"]), output=output, checked=checked
    )
    manager = loaded.resource_manager
    if "resources" in data:
        given = copy.deepcopy(data["resources"])
        manager.resources = lambda *_, **__: manager.filter_resources(given)
    try:
        loaded.run()
    finally:
        outcome.resources = written(manager, output)
        outcome.matched = list(outcome.resources)


def _run_event(policy: Data, data: Data, output: Path, outcome: Outcome, checked: bool) -> None:
    place = Place.of(data)
    loaded = provisioned(policy, place, Sessions(place.region), checked=checked)
    event = as_event(data["event"])
    patterns = rule_patterns(loaded)
    outcome.delivered = not patterns or any(matches(pattern, event) for pattern in patterns)
    if not outcome.delivered:
        return
    try:
        invoke(loaded, event, place, output)
    finally:
        outcome.resources = written(loaded.resource_manager, output)
        outcome.matched = list(outcome.resources)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def logs() -> Iterator[list[logging.LogRecord]]:
    """What is logged inside, which is not printed."""
    root = logging.getLogger()
    collector = _Collector()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [collector]
    root.setLevel(logging.INFO)
    try:
        yield collector.records
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _folder(files: Data) -> Iterator[None]:
    """The working folder of a run: an empty one, with these files in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="c7n-case-files-") as folder:
        for name, content in files.items():
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            (Path(folder) / name).write_text(text, encoding="utf-8")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
