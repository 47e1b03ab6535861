"""Whether what is deployed equals what the policy file would build now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import BotoCoreError
from c7n import mu
from c7n.exceptions import PolicyExecutionError, PolicyValidationError
from c7n.utils import local_session

from c7n_secops.aws.calls import FAILURES
from c7n_secops_tools.fleet import outcome, unit
from c7n_secops_tools.fleet.functions import built
from c7n_secops_tools.fleet.functions.deployed import Deployed, Rule
from c7n_secops_tools.fleet.sessions import WrongAccountError
from c7n_secops_tools.fleet.unit import Place

SAME, DRIFTED, MISSING = "same", "drifted", "missing"
NOT_HERE, UNKNOWN = "not meant for it", "unknown"
STALE, REMOVED, KEPT = "stale", "removed", "kept"
WELL = frozenset({SAME, NOT_HERE, STALE, REMOVED, KEPT})

ERRORS = (
    *FAILURES,
    BotoCoreError,
    WrongAccountError,
    PolicyExecutionError,
    PolicyValidationError,
)
"""What a session, a policy or a call can end with."""
HIDDEN = "another value"
SET_VALUE, NOT_SET = "set", "not set"
EMPTY: Mapping[str, Any] = {
    "Architectures": ["x86_64"],
    "DeadLetterConfig": {},
    "KMSKeyArn": "",
    "Layers": [],
    "TracingConfig": {"Mode": "PassThrough"},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
}
"""What Lambda leaves out, or Custodian does not name, where nothing is set."""


@dataclass(frozen=True)
class Difference:
    """What is not as the policy file would have it."""

    what: str
    deployed: Any
    built: Any

    def __str__(self) -> str:
        return f"{self.what}: {self.deployed} instead of {self.built}"


@dataclass(frozen=True)
class Row:
    """What is known of one function, or rule, in an account and region."""

    account: str
    account_id: str
    region: str
    name: str
    state: str
    differences: tuple[Difference, ...] = ()
    why: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing is to be done about it."""
        return self.state in WELL

    def as_json(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def row(place: Place, name: str, state: str, **more: Any) -> Row:
    """A row about something in the place."""
    return Row(
        place.account["name"], place.account["account_id"], place.region, name, state, **more
    )


def unknown(place: Place, why: str) -> list[Row]:
    """The rows where nothing can be known of the place's functions."""
    return [row(place, data["name"], UNKNOWN, why=why) for data in place.policies]


def check(place: Place) -> list[Row]:
    """Compare each policy's function in one account and region."""
    with ExitStack() as stack:
        try:
            sessions = unit.enter(stack, place)
            deployed = Deployed(local_session(sessions))
        except ERRORS as error:
            return unknown(place, _said(outcome.of_session(error)))
        return [_checked(place, data, sessions, deployed) for data in place.policies]


def _checked(place: Place, data: dict[str, Any], sessions: Any, deployed: Deployed) -> Row:
    try:
        policy = unit.prepared(place, data, sessions)
        if not policy.is_runnable():
            return row(place, data["name"], NOT_HERE)
        function = built.function(policy)
        found = deployed.function(function.name)
        if found is None:
            return row(place, function.name, MISSING)
        function.arn = mu.normalize_arn(found["Configuration"]["FunctionArn"])
        differences = (
            *function_differences(function, found, policy.options.assume_role),
            *source_differences(function, sessions, deployed),
        )
    except ERRORS as error:
        return row(place, data["name"], UNKNOWN, why=_said(outcome.of_error(error, absent=False)))
    return row(place, function.name, DRIFTED if differences else SAME, differences=differences)


def _said(why: outcome.Why) -> str:
    return f"{why.why}: {why.reason}"


def function_differences(function: Any, found: dict[str, Any], role: str) -> Iterator[Difference]:
    """Code, configuration, concurrency and tags."""
    now = found["Configuration"]
    code = function.archive.get_checksum()
    if code != now["CodeSha256"]:
        yield Difference("code", now["CodeSha256"], code)
    wanted = {**EMPTY, **function.get_config()}
    wanted["Role"] = wanted["Role"] or role
    tags = wanted.pop("Tags")
    variables = (wanted.pop("Environment", None) or {}).get("Variables") or {}
    del wanted["FunctionName"]
    for name, value in sorted(wanted.items()):
        is_now, is_wanted = _plain(name, now), _plain(name, {name: value})
        if name == "Role" and "/" not in is_wanted:
            is_now = is_now.rpartition("/")[2]
        if is_now != is_wanted:
            yield Difference(name, is_now, is_wanted)
    yield from _variables((now.get("Environment") or {}).get("Variables") or {}, variables)
    reserved = (found.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    if reserved != function.concurrency:
        yield Difference("concurrency", reserved, function.concurrency)
    own = {key: value for key, value in found.get("Tags", {}).items() if key[:4] != "aws:"}
    for key in sorted({*own, *tags}):
        if own.get(key) != tags.get(key):
            yield Difference(f"tag {key}", own.get(key), tags.get(key))


def _plain(name: str, config: dict[str, Any]) -> Any:
    """A setting as it compares: without what Lambda adds, and in no order of its own."""
    value = config.get(name)
    if name == "Layers":
        return sorted(each if isinstance(each, str) else each["Arn"] for each in value or ())
    if name == "VpcConfig":
        return {key: sorted((value or {}).get(key) or ()) for key in EMPTY[name]}
    return value or EMPTY.get(name)


def _variables(now: dict[str, str], wanted: dict[str, str]) -> Iterator[Difference]:
    """Environment variables by name: their values may be secrets."""
    for name in sorted({*now, *wanted}):
        if now.get(name) == wanted.get(name):
            continue
        is_now = (HIDDEN if name in wanted else SET_VALUE) if name in now else NOT_SET
        yield Difference(f"variable {name}", is_now, SET_VALUE if name in wanted else NOT_SET)


def source_differences(function: Any, sessions: Any, deployed: Deployed) -> Iterator[Difference]:
    """What invokes the function, and what else may."""
    (source,) = function.get_events(sessions)
    rules: set[Rule] = set()
    grants: set[tuple[str, str]] = set()
    if isinstance(source, mu.SecurityHubAction):
        yield from _custom_action(source, deployed)
        source = source.cwe
    if isinstance(source, mu.CloudWatchEventSource):
        rule = Rule(bus_of(function.policy.data["mode"]), function.event_name)
        now = source.get(rule.name)
        if now:
            rules.add(rule)
            grants.add(("events.amazonaws.com", now["Arn"]))
            yield from _rule(source, now, rule, function.arn, deployed)
        else:
            yield Difference("rule", None, str(rule))
    elif isinstance(source, mu.EventBridgeScheduleSource):
        yield from _schedule(source, function)
    elif isinstance(source, mu.ConfigRule):
        grants.add(("config.amazonaws.com", function.arn.split(":")[4]))
        yield from _config_rule(source, function)
    else:
        raise PolicyExecutionError(f"{type(source).__name__} is not compared")
    for extra in sorted(map(str, deployed.invokers(function.arn) - rules)):
        yield Difference("rule", extra, None)
    allowed = deployed.allowed(function.name)
    for who, where in sorted(allowed - grants):
        yield Difference("may invoke", f"{who} {where}".strip(), None)
    for who, where in sorted(grants - allowed):
        yield Difference("may invoke", None, f"{who} {where}")


def bus_of(mode: dict[str, Any]) -> str:
    """The name of the bus of a mode's rule."""
    bus = str(mode.get("bus", "default"))
    return bus.partition(":event-bus/")[2] or bus


def _rule(
    source: Any, now: dict[str, Any], rule: Rule, arn: str, deployed: Deployed
) -> Iterator[Difference]:
    pattern = source.render_event_pattern()
    wanted = {
        "State": "ENABLED",
        "ScheduleExpression": source.data.get("schedule") or None,
        "EventPattern": _pattern(pattern),
    }
    is_now = {**now, "EventPattern": _pattern(now.get("EventPattern"))}
    yield from _settings("rule", is_now, wanted)
    targets = [{k: v for k, v in each.items() if k != "Id"} for each in deployed.targets(rule)]
    if targets != [{"Arn": arn}]:
        yield Difference("rule targets", targets, [{"Arn": arn}])


def _pattern(text: str | None) -> str | None:
    """An event pattern as it compares: its lists are alternatives, whose order means nothing."""
    return json.dumps(_sorted(json.loads(text)), sort_keys=True) if text else None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(_sorted, value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _schedule(source: Any, function: Any) -> Iterator[Difference]:
    mode = source.data
    group = mode.get("group-name", "default")
    now = source.get(function.event_name, group)
    if not now:
        yield Difference("schedule", None, f"{function.event_name} in group {group}")
        return
    wanted = {
        "State": "ENABLED",
        "ScheduleExpression": mode["schedule"],
        "ScheduleExpressionTimezone": mode.get("timezone", "Etc/UTC"),
        "TargetArn": function.arn,
        "TargetRoleArn": mode.get("scheduler-role"),
    }
    target = {f"Target{key}": value for key, value in now["Target"].items()}
    yield from _settings("schedule", {**now, **target}, wanted)


def _custom_action(source: Any, deployed: Deployed) -> Iterator[Difference]:
    """Security Hub's custom action, with the name and description that Custodian gives it."""
    policy = source.policy
    kind = policy.resource_type.rpartition(".")[2].title()
    (arn,) = source.cwe.data["pattern"]["resources"]
    now = deployed.custom_action(arn)
    if now:
        wanted = {
            "Name": f"{kind} {policy.name}",
            "Description": (policy.data.get("description") or policy.name).strip(),
        }
        yield from _settings("custom action", now, wanted)
    else:
        yield Difference("custom action", None, arn)


def _config_rule(source: Any, function: Any) -> Iterator[Difference]:
    now = source.get(function.name)
    if now:
        yield from _settings("config rule", now, source.get_rule_params(function))
    else:
        yield Difference("config rule", None, function.name)


def _settings(what: str, now: dict[str, Any], wanted: dict[str, Any]) -> Iterator[Difference]:
    for key, value in wanted.items():
        if now.get(key) != value:
            yield Difference(f"{what} {key}", now.get(key), value)
