"""Case files: read, checked, and every mistake told with its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from c7n_secops_tools.report.text import clean
from c7n_secops_tools.testing.shapes import check_answer_of

Data = dict[str, Any]
Keys = tuple[str | int, ...]

FOLDER = "tests"
DEFAULTS: Data = {
    "account": "111122223333",
    "region": "us-east-1",
    "now": "2026-05-01T12:00:00Z",
}
"""What a case has that neither it nor its file's ``defaults`` say."""
LONGEST_MESSAGE = 300
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BadInput(Exception):  # noqa: N818  (it is what the exit code 1 means)
    """What cannot be used; the message has a line for each mistake, with file and line."""


class Case(NamedTuple):
    """One case: ``data`` as in the file, with its file's defaults in it."""

    file: Path
    line: int
    name: str
    policy: str
    data: Data

    @property
    def expect(self) -> Data:
        """What must happen."""
        expected: Data = self.data["expect"]
        return expected

    @property
    def where(self) -> str:
        """Its file and line."""
        return f"{self.file}:{self.line}"


class CaseFile(NamedTuple):
    """A case file: the policy file that it is for, its cases, and the mutants that may survive."""

    path: Path
    policies: Path
    cases: list[Case]
    allowed: dict[str, dict[str, str]]
    """By policy, the reason by the mutant's place."""


class Document(NamedTuple):
    """A YAML file: its data, and the line of each part of it."""

    path: Path
    data: Any
    lines: Mapping[Keys, int]

    def line(self, path: Sequence[str | int]) -> int:
        """The line of this part, or of the nearest part around it."""
        place = tuple(path)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def mistake(self, path: Sequence[str | int], text: str) -> str:
        """A line for :class:`BadInput`."""
        return f"{self.path}:{self.line(path)}: {clean(' '.join(text.split()))}"


def read_yaml(path: Path) -> Document:
    """A YAML file with the line of each part. A key that stands twice is a mistake.

    A date is a text, as it is in JSON; a time with its zone (not in quotes) is a datetime, as in
    what boto3 returns.
    """
    try:
        loader = LOADER(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        said = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{path}:{line}: {clean(str(said))}") from error
    if node is None:
        raise BadInput(f"{path}:1: the file is empty")
    twice = [f"{path}:{line}: the key {key} stands twice" for key, line in _twice(node)]
    if twice:
        raise BadInput("\n".join(twice))
    try:
        data = loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path}:1: {clean(' '.join(str(error).split()))}") from error
    return Document(path, _without_dates(data), dict(_lines(node, ())))


def read_cases(path: Path) -> CaseFile:
    """A case file. Raises BadInput with every mistake that it has."""
    document = read_yaml(path)
    mistakes = list(_schema_mistakes(document))
    if not mistakes:
        _write_bodies(document.data)
        mistakes = list(_answer_mistakes(document))
    if mistakes:
        raise BadInput("\n".join(mistakes))
    data = document.data
    policies = path.parent / data.get("policies", f"../{path.name}")
    defaults = {**DEFAULTS, **data.get("defaults", {})}
    cases = []
    names = [case["name"] for case in data["cases"]]
    for number, case in enumerate(data["cases"]):
        if case["name"] in names[:number]:
            mistakes.append(
                document.mistake(("cases", number), f"there is a case {case['name']!r} already")
            )
        if "policy" not in case and "policy" not in defaults:
            mistakes.append(document.mistake(("cases", number), "'policy' is a required property"))
            continue
        whole = {**defaults, **case}
        for key in ("vars", "files", "web", "names"):
            whole[key] = {**defaults.get(key, {}), **case.get(key, {})}
        whole["answers"] = [*case.get("answers", ()), *defaults.get("answers", ())]
        line = document.line(("cases", number))
        cases.append(Case(path, line, case["name"], whole["policy"], whole))
        if "event-file" in case:
            mistakes += _load_event(document, number, whole)
        mistakes += _file_mistakes(document, number, case)
    if mistakes:
        raise BadInput("\n".join(mistakes))
    allowed = {
        policy: {item["filter"]: item["reason"] for item in exception["mutants"]["allowed"]}
        for policy, exception in data.get("exceptions", {}).items()
    }
    return CaseFile(path, policies.resolve(), cases, allowed)


@cache
def validator() -> Any:
    """Checks a case file by the JSON schema that stands beside this module."""
    schema = json.loads(files(__package__).joinpath("schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def _schema_mistakes(document: Document) -> Iterator[str]:
    for error in sorted(validator().iter_errors(document.data), key=lambda e: str(e.path)):
        deepest = jsonschema.exceptions.best_match([error])
        message = deepest.message
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}…"
        place = "/".join(map(str, deepest.absolute_path))
        yield document.mistake(deepest.absolute_path, f"{message} (in {place or 'the file'})")


def _answer_mistakes(document: Document) -> Iterator[str]:
    """What no answer of AWS can be, and calls that AWS does not have."""
    data = document.data
    places: list[Keys] = [
        ("defaults", "answers", number)
        for number, _ in enumerate(data.get("defaults", {}).get("answers", ()))
    ]
    for number, case in enumerate(data["cases"]):
        here: Keys = ("cases", number)
        places += [(*here, "answers", each) for each, _ in enumerate(case.get("answers", ()))]
        calls = case["expect"].get("calls", ())
        places += [(*here, "expect", "calls", each) for each, _ in enumerate(calls)]
    for place in places:
        item: Any = data
        for key in place:
            item = item[key]
        service, _, operation = item["call"].partition(":")
        for problem in check_answer_of(service, operation, item.get("answer", {})):
            if problem.hard:
                part = [*place, "answer", *problem.path.strip(".").split(".")]
                text = f"{item['call']}{problem.path.rstrip('.')}: {problem.detail}"
                yield document.mistake(part, text)


def _write_bodies(data: Data) -> None:
    """The text of each Body of s3:GetObject that is a list of lines."""
    for answers in (each.get("answers", ()) for each in (data.get("defaults", {}), *data["cases"])):
        for item in answers:
            body = item.get("answer", {}).get("Body")
            if item["call"] == "s3:GetObject" and isinstance(body, list):
                item["answer"]["Body"] = "".join(
                    f"{line}\n" for each in body for line in _lines_of(each)
                )


def _lines_of(item: Any) -> Iterator[str]:
    """A line, or ``{line, times, each}``: the line so often, for each number up to ``each``."""
    if isinstance(item, str):
        yield item
        return
    for number in range(1, item.get("each", 1) + 1):
        text = item["line"].replace("{n}", str(number))
        yield from [text] * item.get("times", 1)


def _load_event(document: Document, number: int, case: Data) -> Iterator[str]:
    file = document.path.parent / case["event-file"]
    try:
        case["event"] = read_event(file)
    except BadInput as error:
        yield document.mistake(("cases", number, "event-file"), str(error))


def read_event(file: Path) -> Data:
    """An event in a JSON file."""
    try:
        event = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(event, dict):
        raise BadInput(f"{file} is no event: it holds no JSON object")
    return event


def _file_mistakes(document: Document, number: int, case: Data) -> Iterator[str]:
    if {"event", "event-file"} & case.keys() and "resources" in case:
        yield document.mistake(
            ("cases", number, "resources"),
            "a case with an event has no resources: the policy reads those that the event names; "
            "put what it reads under answers",
        )
    if "delivered" in case["expect"] and not {"event", "event-file"} & case.keys():
        yield document.mistake(
            ("cases", number, "expect", "delivered"), "delivered is of an event; give one"
        )


def _twice(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield str(key.value), key.start_mark.line + 1
            if isinstance(key.value, str) and key.value != "<<":
                seen.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


def _lines(node: Any, path: Keys) -> Iterator[tuple[Keys, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from (
                (place, line)
                for place, line in _lines(value, (*path, key.value))
                if place != (*path, key.value)
            )
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*path, number))


def _without_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_dates(item) for item in value]
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value
