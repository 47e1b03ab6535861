"""Policy documents out of grants: one statement for what is alike, split where IAM's limit is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from c7n_secops_tools.iam.grants import OWN, Grant, covering

Document: TypeAlias = dict[str, Any]
Statement: TypeAlias = dict[str, Any]

VERSION = "2012-10-17"
LIMIT = 6144
"""Characters of a managed policy, without the white space."""
LONGEST = {"${Partition}": "aws-us-gov", OWN: "0" * 12}


def documents(grants: Iterable[Grant]) -> list[Document]:
    """Documents that together grant this and nothing twice, each within the limit of a policy."""
    found: list[list[Statement]] = []
    room = 0
    for each in parts(statements(grants)):
        taken = size(each) + 1  # and the comma
        if not found or taken > room:
            found.append([])
            room = LIMIT - size(document([]))
        found[-1].append(each)
        room -= taken
    return [document(each) for each in found]


def document(of: list[Statement]) -> Document:
    return {"Version": VERSION, "Statement": of}


def size(value: Any) -> int:
    """How long a part of a document is where partition and account are longest."""
    text = json.dumps(value, separators=(",", ":"))
    for mark, longest in LONGEST.items():
        text = text.replace(mark, longest)
    return len(text)


def statements(grants: Iterable[Grant]) -> list[Statement]:
    """One statement for the actions that have the same resources and conditions, sorted."""
    resources: dict[tuple[str, Any], set[str]] = defaultdict(set)
    for each in grants:
        resources[each.action, each.conditions].update(each.resources)
    actions: dict[tuple[tuple[str, ...], Any], list[str]] = defaultdict(list)
    for (action, conditions), places in sorted(resources.items()):
        actions[covering(places), conditions].append(action)
    return [
        statement(named, where, conditions)
        for (where, conditions), named in sorted(actions.items(), key=lambda row: (row[1], row[0]))
    ]


def statement(actions: list[str], resources: tuple[str, ...], conditions: Any) -> Statement:
    made: Statement = {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    for operator, key, values in conditions:
        made.setdefault("Condition", {}).setdefault(operator, {})[key] = list(values)
    return made


def parts(of: list[Statement]) -> Iterator[Statement]:
    """The statements, those that are longer than a policy in halves."""
    for each in of:
        if size(each) + size(document([])) < LIMIT:
            yield each
            continue
        key = "Action" if len(each["Action"]) > 1 else "Resource"
        middle = len(each[key]) // 2
        halves = each[key][:middle], each[key][middle:]
        yield from parts([{**each, key: half} for half in halves])
