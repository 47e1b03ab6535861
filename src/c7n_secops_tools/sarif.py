"""SARIF 2.1.0, the form in which code scanning takes results. What it is given is plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import click

from c7n_secops import __version__
from c7n_secops_tools.authoring.places import Place
from c7n_secops_tools.report.text import clean

Object: TypeAlias = dict[str, Any]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
SCORE = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""Where GitHub's bands of ``security-severity`` have these severities."""
LITERAL = str.maketrans({"[": r"\[", "]": r"\]", "\\": r"\\", "{": "{{", "}": "}}"})
"""How a message writes the signs that would make a link or a placeholder of it."""


class Rule(NamedTuple):
    """What is checked. ``severity`` is a policy's, empty where there is none."""

    id: str
    summary: str
    level: str
    help: str = ""
    severity: str = ""


def log(
    category: str,
    *,
    rules: Sequence[Rule],
    results: Iterable[Object],
    notifications: Iterable[Object] = (),
    successful: bool = True,
) -> Object:
    """One run of one tool. ``category`` keeps uploads of other commands apart."""
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "c7n-secops",
                        "semanticVersion": __version__,
                        "rules": [_descriptor(rule) for rule in rules],
                    }
                },
                "automationDetails": {"id": f"c7n-secops/{category}/"},
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": successful,
                        "toolExecutionNotifications": list(notifications),
                    }
                ],
                "results": list(results),
            }
        ],
    }


def _descriptor(rule: Rule) -> Object:
    found: Object = {
        "id": clean(rule.id),
        "shortDescription": message(rule.summary or rule.id),
        "defaultConfiguration": {"level": rule.level},
    }
    if rule.help:
        found["help"] = message(rule.help)
    if rule.severity in SCORE:
        found["properties"] = {"security-severity": SCORE[rule.severity], "tags": ["security"]}
    return found


def result(rule: str, level: str, text: str, *locations: Object, fingerprint: str = "") -> Object:
    """Something that is wrong; ``fingerprint`` tells it from others of the rule and place."""
    found: Object = {
        "ruleId": clean(rule),
        "level": level,
        "message": message(text),
        "locations": list(locations),
    }
    if fingerprint:
        found["partialFingerprints"] = {"primaryLocationLineHash": fingerprint}
    return found


def notification(rule: str, code: str, level: str, text: str, *locations: Object) -> Object:
    """Something that could not be checked, which is no result and not clean; no rule: all."""
    found: Object = {
        "descriptor": {"id": clean(code)},
        "level": level,
        "message": message(text),
        "locations": list(locations),
    }
    if rule:
        found["associatedRule"] = {"id": clean(rule)}
    return found


def message(text: str) -> Object:
    return {"text": clean(text).translate(LITERAL)}


def location(file: Path, place: Place) -> Object:
    """A place in a file; below the working folder its address is relative, as uploads need it."""
    path = file.resolve()
    inside = path.is_relative_to(Path.cwd())
    address = quote(path.relative_to(Path.cwd()).as_posix()) if inside else path.as_uri()
    line, column = place
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": address},
            "region": {"startLine": line, "startColumn": column},
        }
    }


def logical(name: str, full_name: str) -> Object:
    """A resource, as a place that is in no file."""
    return {"name": clean(name), "fullyQualifiedName": clean(full_name), "kind": "resource"}


def write(path: Path, log: Object) -> None:
    """Write the file; click's own error where it cannot be written."""
    try:
        path.write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error}") from error
