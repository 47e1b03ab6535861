"""Replays an event: the rule's pattern, then the Lambda handler, offline or against AWS."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from c7n.utils import reset_session_cache

from c7n_secops_tools.cases.answers import Answers, Call
from c7n_secops_tools.cases.function import invoke, rule_patterns
from c7n_secops_tools.cases.offline import Sessions, offline, provider_with
from c7n_secops_tools.cases.policies import Place, policies_in, provisioned, written
from c7n_secops_tools.cases.reading import BadInput, read_cases
from c7n_secops_tools.cases.running import PULLED, logs, not_evaluated
from c7n_secops_tools.replay.pattern import matches, mismatches
from c7n_secops_tools.testing.runs import Sessions as AwsSessions

Data = dict[str, Any]


@dataclass
class Replay:
    """What a replay did. ``differs`` says why no rule matches the event."""

    policy: str
    delivered: bool = True
    differs: list[str] = field(default_factory=list)
    matched: dict[str, Data] = field(default_factory=dict)
    not_evaluated: list[Data] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    """Those that a dry run left out."""
    plans: list[Data] = field(default_factory=list)
    error: str = ""


class HeldBackError(Exception):
    """A dry replay does not let a change through."""


def choose(path: Path, name: str | None) -> Data:
    """The policy of this name, or the only one of the file that events start."""
    policies = policies_in(path)
    started = {
        key: policy
        for key, policy in policies.items()
        if policy.get("mode", {}).get("type", "pull") not in PULLED
    }
    if name is not None:
        if name not in started:
            known = ", ".join(started) or "none"
            raise BadInput(f"{path} has no policy {name} that events start; there are: {known}")
        return started[name]
    if len(started) != 1:
        names = ", ".join(started) or "none"
        raise BadInput(f"{path}: choose with -p one of the policies that events start: {names}")
    return next(iter(started.values()))


def offline_replay(policy: Data, event: Data, place: Place, file: Path, name: str | None) -> Replay:
    """Replay with the answers of a case file, and no network; the actions run."""
    cases = [
        case
        for case in read_cases(file).cases
        if case.policy == policy["name"] and name in (None, case.name)
    ]
    if not cases:
        raise BadInput(f"{file} has no case {name or ''} of the policy {policy['name']}")
    answers: list[Data] = []
    for case in cases:
        answers += [each for each in case.data["answers"] if each not in answers]
    expected = [call for case in cases for call in case.expect.get("calls", ())]
    stub = Answers(answers, expected)
    first = cases[0].data
    web = {url: page for case in reversed(cases) for url, page in case.data["web"].items()}
    names = {
        each: called for case in reversed(cases) for each, called in case.data["names"].items()
    }
    replay = Replay(policy["name"])
    with offline(stub, now=first["now"], region=place.region, web=web, names=names):
        _replay(policy, event, place, Sessions(place.region), replay, act=True)
    replay.calls, replay.unanswered = stub.changes, stub.unanswered
    return replay


def aws_replay(policy: Data, event: Data, place: Place, live: bool) -> Replay:
    """Replay with the AWS that the environment's credentials reach; only ``live`` acts."""
    calls: list[Call] = []

    def watch(session: Any) -> None:
        session.events.register_first(
            "before-parameter-build.*.*", watched, unique_id="c7n-secops-replay"
        )

    def watched(params: Any, model: Any, context: Any, **_: Any) -> None:
        name = f"{model.service_model.service_name}:{model.name}"
        call = Call(name, dict(params), context.get("client_region") or place.region)
        if call.changes:
            if not live:
                raise HeldBackError(f"a filter would call {call}; --live lets it")
            calls.append(call)

    replay = Replay(policy["name"])
    with ExitStack() as stack:
        region = {"AWS_DEFAULT_REGION": place.region, "AWS_REGION": place.region}
        stack.enter_context(patch.dict(os.environ, region))
        stack.enter_context(
            provider_with(lambda options: AwsSessions(options.region or place.region, [watch]))
        )
        factory = AwsSessions(place.region, [watch])
        _replay(policy, event, place, factory, replay, act=live)
    replay.calls = calls
    return replay


def _replay(
    policy: Data, event: Data, place: Place, factory: Any, replay: Replay, *, act: bool
) -> None:
    loaded = provisioned(policy, place, factory)
    patterns = rule_patterns(loaded)
    replay.delivered = not patterns or any(matches(pattern, event) for pattern in patterns)
    if not replay.delivered:
        replay.differs = [text for pattern in patterns for text in mismatches(pattern, event)]
        return
    actions = loaded.resource_manager.actions
    if not act:
        replay.actions = [action.name for action in actions]
        loaded.data.pop("actions", None)
    with tempfile.TemporaryDirectory(prefix="c7n-replay-") as output, logs() as records:
        reset_session_cache()
        with _failure(replay):
            invoke(loaded, event, place, Path(output))
        replay.matched = written(loaded.resource_manager, Path(output))
        replay.not_evaluated = not_evaluated(records)
        if not act and replay.matched and not replay.error:
            with _failure(replay):
                replay.plans = list(_plans(actions, list(replay.matched.values())))
        reset_session_cache()


@contextmanager
def _failure(replay: Replay) -> Iterator[None]:
    """Keep what the policy raises."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (the policy's failure is what is told)
        replay.error = f"{type(error).__name__}: {' '.join(str(error).split())}"


def _plans(actions: Sequence[Any], resources: list[Data]) -> Iterator[Data]:
    for action in actions:
        if hasattr(action, "plan"):
            for row in action.plan(resources):
                yield {"action": action.name, **row}
