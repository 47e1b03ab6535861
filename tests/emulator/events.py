"""Amazon EventBridge: rules deliver to Lambda, SNS, SQS, Step Functions, logs and other buses.

moto delivers to SQS, log groups and buses only, and loses the account, the resources and the time
of an event that is forwarded to another bus.  Here every target is delivered by this module;
archives and API destinations are left to moto.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from moto.events.models import EventBus, Rule, events_backends
from moto.events.responses import EventsHandler
from moto.logs.models import logs_backends
from moto.sns.models import sns_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from tests.emulator import lambdas
from tests.emulator.clock import iso, now
from tests.emulator.cloudformation import resource

Event = dict[str, Any]
MAX_HOPS = 5

moto_send_to_targets = Rule.send_to_targets
moto_put_events = EventsHandler.put_events


def complete(account: str, region: str, event: Event) -> Event:
    """Fills in what every event has."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "",
        "source": "",
        "account": account,
        "time": iso(),
        "region": region,
        "resources": [],
        "detail": {},
        **event,
    }


def deliver(account: str, region: str, event: Event, bus: str = "default") -> int:
    """Puts an event on a bus, any source allowed; returns how many rules matched."""
    backend = events_backends[account][region]
    name = bus.rsplit("/", 1)[-1]
    return dispatch(backend.describe_event_bus(name), complete(account, region, event), 0)


def dispatch(bus: EventBus, event: Event, hops: int) -> int:
    matched = 0
    for rule in list(bus.rules.values()):
        if rule.state != "DISABLED" and has_pattern(rule) and matches(rule, event):
            matched += 1
            for target in list(rule.targets):
                send(rule, target, event, hops)
    return matched


def has_pattern(rule: Rule) -> bool:
    """A schedule rule has no pattern and gets no events."""
    return bool(rule.event_pattern.dump())


def matches(rule: Rule, event: Event) -> bool:
    """A list of objects matches where one of its objects does, which moto does not know."""
    pattern = rule.event_pattern
    return any(pattern.matches_event(each) for each in spread(event, pattern.get_pattern()))


def spread(value: Any, pattern: Any) -> Iterator[Any]:
    """Yields the value with one object in place of each list of objects in the pattern."""
    if not isinstance(pattern, dict):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from spread(item, pattern)
    elif isinstance(value, dict):
        keys = [key for key in value if key in pattern]
        for chosen in product(*(spread(value[key], pattern[key]) for key in keys)):
            yield {**value, **dict(zip(keys, chosen, strict=True))}
    else:
        yield value


def send_to_targets(self: Rule, original_event: Any, transform_input: bool = True) -> None:
    """Replaces moto's delivery; the state of the rule counts, as on AWS."""
    event = dict(original_event)
    if "archive-arn" in event or event.get("replay-name"):
        moto_send_to_targets(self, original_event, transform_input)
        return
    if self.state == "DISABLED" or not has_pattern(self):
        return
    if not isinstance(event.get("time"), str):
        event["time"] = iso(event["time"])
    event.pop("ingestion-time", None)
    if matches(self, event):
        for target in list(self.targets):
            send(self, target, event, 0)


def shape_input(target: dict[str, Any], event: Event, rule: Rule) -> str:
    """Makes the text that a target gets: Input, InputPath, InputTransformer or the event."""
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath"):
        return json.dumps(value_at(target["InputPath"], event))
    transformer = target.get("InputTransformer")
    if transformer:
        return transform(transformer, event, rule)
    return json.dumps(event)


def value_at(path: str, event: Event) -> Any:
    from jsonpath_ng.ext import parse

    found = parse(path).find(event)
    return found[0].value if found else None


def transform(transformer: dict[str, Any], event: Event, rule: Rule) -> str:
    """Fills an input template.

    A variable inside quotation marks is inserted as text, outside of them as JSON; a path that
    matches nothing gives an empty text or null.
    """
    template = str(transformer.get("InputTemplate", ""))
    values: dict[str, Any] = {
        name: value_at(path, event)
        for name, path in (transformer.get("InputPathsMap") or {}).items()
    }
    values["aws.events.rule-arn"] = rule.arn
    values["aws.events.rule-name"] = rule.name
    values["aws.events.event.ingestion-time"] = iso()
    values["aws.events.event.json"] = event
    values["aws.events.event"] = {k: v for k, v in event.items() if k != "detail"}
    out: list[str] = []
    quoted, position = False, 0
    while position < len(template):
        char = template[position]
        if char == "\\" and quoted:
            out.append(template[position : position + 2])
            position += 2
            continue
        if char == '"':
            quoted = not quoted
        if char == "<":
            end = template.find(">", position)
            name = template[position + 1 : end]
            if end > 0 and name in values:
                out.append(insert(values[name], quoted))
                position = end + 1
                continue
        out.append(char)
        position += 1
    return "".join(out)


def insert(value: Any, quoted: bool) -> str:
    if not quoted:
        return json.dumps(value)
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def send(rule: Rule, target: dict[str, Any], event: Event, hops: int) -> None:
    arn = target["Arn"].split(":", 5)
    service, region, account, resource = arn[2], arn[3], arn[4], arn[5]
    sender = SENDERS.get(service)
    if sender is None:
        moto_send_to_targets(copy_with(rule, target), {**event, "ingestion-time": now()})
        return
    sender(account, region, resource, target, event, rule, hops)


def copy_with(rule: Rule, target: dict[str, Any]) -> Rule:
    alone = copy.copy(rule)
    alone.targets = [target]
    return alone


def to_lambda(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    _, name, *qualifier = resource.split(":")
    text = shape_input(target, event, rule)
    lambdas.start(account, region, name, json.loads(text), qualifier[0] if qualifier else None)


def to_sns(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    sns_backends[account][region].publish(
        message=shape_input(target, event, rule), arn=target["Arn"]
    )


def to_sqs(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    sqs_backends[account][region].send_message(
        queue_name=resource,
        message_body=shape_input(target, event, rule),
        group_id=(target.get("SqsParameters") or {}).get("MessageGroupId"),
        deduplication_id=event["id"] if resource.endswith(".fifo") else None,
    )


def to_state_machine(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    stepfunctions_parser_backends[account][region].start_execution(
        target["Arn"], str(uuid.uuid4()), shape_input(target, event, rule)
    )


def to_log_group(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    group = resource.split(":")[1]
    stream = str(uuid.uuid4())
    logs = logs_backends[account][region]
    logs.create_log_stream(group, stream)
    message = shape_input(target, event, rule)
    moment = int(now().timestamp() * 1000)
    logs.put_log_events(group, stream, [{"timestamp": moment, "message": message}])


def to_bus(
    account: str, region: str, resource: str, target: Any, event: Event, rule: Rule, hops: int
) -> None:
    """Forwards the event as it is: it keeps its account, region, id and time."""
    if not resource.startswith("event-bus/"):
        raise ValueError(f"the emulator delivers no events to {target['Arn']}")
    if hops < MAX_HOPS:
        bus = events_backends[account][region].describe_event_bus(resource.split("/", 1)[1])
        dispatch(bus, event, hops + 1)


SENDERS: dict[str, Callable[..., None]] = {
    "events": to_bus,
    "lambda": to_lambda,
    "logs": to_log_group,
    "sns": to_sns,
    "sqs": to_sqs,
    "states": to_state_machine,
}


REFUSED = {
    "ErrorCode": "NotAuthorizedForSourceException",
    "ErrorMessage": "Not authorized for the source.",
}


def is_foreign(entry: dict[str, Any], account: str) -> bool:
    """Whether an entry names the bus of another account by its ARN."""
    parts = str(entry.get("EventBusName", "")).split(":")
    return len(parts) == 6 and parts[4] != account


def put_abroad(entry: dict[str, Any], account: str) -> dict[str, str]:
    """Puts one entry on another account's bus; it keeps the account that it comes from."""
    _, _, _, region, owner, name = entry["EventBusName"].split(":")
    bus = events_backends[owner][region].event_buses.get(name.removeprefix("event-bus/"))
    if bus is None:
        return {
            "ErrorCode": "ResourceNotFoundException",
            "ErrorMessage": f"Event bus {entry['EventBusName']} does not exist.",
        }
    try:
        detail = json.loads(entry["Detail"])
    except ValueError:
        return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
    event = complete(
        account,
        region,
        {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail},
    )
    dispatch(bus, event, 0)
    return {"EventId": event["id"]}


def put_events(self: EventsHandler) -> str:
    """Refuses sources that begin with ``aws.``; puts events on buses of other accounts."""
    entries = self._get_param("Entries") or []
    settled = {
        number: REFUSED
        for number, entry in enumerate(entries)
        if str(entry.get("Source", "")).startswith("aws.")
    }
    for number, entry in enumerate(entries):
        if number not in settled and is_foreign(entry, self.current_account):
            settled[number] = put_abroad(entry, self.current_account)
    if not settled:
        return moto_put_events(self)
    rest = [entry for number, entry in enumerate(entries) if number not in settled]
    done = iter(self.events_backend.put_events(rest) if rest else [])
    answers = [settled[n] if n in settled else next(done) for n in range(len(entries))]
    failed = sum("ErrorCode" in answer for answer in answers)
    return json.dumps({"FailedEntryCount": failed, "Entries": answers})


def fire_schedule(account: str, region: str, rule_name: str, bus: str = "default") -> int:
    """Runs the targets of a schedule rule."""
    backend = events_backends[account][region]
    rule = backend.describe_event_bus(bus).rules.get(rule_name)
    if rule is None:
        raise ValueError(f"no rule {rule_name} on bus {bus}")
    if not rule.scheduled_expression:
        raise ValueError(f"{rule_name} has no schedule")
    if rule.state == "DISABLED":
        return 0
    event = complete(
        account,
        region,
        {"detail-type": "Scheduled Event", "source": "aws.events", "resources": [rule.arn]},
    )
    for target in list(rule.targets):
        send(rule, target, event, 0)
    return len(rule.targets)


@resource("AWS::Events::EventBusPolicy")
def create_bus_policy(account: str, region: str, given: dict[str, Any]) -> str:
    bus = events_backends[account][region].describe_event_bus(given["EventBusName"])
    bus.add_policy({"Statement": [{"Sid": given["StatementId"], **given["Statement"]}]})
    return str(given["StatementId"])


def install() -> None:
    EventBus.physical_resource_id = property(lambda self: self.name)
    Rule.send_to_targets = send_to_targets
    EventsHandler.put_events = put_events
