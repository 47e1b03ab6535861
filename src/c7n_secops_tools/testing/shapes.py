"""Checks recorded answers of AWS against botocore's models of its services."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session

FILE_NAME = re.compile(r"([a-z0-9.-]+)\.([A-Z]\w*)_\d+\.json")
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (str, bytes),
    "timestamp": (datetime, str, int, float),
}
HARD = frozenset({"service", "operation", "unknown", "case", "type"})


class Problem(NamedTuple):
    """What is wrong at one place of an answer.

    ``kind`` is one of service, operation, unknown, case, type (AWS cannot have answered this),
    or enum, missing, null (it can: models lag behind services).
    """

    kind: str
    path: str
    detail: str

    @property
    def hard(self) -> bool:
        """Whether AWS cannot have answered this."""
        return self.kind in HARD


def check_flight(file: Path) -> list[Problem]:
    """The problems of one placebo file, which is named ``service.Operation_1.json``.

    The name has the service's endpoint prefix, which several services share: the one that fits
    best counts. An error that AWS answered is not checked.
    """
    name = FILE_NAME.fullmatch(file.name)
    if name is None:
        return [Problem("operation", "", f"{file.name} is not called service.Operation_1.json")]
    recorded = json.loads(file.read_text())
    if recorded.get("status_code", 200) >= 300:
        return []
    return check_answer(name[1], name[2], restore(recorded.get("data", {})))


def check_answer(service: str, operation: str, answer: dict[str, Any]) -> list[Problem]:
    """The problems of what a client's method returned; ``service`` may be an endpoint prefix."""
    body = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    own = [service] if service in _session().get_available_services() else []
    best = _best(own, operation, body)
    if best is None or any(problem.hard for problem in best):
        sharing = _services_by_prefix().get(service, [])
        if not own + sharing:
            return [Problem("service", "", f"there is no service {service}")]
        best = _best(own + sharing, operation, body)
    if best is None:
        return [Problem("operation", "", f"{service} has no operation {operation}")]
    return best


def check_answer_of(service: str, operation: str, answer: dict[str, Any]) -> list[Problem]:
    """The problems of an answer of the service that boto3 calls so; no other is tried."""
    if service not in _session().get_available_services():
        return [Problem("service", "", f"there is no service {service}")]
    found = _best([service], operation, answer)
    if found is None:
        return [Problem("operation", "", f"{service} has no operation {operation}")]
    return found


def _best(services: list[str], operation: str, body: dict[str, Any]) -> list[Problem] | None:
    """The fewest problems that the answer has with one of these services' operation."""
    answers = [
        list(_walk(body, model.operation_model(operation).output_shape, ""))
        for model in map(_session().get_service_model, services)
        if operation in model.operation_names
    ]
    return min(answers, key=_badness, default=None)


def restore(value: Any) -> Any:
    """What placebo's serializer was given: datetimes and streams are marked by their class."""
    if isinstance(value, list):
        return [restore(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("__class__") == "datetime":
        return datetime(*(value.get(part, 0) for part in ("year", "month", "day", "hour")))  # noqa: DTZ001
    if "__class__" in value:
        return value.get("body", "")
    return {key: restore(item) for key, item in value.items()}


def _badness(problems: list[Problem]) -> tuple[int, int]:
    return sum(problem.hard for problem in problems), len(problems)


def _walk(value: Any, shape: Any, path: str) -> Iterator[Problem]:
    if value is None:
        yield Problem("null", path, shape.type_name if shape else "")
    elif shape is None:
        yield from (Problem("unknown", f"{path}.{key}", "there is no output") for key in value)
    elif shape.type_name == "structure":
        if not getattr(shape, "is_document_type", False):
            yield from _walk_structure(value, shape, path)
    elif shape.type_name == "list":
        if isinstance(value, list):
            for item in value:
                yield from _walk(item, shape.member, f"{path}[]")
        else:
            yield _wrong_type(value, shape, path)
    elif shape.type_name == "map":
        if isinstance(value, dict):
            for item in value.values():
                yield from _walk(item, shape.value, f"{path}{{}}")
        else:
            yield _wrong_type(value, shape, path)
    else:
        yield from _check_scalar(value, shape, path)


def _walk_structure(value: Any, shape: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _wrong_type(value, shape, path)
        return
    for key, item in value.items():
        if key in shape.members:
            yield from _walk(item, shape.members[key], f"{path}.{key}")
            continue
        near = [member for member in shape.members if member.lower() == key.lower()]
        detail = f"it is {near[0]}" if near else f"{shape.name} has no such member"
        yield Problem("case" if near else "unknown", f"{path}.{key}", detail)
    for key in shape.required_members:
        if key not in value:
            yield Problem("missing", f"{path}.{key}", f"{shape.name} requires it")


def _check_scalar(value: Any, shape: Any, path: str) -> Iterator[Problem]:
    kind = shape.type_name
    truth = isinstance(value, bool) and kind != "boolean"
    if not isinstance(value, SCALARS[kind]) or truth:
        yield _wrong_type(value, shape, path)
    elif kind == "timestamp" and isinstance(value, str) and not ISO_DATE.match(value):
        yield Problem("type", path, f"{value!r} is not a timestamp")
    elif kind == "string" and shape.enum and value not in shape.enum:
        yield Problem("enum", path, repr(value))


def _wrong_type(value: Any, shape: Any, path: str) -> Problem:
    return Problem("type", path, f"{type(value).__name__} in place of {shape.type_name}")


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def _services_by_prefix() -> dict[str, list[str]]:
    """The services by their endpoint prefixes. Slow: it reads the model of every service."""
    found: dict[str, list[str]] = {}
    for name in _session().get_available_services():
        prefix = _session().get_service_model(name).metadata["endpointPrefix"]
        found.setdefault(prefix, []).append(name)
    return found
