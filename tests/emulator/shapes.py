"""Checks of requests and replies against botocore's shapes."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator
from typing import Any

PYTHON_TYPES: dict[str, Any] = {
    "string": str,
    "character": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "blob": (str, bytes),
    "timestamp": (datetime.datetime, int, float, str),
}


# Members that the service models require and that AWS leaves out of its replies.
NOT_SENT = {("State", "errorCode"), ("State", "errorMessage")}


@functools.cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Compiles a pattern of a service model; None where Python has another dialect."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def find_request_error(shape: Any, value: Any, path: str = "") -> str | None:
    """Finds the first limit of the service model that a request breaks, in AWS's words."""
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            if value.get(name) is None:
                return refusal(None, join(path, name), "Member must not be null")
        for name, member in value.items():
            if member is not None and name in shape.members:
                found = find_request_error(shape.members[name], member, join(path, name))
                if found:
                    return found
    elif kind == "list":
        found = wrong_size(shape, value, path, len(value), "length")
        if found:
            return found
        for number, member in enumerate(value, 1):
            found = find_request_error(shape.member, member, f"{path}.{number}.member")
            if found:
                return found
    elif kind in ("integer", "long", "double", "float"):
        return wrong_size(shape, value, path, float(value), "value")
    elif kind == "string" and isinstance(value, str):
        choices = shape.metadata.get("enum")
        if choices and value not in choices:
            listed = ", ".join(choices)
            return refusal(value, path, f"Member must satisfy enum value set: [{listed}]")
        found = wrong_size(shape, value, path, len(value), "length")
        if found:
            return found
        pattern = shape.metadata.get("pattern")
        known = compiled(pattern) if pattern else None
        if known and not known.search(value):
            return refusal(
                value, path, f"Member must satisfy regular expression pattern: {pattern}"
            )
    return None


def wrong_size(shape: Any, value: Any, path: str, size: float, what: str) -> str | None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if high is not None and size > high:
        return refusal(value, path, f"Member must have {what} less than or equal to {high}")
    if low is not None and size < low:
        return refusal(value, path, f"Member must have {what} greater than or equal to {low}")
    return None


def refusal(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else str(value)
    shown = shown if len(shown) <= 200 else shown[:200] + "..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def join(path: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{path}.{lower}" if path else lower


def find_reply_errors(shape: Any, value: Any) -> list[str]:
    """Finds unknown, missing and wrongly typed members of a reply."""
    return list(walk_reply(shape, value, ""))


def walk_reply(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return
        if not isinstance(value, dict):
            yield f"{path or '.'} must be a structure, not {type(value).__name__}"
            return
        for name in shape.required_members:
            if value.get(name) is None and (shape.name, name) not in NOT_SENT:
                yield f"{path}.{name} is required"
        for name, member in value.items():
            if name not in shape.members:
                yield f"{path}.{name} is not in {shape.name}"
            elif member is not None:
                yield from walk_reply(shape.members[name], member, f"{path}.{name}")
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path} must be a list, not {type(value).__name__}"
            return
        for number, member in enumerate(value):
            yield from walk_reply(shape.member, member, f"{path}[{number}]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{path} must be a map, not {type(value).__name__}"
            return
        for key, member in value.items():
            yield from walk_reply(shape.value, member, f"{path}{{{key}}}")
    else:
        wanted = PYTHON_TYPES[kind]
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{path} must be a {kind}, not {type(value).__name__}"
        elif kind == "string":
            choices = shape.metadata.get("enum")
            if choices and value not in choices:
                yield f"{path} is {value!r}, not one of {choices}"
