"""Mutants: a policy broken in one place, which a good case notices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from c7n.provider import clouds
from c7n.resources import load_resources

from c7n_secops_tools.cases.validity import BLOCKS

Data = dict[str, Any]
Place = tuple[str | int, ...]

OPPOSITES = {
    "eq": "ne",
    "equal": "not-equal",
    "gt": "lt",
    "greater-than": "less-than",
    "ge": "le",
    "gte": "lte",
    "in": "not-in",
    "difference": "intersect",
}
SWAPPED = {**OPPOSITES, **{other: one for one, other in OPPOSITES.items()}, "ni": "in"}
WORDS = {"present": "absent", "absent": "present", "not-null": "empty", "empty": "not-null"}
"""Values that Custodian takes for words of its own."""
KEPT = frozenset({"type", "key", "value_type", "value_regex", "value_from", "value_path"})
"""Keys of a filter that say what is looked at, not what is wanted of it."""
OF_RULES = frozenset({"events", "severities", "status", "pattern"})
"""Keys of a mode that narrow its rule; the others say how the function is deployed."""
OTHER = "c7n-secops-mutant"
PART = 0.1


class Mutant(NamedTuple):
    """A broken policy: where it is broken, and how."""

    place: str
    change: str
    policy: Data

    def __str__(self) -> str:
        return f"{self.place}: {self.change}"


class _Edit(NamedTuple):
    place: Place
    change: str
    apply: Callable[[Any, Any], None]
    """Gets the container and the key of the place in a copy of the policy."""


def mutants(policy: Data) -> Iterator[Mutant]:
    """Every mutant of a policy. Custodian may find some invalid: those are no mutants."""
    for edit in _edits(policy):
        broken = copy.deepcopy(policy)
        container: Any = broken
        for key in edit.place[:-1]:
            container = container[key]
        edit.apply(container, edit.place[-1])
        yield Mutant(named(edit.place), edit.change, broken)


def named(place: Place) -> str:
    """A place as text, such as ``filters[1].severity``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def _edits(policy: Data) -> Iterator[_Edit]:
    for key, value in policy.get("mode", {}).items():
        if key in OF_RULES:
            yield _dropped(("mode", key))
            yield from _altered(value, ("mode", key), {})
    yield from _of_filters(policy.get("filters", ()), ("filters",), policy["resource"])
    for number, _ in enumerate(policy.get("actions", ())):
        yield _dropped(("actions", number))


def _of_filters(filters: Any, place: Place, resource: str) -> Iterator[_Edit]:
    for number, item in enumerate(filters):
        here = (*place, number)
        if len(filters) > 1 or len(place) == 1:  # the only one of a block is the block
            yield _dropped(here)
            yield _replaced(here, "negated", {"not": [item]})
        if isinstance(item, dict):
            yield from _of_filter(item, here, resource)


def _of_filter(item: Data, place: Place, resource: str) -> Iterator[_Edit]:
    block = next(iter(item)) if len(item) == 1 else ""
    if block in BLOCKS and isinstance(item[block], list):
        yield from _of_filters(item[block], (*place, block), resource)
    elif "type" not in item:
        for key, value in item.items():
            yield from _changed_value(value, (*place, key))
    else:
        known = _properties(resource, str(item["type"]))
        for key, value in item.items():
            if key in KEPT:
                continue
            if key == "value":
                yield from _changed_value(value, (*place, key))
                continue
            if key != "op":
                yield _dropped((*place, key))
            yield from _altered(value, (*place, key), known.get(key, {}))


def _changed_value(value: Any, place: Place) -> Iterator[_Edit]:
    """Of the value that a value filter compares with."""
    if isinstance(value, str):
        other = WORDS.get(value, OTHER)
        yield _replaced(place, f"{value!r} became {other!r}", other)
    elif value is None:
        yield _replaced(place, f"null became {OTHER!r}", OTHER)
    else:
        yield from _altered(value, place, {})


def _altered(value: Any, place: Place, schema: Data) -> Iterator[_Edit]:
    """Of a setting: a number shifted, a truth flipped, another word, a list without a member."""
    if isinstance(value, bool):
        yield _replaced(place, f"{value} became {not value}", not value)
    elif isinstance(value, int | float):
        step = 1 if isinstance(value, int) else abs(value) * PART
        for other in (value + step, value - step):
            yield _replaced(place, f"{value} became {other}", other)
    elif isinstance(value, str):
        word = _other_word(value, place[-1], schema)
        if word is not None:
            yield _replaced(place, f"{value!r} became {word!r}", word)
    elif isinstance(value, list):
        yield from _altered_list(value, place, schema.get("items", {}))
    elif isinstance(value, dict):
        parts = schema.get("properties", {})
        for key, item in value.items():
            here = (*place, key)
            if key in KEPT:
                continue
            if key == "value" and isinstance(item, str):
                yield from _changed_value(item, here)
                continue
            if len(value) > 1 and key not in ("op", "value"):
                yield _dropped(here)
            yield from _altered(item, here, parts.get(key, {}))


def _altered_list(value: list[Any], place: Place, schema: Data) -> Iterator[_Edit]:
    for number, item in enumerate(value):
        here = (*place, number)
        if len(value) > 1:
            yield _dropped(here)
        if len(value) == 1 or isinstance(item, dict):
            yield from _altered(item, here, schema if isinstance(schema, dict) else {})


def _other_word(value: str, key: Any, schema: Data) -> str | None:
    if key == "op":
        return SWAPPED.get(value)
    words = [word for word in schema.get("enum", ()) if isinstance(word, str)]
    if value in words and len(words) > 1:
        return words[(words.index(value) + 1) % len(words)]
    return None


def _dropped(place: Place) -> _Edit:
    def apply(container: Any, key: Any) -> None:
        del container[key]

    return _Edit(place, "dropped", apply)


def _replaced(place: Place, change: str, value: Any) -> _Edit:
    def apply(container: Any, key: Any) -> None:
        container[key] = copy.deepcopy(value)

    return _Edit(place, change, apply)


def _properties(resource: str, name: str) -> Data:
    """The schema of each key of a resource's filter."""
    kind = resource if "." in resource else f"aws.{resource}"
    load_resources([kind])
    manager = clouds["aws"].resources.get(kind.partition(".")[2])
    element = manager.filter_registry.get(name) if manager is not None else None
    schema = getattr(element, "schema", None) or {}
    found: Data = schema.get("properties", {})
    return found
