"""Conditions that filters put on ages and counts: their schemas and their meaning."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from c7n.filters import OPERATORS
from c7n.utils import parse_date

AGE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "op": {"enum": ["gt", "gte", "lt", "lte"]},
        "hours": {"type": "number", "minimum": 0, "maximum": 87600},
        "days": {"type": "number", "minimum": 0, "maximum": 3650},
    },
    "oneOf": [{"required": ["hours"]}, {"required": ["days"]}],
}
"""``{op: gt, days: 30}``; more than unless ``op`` says otherwise."""

COUNT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["value"],
    "properties": {
        "op": {"enum": ["eq", "ne", "gt", "gte", "lt", "lte"]},
        "value": {"type": "integer", "minimum": 0, "maximum": 1000000},
    },
}
"""``{op: gt, value: 5}``; at least that many unless ``op`` says otherwise."""


def length(condition: dict[str, Any]) -> timedelta:
    """How long an :data:`AGE` is."""
    return timedelta(hours=condition.get("hours", 0), days=condition.get("days", 0))


def is_of_age(then: datetime | str, condition: dict[str, Any]) -> bool:
    """Whether a moment (UTC) is as long ago as an :data:`AGE` says."""
    moment = parse_date(then, tz=timezone.utc)
    age = datetime.now(timezone.utc) - moment
    return bool(OPERATORS[condition.get("op", "gt")](age, length(condition)))


def is_count(number: int, condition: dict[str, Any]) -> bool:
    """Whether a number is as a :data:`COUNT` says."""
    return bool(OPERATORS[condition.get("op", "gte")](number, condition["value"]))
