"""Timestamps, in the forms that the services use."""

from __future__ import annotations

import datetime
from typing import Any


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def to_epoch(value: Any) -> float:
    """Converts a datetime, an ISO text or a number to epoch seconds; naive means UTC."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.timezone.utc)
    return float(value.timestamp())


def to_datetime(value: Any) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(to_epoch(value), datetime.timezone.utc)


def iso(value: Any = None, timespec: str = "seconds") -> str:
    """Returns e.g. ``2024-05-01T12:00:00Z``; of the present without a value."""
    moment = now() if value is None else to_datetime(value)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
