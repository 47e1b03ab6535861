"""Reads JSON that others control: each value has the type that is asked for, or it is refused."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LAST_SECOND = datetime(9999, 12, 31, tzinfo=timezone.utc).timestamp()
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-]\d\d):?(\d\d))")
AMERICAN = "%b %d, %Y, %I:%M:%S %p"
"""Mar 20, 2023, 6:08:05 PM"""
UNIX = "%a %b %d %H:%M:%S.%f UTC %Y"
"""Wed Sep 04 16:59:44.356 UTC 2024"""


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not one of the floats that are none."""
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, int) and not isinstance(value, bool)


class UnknownShapeError(ValueError):
    """An event or a finding is not of a form that its service documents; says where and how."""


def moment(value: Any) -> datetime:
    """A time in any of the forms that AWS writes: epoch seconds, ISO, and two English ones.

    Raises ValueError for anything else.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    if is_number(value):
        if not 0 <= value < LAST_SECOND:
            raise ValueError("is not a number of seconds since 1970")
        return EPOCH + timedelta(milliseconds=round(value * 1000))
    text = value if isinstance(value, str) else ""
    iso = ISO.fullmatch(text)
    if iso:
        day, clock, fraction, hours, minutes = iso.groups()
        offset = f"{hours or '+00'}:{minutes or '00'}"
        exact = f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset}"
        return datetime.fromisoformat(exact).astimezone(timezone.utc)
    plain = text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    form = AMERICAN if "," in plain else UNIX
    return datetime.strptime(plain, form).replace(tzinfo=timezone.utc)


def iso(at: datetime) -> str:
    """A time as records have it: UTC, with milliseconds."""
    return f"{at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def milliseconds(at: datetime) -> int:
    """A time in milliseconds since 1970."""
    return (at - EPOCH) // timedelta(milliseconds=1)


class Node:
    """A JSON object and where it stands.

    A member that is absent or null is None, or empty where many are asked for; one of another type
    than asked raises :class:`UnknownShapeError`. ``need`` asks for a member that must be there.
    """

    __slots__ = ("path", "value")

    def __init__(self, value: Mapping[str, Any], path: str):
        self.value, self.path = value, path

    @classmethod
    def of(cls, value: Any, path: str) -> Node:
        """The node of a JSON object; anything else is refused."""
        if not isinstance(value, Mapping):
            raise UnknownShapeError(f"{path} is not an object but {_kind(value)}")
        return cls(value, path)

    def wrong(self, key: str, expected: str) -> UnknownShapeError:
        """The error for one member."""
        found = _kind(self.value.get(key))
        return UnknownShapeError(f"{self.path}.{key} is not {expected} but {found}")

    def text(self, key: str, limit: int = 2048) -> str | None:
        """A text, cut at ``limit``."""
        value = self.value.get(key)
        if value is None or isinstance(value, str):
            return value[:limit] if value else None
        raise self.wrong(key, "a text")

    def need(self, key: str, form: str = r"(?s:.+)", limit: int = 2048) -> str:
        """A text that must be there, whole and of this form."""
        value = self.text(key, limit + 1)
        if value is None:
            raise UnknownShapeError(f"{self.path}.{key} is missing")
        if len(value) > limit or not re.fullmatch(form, value):
            raise self.wrong(key, f"of the form {form} with at most {limit} characters")
        return value

    def choice(self, key: str, choices: Mapping[str, Any]) -> Any:
        """What one of these words stands for; None where the member is absent."""
        value = self.text(key)
        if value is None:
            return None
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return choices[value]

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number, brought between ``low`` and ``high``."""
        value = self.value.get(key)
        if value is None:
            return None
        if not is_number(value):
            raise self.wrong(key, "a number")
        return float(min(max(value, low), high))

    def integer(self, key: str, low: int = 0, high: int = 2**53) -> int | None:
        """A whole number within bounds; one out of bounds is None, since it means nothing."""
        value = self.value.get(key)
        if value is None:
            return None
        if not is_number(value):
            raise self.wrong(key, "a number")
        return int(value) if low <= value <= high else None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.value.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(key, "true or false")

    def time(self, key: str) -> datetime | None:
        """A time in one of AWS's forms."""
        value = self.value.get(key)
        if value is None or value == "":
            return None
        try:
            return moment(value)
        except ValueError as error:
            raise self.wrong(key, "a time of a known form") from error

    def child(self, key: str) -> Node:
        """An object; an empty one where it is absent."""
        value = self.value.get(key)
        if value is None:
            return Node({}, f"{self.path}.{key}")
        return Node.of(value, f"{self.path}.{key}")

    def children(self, key: str) -> Iterator[Node]:
        """The objects of a list."""
        for number, item in enumerate(self._list(key)):
            yield Node.of(item, f"{self.path}.{key}[{number}]")

    def texts(self, key: str, limit: int = 2048) -> tuple[str, ...]:
        """The texts of a list, each once and in order, cut at ``limit``."""
        items = self._list(key)
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "a list of texts")
        return tuple(dict.fromkeys(item[:limit] for item in items if item))

    def tags(self, key: str) -> dict[str, str]:
        """Tags: an object of texts, or a list of key and value."""
        value = self.value.get(key)
        if isinstance(value, list):
            return {tag.need("key"): tag.text("value") or "" for tag in self.children(key)}
        node = self.child(key)
        return {str(name)[:2048]: node.text(name) or "" for name in node.value}

    def _list(self, key: str) -> list[Any]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value


def addresses(texts: tuple[str | None, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The valid addresses among texts, private and public ones apart."""
    private: list[str] = []
    public: list[str] = []
    for text in texts:
        try:
            address = ipaddress.ip_address(text or "")
        except ValueError:
            continue
        (public if address.is_global else private).append(str(address))
    return tuple(dict.fromkeys(private)), tuple(dict.fromkeys(public))


def address(text: str | None) -> str | None:
    """A text that is a valid address, or None."""
    private, public = addresses((text,))
    return next(iter((*private, *public)), None)


def _kind(value: Any) -> str:
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else type(value).__name__
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
