"""What an account and region have deployed: functions, rules on every bus, what may invoke."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

CUSTOM_ACTION = ":action/custom/"
ABSENT = ("ResourceNotFoundException", "NoSuchConfigRuleException")


@dataclass(frozen=True)
class Rule:
    """An EventBridge rule; its name is unique on its bus only."""

    bus: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} on bus {self.bus}"


class Deployed:
    """Reads, once each, what a session's account has in its region."""

    def __init__(self, session: Any):
        self.session = session
        self.functions: Any = session.client("lambda")
        self.events: Any = session.client("events")

    def function(self, name: str) -> dict[str, Any] | None:
        """The answer of GetFunction; None where there is no such function."""
        found: dict[str, Any] | None = found_by(self.functions.get_function, FunctionName=name)
        return found

    def names(self, *prefixes: str) -> Iterator[tuple[str, str]]:
        """Name and ARN of each function with one of the prefixes."""
        for page in self.functions.get_paginator("list_functions").paginate():
            for found in page["Functions"]:
                if found["FunctionName"].startswith(prefixes):
                    yield found["FunctionName"], found["FunctionArn"]

    def tags(self, arn: str) -> dict[str, str]:
        """A function's tags."""
        tags: dict[str, str] = self.functions.list_tags(Resource=arn).get("Tags") or {}
        return tags

    @cached_property
    def buses(self) -> list[str]:
        """The event buses of the region."""
        return [bus["Name"] for bus in self._pages("list_event_buses", "EventBuses")]

    def rules(self, prefix: str) -> Iterator[Rule]:
        """The rules with this prefix, on every bus."""
        for bus in self.buses:
            for row in self._pages("list_rules", "Rules", EventBusName=bus, NamePrefix=prefix):
                yield Rule(bus, row["Name"])

    def invokers(self, arn: str) -> set[Rule]:
        """The rules of every bus that invoke a function."""
        return {
            Rule(bus, name)
            for bus in self.buses
            for name in self._pages(
                "list_rule_names_by_target", "RuleNames", EventBusName=bus, TargetArn=arn
            )
        }

    def targets(self, rule: Rule) -> list[dict[str, Any]]:
        """What a rule sends its events to."""
        return list(
            self._pages("list_targets_by_rule", "Targets", EventBusName=rule.bus, Rule=rule.name)
        )

    def custom_action(self, arn: str) -> dict[str, Any] | None:
        """A custom action of Security Hub; None where there is no such one."""
        hub = self.session.client("securityhub")
        found = found_by(hub.describe_action_targets, ActionTargetArns=[arn])
        return next(iter(found["ActionTargets"] if found else ()), None)

    def custom_actions(self, rule: Rule) -> list[str]:
        """The ARNs of the custom actions of Security Hub that a rule's pattern names."""
        found = self.events.describe_rule(Name=rule.name, EventBusName=rule.bus)
        named = json.loads(found.get("EventPattern", "{}")).get("resources", ())
        return [arn for arn in named if isinstance(arn, str) and CUSTOM_ACTION in arn]

    def allowed(self, name: str) -> set[tuple[str, str]]:
        """Who may invoke a function by its policy: the service or principal, and from where."""
        found = found_by(self.functions.get_policy, FunctionName=name)
        return (
            {grant(statement) for statement in json.loads(found["Policy"])["Statement"]}
            if (found)
            else set()
        )

    def _pages(self, operation: str, key: str, **params: Any) -> Iterator[Any]:
        """EventBridge pages with NextToken, for which botocore has no paginator everywhere."""
        token: dict[str, str] = {}
        while True:
            page = getattr(self.events, operation)(**params, **token)
            yield from page.get(key, ())
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}


def found_by(operation: Any, **params: Any) -> Any:
    """What an operation answers; None where the thing does not exist."""
    try:
        return operation(**params)
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise


def grant(statement: dict[str, Any]) -> tuple[str, str]:
    """Principal and source of a statement of a function's policy."""
    principal = statement["Principal"]
    who = principal if isinstance(principal, str) else "".join(map(str, principal.values()))
    condition = statement.get("Condition") or {}
    return who, ", ".join(
        sorted(str(value) for test in condition.values() for value in test.values())
    )
