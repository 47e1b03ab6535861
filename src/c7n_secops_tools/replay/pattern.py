"""Event patterns of EventBridge rules, evaluated as its documentation says.

Known are values, ``prefix``, ``suffix``, ``equals-ignore-case``, ``wildcard``, ``anything-but``,
``numeric``, ``cidr``, ``exists`` and ``$or``. In an array of objects one object must have all that
the pattern asks of it; in an array of values one value must fit.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ESCAPED = re.compile(r"\\(.)|(\*)|([^\\*]+)|(\\)", re.DOTALL)


class PatternError(ValueError):
    """EventBridge would refuse the pattern, or this module does not know a part of it."""


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    """Whether a rule with this pattern delivers the event. Raises PatternError."""
    if isinstance(event, list):
        return any(matches(pattern, item) for item in event)
    known = event if isinstance(event, Mapping) else {}
    return all(_field_matches(key, wanted, known) for key, wanted in pattern.items())


def mismatches(pattern: Mapping[str, Any], event: Any, path: str = "") -> Iterator[str]:
    """The fields of the pattern that keep it from matching the event, the event's value of each."""
    known = event if isinstance(event, Mapping) else {}
    for key, wanted in pattern.items():
        if _field_matches(key, wanted, known):
            continue
        place = f"{path}.{key}" if path else key
        inner = known.get(key)
        if isinstance(wanted, Mapping) and isinstance(inner, Mapping):
            yield from mismatches(wanted, inner, place)
        else:
            has = f"is {inner!r}" if key in known else "is not in the event"
            yield f"{place} {has}, and the rule wants {wanted!r}"


def _field_matches(key: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if key == "$or" and isinstance(wanted, list):
        return any(matches(each, event) for each in wanted)
    if isinstance(wanted, Mapping):
        return matches(wanted, event.get(key))
    if not isinstance(wanted, list) or not wanted:
        raise PatternError(f"{key} must be an object or an array that is not empty")
    values = list(_values(event[key])) if key in event else []
    return any(_condition_matches(condition, values) for condition in wanted)


def _values(value: Any) -> Iterator[Any]:
    """The values of a leaf: an array's are those in it. An object is no leaf."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item)
    elif not isinstance(value, Mapping):
        yield value


def _condition_matches(condition: Any, values: list[Any]) -> bool:
    if isinstance(condition, Mapping) and "exists" in condition:
        return bool(values) is bool(condition["exists"])
    return any(_fits(condition, value) for value in values)


def _fits(condition: Any, value: Any) -> bool:
    if not isinstance(condition, Mapping):
        return isinstance(condition, bool) == isinstance(value, bool) and condition == value
    if len(condition) != 1:
        raise PatternError(f"{dict(condition)} must have one key")
    ((name, wanted),) = condition.items()
    if name not in CONDITIONS:
        raise PatternError(f"{name} is not a condition that is known here")
    return CONDITIONS[name](wanted, value)


def _prefix(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, str) and value.lower().startswith(_ignoring_case(wanted))
    return isinstance(value, str) and value.startswith(_text(wanted))


def _suffix(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, str) and value.lower().endswith(_ignoring_case(wanted))
    return isinstance(value, str) and value.endswith(_text(wanted))


def _equals_ignore_case(wanted: Any, value: Any) -> bool:
    return isinstance(value, str) and value.lower() == _text(wanted).lower()


def _wildcard(wanted: Any, value: Any) -> bool:
    parts = [
        ".*" if star else re.escape(escaped or text or slash)
        for escaped, star, text, slash in ESCAPED.findall(_text(wanted))
    ]
    return isinstance(value, str) and bool(re.fullmatch("".join(parts), value, re.DOTALL))


def _anything_but(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        ((name, inner),) = wanted.items()
        each = inner if isinstance(inner, list) else [inner]
        return not any(_fits({name: item}, value) for item in each)
    each = wanted if isinstance(wanted, list) else [wanted]
    return not any(_fits(item, value) for item in each)


def _numeric(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, list) or len(wanted) % 2 or not wanted:
        raise PatternError(f"numeric {wanted!r} must be comparisons and numbers by turns")
    pairs = list(zip(wanted[::2], wanted[1::2], strict=True))
    if not all(name in COMPARISONS and _is_number(number) for name, number in pairs):
        raise PatternError(f"numeric {wanted!r} must be comparisons and numbers by turns")
    return _is_number(value) and all(COMPARISONS[name](value, number) for name, number in pairs)


def _cidr(wanted: Any, value: Any) -> bool:
    try:
        network = ipaddress.ip_network(_text(wanted))
    except ValueError as error:
        raise PatternError(f"cidr {wanted!r}: {error}") from error
    try:
        return ipaddress.ip_address(str(value)) in network
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ignoring_case(wanted: Mapping[str, Any]) -> str:
    if set(wanted) != {"equals-ignore-case"}:
        raise PatternError(f"{dict(wanted)} must be equals-ignore-case")
    return _text(wanted["equals-ignore-case"]).lower()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PatternError(f"{value!r} must be a text")
    return value


CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
}
