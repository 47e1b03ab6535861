"""EventBridge rules that forward a region's findings, and its membership events, to one place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from c7n_secops.aws import calls
from c7n_secops_membership.accounts import ACCOUNT, UNEXPANDED, AccountElement, Row

CLOUDTRAIL = "AWS API Call via CloudTrail"
PATTERNS: dict[str, Row] = {
    "inspector": {"source": ["aws.inspector2"], "detail-type": ["Inspector2 Finding"]},
    "guardduty": {"source": ["aws.guardduty"], "detail-type": ["GuardDuty Finding"]},
    "membership": {
        "source": ["aws.guardduty", "aws.inspector2"],
        "detail-type": [CLOUDTRAIL],
        "detail": {
            "eventName": [
                "DeleteDetector",
                "DeleteMembers",
                "Disable",
                "DisassociateFromAdministratorAccount",
                "DisassociateFromMasterAccount",
                "DisassociateMember",
                "DisassociateMembers",
                "StopMonitoringMembers",
            ]
        },
    },
}
"""What is forwarded, each by a rule of its own."""
DEFAULT_SOURCES = ("inspector", "guardduty")

FORWARDED, MISSING, DISABLED, DIFFERENT, TARGET = (
    "forwarded",
    "missing",
    "disabled",
    "different",
    "target",
)
STATUSES = (FORWARDED, MISSING, DISABLED, DIFFERENT, TARGET)

TARGET_ID = "c7n-secops"
RULE = "c7n-secops-forward"
TARGETS_PAGE = 100
DESTINATION = re.compile(
    r"arn:aws[a-z-]*:(?P<service>events|sns|sqs):(?P<region>[a-z0-9-]{1,32}):"
    r"(?P<account>[0-9]{12}):(?P<name>(?:event-bus/)?[A-Za-z0-9._/-]{1,256})"
)
QUEUE = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_-]{1,80}")
DEFAULT_BUS = "event-bus/default"

ARN: dict[str, Any] = {"type": "string", "minLength": 3, "maxLength": 2048}
SCHEMA: dict[str, Any] = {
    "to": ARN,
    "account": ACCOUNT,
    "role": ARN,
    "dead-letter": ARN,
    "sources": {
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": {"enum": list(PATTERNS)},
    },
    "rule": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,48}$"},
}
DOC = """\
``to`` is the ARN of an event bus, which may be in another region, or of an SNS topic or an SQS
    queue of the same region, and must belong to ``account``. ``role`` is what EventBridge puts
    events on a bus with, and ``dead-letter`` the queue for events that could not be delivered.
    ``sources`` are ``inspector`` and ``guardduty`` (findings, both unless set) and ``membership``:
    CloudTrail's events of members that leave or are removed and of scanning that is switched off,
    which need a trail in the region. Each has a rule on the account's default bus, called ``rule``
    (``c7n-secops-forward`` unless set), a dash and the source."""


class Rule(NamedTuple):
    """How the rule of one source stands, and the calls that make it as it should be."""

    source: str
    name: str
    status: str
    reason: str
    changes: tuple[Callable[[], Row], ...] = ()


class ForwardingElement(AccountElement):
    """An element with the keys of :data:`SCHEMA`."""

    def validate(self) -> Any:
        super().validate()
        texts = [str(self.data.get(key, "")) for key in ("to", "account", "role", "dead-letter")]
        if not any(UNEXPANDED.search(text) for text in texts):
            self.target()
        return self

    def target(self) -> Row:
        """The target of every rule, as PutTargets takes it."""
        to, account = self.value("to"), self.value("account")
        found = DESTINATION.fullmatch(to)
        is_bus = bool(found and found["service"] == "events")
        if found is None or found["name"].startswith("event-bus/") is not is_bus:
            raise self.invalid(f"to {to} is no ARN of an event bus, a standard topic or a queue")
        if found["account"] != account:
            raise self.invalid(f"to is in account {found['account']}, not in account {account}")
        if not is_bus and (found["region"] != self.region or "." in found["name"]):
            raise self.invalid(
                f"to {to} must be a standard topic or queue of {self.region}; write {{region}} in "
                "its place, or forward to an event bus"
            )
        if is_bus and "role" not in self.data:
            raise self.invalid("to is an event bus, which takes a role; set it")
        target = {"Id": TARGET_ID, "Arn": to}
        if "role" in self.data:
            target["RoleArn"] = self.value("role")
        if "dead-letter" not in self.data:
            return target
        queue = self.value("dead-letter")
        if not QUEUE.fullmatch(queue) or queue.split(":")[3] != self.region:
            raise self.invalid(f"dead-letter {queue} is no ARN of a standard queue of the region")
        return {**target, "DeadLetterConfig": {"Arn": queue}}

    def rules(self) -> Iterator[Rule]:
        """How each source stands. Raises RefusedError."""
        target = self.target()
        events = calls.client(self, "events")
        prefix = self.data.get("rule", RULE)
        for source in self.data.get("sources", DEFAULT_SOURCES):
            yield self._rule(events, source, f"{prefix}-{source}", target)

    def _rule(self, events: Any, source: str, name: str, target: Row) -> Rule:
        here = target["Arn"].split(":")[3:5] == [self.region, self.account]
        if here and target["Arn"].endswith(f":{DEFAULT_BUS}"):
            return Rule(source, name, TARGET, "events arrive on this very bus")
        pattern = PATTERNS[source]
        put_rule = partial(
            events.put_rule,
            Name=name,
            EventPattern=json.dumps(pattern),
            State="ENABLED",
            Description=f"Forwards to {target['Arn']}"[:512],
        )
        put_target = partial(events.put_targets, Rule=name, Targets=[target])
        rule = _described(events, name)
        if rule is None:
            return Rule(source, name, MISSING, "there is no such rule", (put_rule, put_target))
        listed = calls.pages(events, "list_targets_by_rule", "Targets", TARGETS_PAGE, Rule=name)
        targets = {row["Id"]: row for page in listed for row in page}
        same_pattern = json.loads(rule.get("EventPattern") or "{}") == pattern
        same_target = targets.get(TARGET_ID) == target
        changes = () if same_target else (put_target,)
        if rule["State"] == "DISABLED":
            return Rule(source, name, DISABLED, "the rule is disabled", (put_rule, *changes))
        if not same_pattern:
            return Rule(source, name, DIFFERENT, "it has another pattern", (put_rule, *changes))
        if changes:
            return Rule(source, name, DIFFERENT, "it has another target", changes)
        return Rule(source, name, FORWARDED, f"to {target['Arn']}")


def _described(events: Any, name: str) -> Row | None:
    """The rule on the default bus, or None where there is none. Raises RefusedError."""
    try:
        return calls.read(events.describe_rule, Name=name)
    except ClientError as error:
        if calls.failure(error)[0] == "ResourceNotFoundException":
            return None
        raise
