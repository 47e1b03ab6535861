"""Sliding windows over what was counted a minute, and the networks that only together flood.

A window of ``length`` minutes is any run of that many minutes, wherever it starts: what a flood
does from 12:04 to 12:06 is one window, not halves of two.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """What one host did within one minute: a number of requests, or a set of paths."""

    minute: int
    host: Hashable
    amount: Any


class Peak(NamedTuple):
    """The window with the most, and the span of minutes that ended in a window over the limit.

    ``start`` is its first minute; ``first_over`` and ``last_over`` are last minutes of windows.
    """

    start: int
    total: int
    hosts: int
    first_over: int
    last_over: int


class Sum:
    """Numbers within a window."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> None:
        self.value += amount

    def remove(self, amount: int) -> None:
        self.value -= amount


class Union:
    """Different things within a window."""

    def __init__(self) -> None:
        self.within: Counter[str] = Counter()

    @property
    def value(self) -> int:
        return len(self.within)

    def add(self, amount: Iterable[str]) -> None:
        self.within.update(amount)

    def remove(self, amount: Iterable[str]) -> None:
        for each in amount:
            self.within[each] -= 1
            if not self.within[each]:
                del self.within[each]


def peak(
    seen: Sequence[Seen], length: int, threshold: int, distinct: bool, min_hosts: int = 1
) -> Peak | None:
    """The window that reaches the threshold by most, or None where none does.

    Only windows in which at least ``min_hosts`` hosts did something are looked at.
    """
    inside: deque[Seen] = deque()
    total: Sum | Union = Union() if distinct else Sum()
    hosts: Counter[Hashable] = Counter()
    best: Peak | None = None
    ordered = sorted(seen, key=lambda each: each.minute)
    for number, each in enumerate(ordered):
        while inside and inside[0].minute <= each.minute - length:
            old = inside.popleft()
            total.remove(old.amount)
            hosts[old.host] -= 1
            if not hosts[old.host]:
                del hosts[old.host]
        inside.append(each)
        total.add(each.amount)
        hosts[each.host] += 1
        if number + 1 < len(ordered) and ordered[number + 1].minute == each.minute:
            continue
        if total.value < threshold or len(hosts) < min_hosts:
            continue
        if best is None:
            best = Peak(each.minute - length + 1, total.value, len(hosts), each.minute, each.minute)
        elif total.value > best.total:
            best = Peak(
                each.minute - length + 1,
                total.value,
                len(hosts),
                best.first_over,
                each.minute,
            )
        else:
            best = best._replace(last_over=each.minute)
    return best
