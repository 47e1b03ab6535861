"""Runs one policy on one case, and says what came of it."""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from c7n import mu
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError
from c7n.loader import PolicyLoader
from c7n.resources.aws import AWS
from c7n.utils import dumps, load_file, reset_session_cache

from c7n_secops import handler, outcomes
from c7n_secops.event_mode import EventBridgeMode
from c7n_secops_tools.cases.answers import Answers, Call
from c7n_secops_tools.cases.offline import Sessions, offline
from c7n_secops_tools.cases.reading import BadInput, Case
from c7n_secops_tools.cases.validity import validator
from c7n_secops_tools.replay.pattern import matches

Data = dict[str, Any]

PULLED = ("pull", "periodic", "schedule")
"""Modes in which a policy reads its resources itself."""
GUARDDUTY_RESOURCES = {"ec2": "Instance", "iam-user": "AccessKey"}
"""What Custodian's deployment of mode guard-duty adds to the rule, by the policy's resource."""
LAMBDA_TIMEOUT = 900
"""Seconds that Custodian's functions have unless a policy says otherwise."""

_valid: set[str] = set()


class InvalidPolicyError(Exception):
    """Custodian, or an element, refuses the policy."""


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


class Context:
    """What AWS Lambda hands a function beside the event."""

    function_name = "custodian-case"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self, seconds: float):
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        """The milliseconds that the invocation has left: at its start, all of them."""
        return int(self._seconds * 1000)


@dataclass(frozen=True)
class Place:
    """Where a policy runs, and the values of its variables."""

    account: str
    region: str
    variables: Data = field(default_factory=dict)

    @classmethod
    def of(cls, case: Data) -> Place:
        """Where a case runs its policy."""
        return cls(case["account"], case["region"], case.get("vars", {}))


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
        offline(answers, now=data["now"], region=data["region"]),
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


def provisioned(
    policy: Data,
    place: Place,
    factory: Any,
    *,
    output: Path | None = None,
    checked: bool = False,
) -> Any:
    """The policy, validated and with its variables in it: as it runs, or is deployed."""
    options = Config.empty(
        account_id=place.account,
        region=place.region,
        regions=[place.region],
        output_dir=str(output or ""),
    )
    loader = PolicyLoader(AWS().initialize(options))
    loader.validator = validator
    text = dumps([policy, place.variables], indent=None)
    try:
        (loaded,) = loader.load_data(
            {"policies": [copy.deepcopy(policy)]},
            "memory://policy",
            validate=not checked and text not in _valid,
            session_factory=factory,
        )
        loaded.expand_variables(loaded.get_variables(copy.deepcopy(place.variables)))
        loaded.validate()
    except (PolicyValidationError, PolicyExecutionError, ValueError) as error:
        raise InvalidPolicyError(brief(str(error))) from error
    _valid.add(text)
    return loaded


def rule_patterns(policy: Any) -> list[Data]:
    """The EventBridge patterns that start a policy's function; none where no rule does."""
    mode = policy.get_execution_mode()
    if isinstance(mode, EventBridgeMode):
        return [mode.event_pattern()]
    data = dict(policy.data["mode"])
    if data["type"] == "guard-duty" and policy.resource_manager.type in GUARDDUTY_RESOURCES:
        data["resource-filter"] = GUARDDUTY_RESOURCES[policy.resource_manager.type]
    try:
        rendered = mu.CloudWatchEventSource(data, policy.session_factory).render_event_pattern()
    except ValueError:  # another service than EventBridge starts it, such as AWS Config
        return []
    return [json.loads(rendered)] if rendered else []


def invoke(policy: Any, event: Data, place: Place, output: Path) -> None:
    """Hand an event to the Lambda handler, with the policy packed as its deployment packs it."""
    from c7n import handler as stock

    packed = json.loads(
        dumps({"execution-options": {"account_id": place.account}, "policies": [policy.data]})
    )
    config = stock.init_config(copy.deepcopy(packed))
    kept = stock.policy_data, stock.policy_config
    stock.policy_data, stock.policy_config = packed, config.copy(output_dir=str(output))
    try:
        handler.run(
            copy.deepcopy(event), Context(policy.data["mode"].get("timeout", LAMBDA_TIMEOUT))
        )
    finally:
        stock.policy_data, stock.policy_config = kept


def written(manager: Any, output: Path) -> dict[str, Data]:
    """The resources that a run wrote as matched, by their ids."""
    file = output / manager.data["name"] / "resources.json"
    resources = json.loads(file.read_text()) if file.exists() else []
    key = manager.get_model().id
    return {str(resource[key]): resource for resource in resources}


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


def as_event(event: Data) -> Data:
    """An event as it arrives: JSON, times as text."""
    found: Data = json.loads(json.dumps(event, default=lambda moment: _zulu(moment.isoformat())))
    return found


def _zulu(text: str) -> str:
    return text.replace("+00:00", "Z")


@cache
def policies_in(file: Path) -> dict[str, Data]:
    """The policies of a file by name. Raises BadInput."""
    try:
        data = load_file(str(file)) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"{file}: {brief(str(error))}") from error
    found = data.get("policies") if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(
        isinstance(policy, dict) and "name" in policy for policy in found
    ):
        raise BadInput(f"{file}: it is no policy file; it needs a list under policies")
    return {policy["name"]: policy for policy in found}


def brief(error: str) -> str:
    """What Custodian says of a policy, without the schema that it adds; and where it stands."""
    said = " ".join(error.partition("Failed validating")[0].split())
    where = re.search(r"On instance(\S+):", error)
    return f"{said} (in {where[1]})" if where else said


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
