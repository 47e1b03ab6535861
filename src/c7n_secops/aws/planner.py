"""The fewest calls for N things, when a call takes L of them and answers P at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


def batches(things: Sequence[T], limit: int) -> Iterator[list[T]]:
    """Cut into as few runs of at most ``limit`` as there can be, in order."""
    rest = iter(things)
    while batch := list(islice(rest, limit)):
        yield batch


def calls_for(number: int, limit: int) -> int:
    """How many calls ``number`` things take at ``limit`` a call."""
    return -(-number // limit)


class Axis(NamedTuple):
    """A key that a search can be narrowed by: ``values`` of it, at most ``limit`` a call.

    ``of`` gives the values that an answered item has of this key.
    """

    key: str
    values: Sequence[str]
    limit: int
    of: Callable[[Any], Iterable[str]]

    @property
    def calls(self) -> int:
        """The least that the search costs when it is narrowed by this key."""
        return calls_for(len(self.values), self.limit)


def search(
    ask: Callable[[dict[str, list[str]]], Iterator[list[Any]]], axes: Sequence[Axis]
) -> Iterator[list[Any]]:
    """Yield the pages of a search, whole or narrowed by an axis, for few calls.

    ``ask`` takes the values to narrow by ({} for the whole search) and yields pages. How many
    pages the whole search has, and how many of them concern the values, is known only at its end.
    So it is read first, and goes on for as long as it has cost no more than the cheapest axis, or
    half of what it answers is of that axis. Then it starts again, narrowed, and the same items
    come again. Where the wanted items are most of all, or one narrowed call does, this costs the
    least there can be; it never costs more than the least three times over and one call.
    """
    axis = min(axes, key=lambda candidate: candidate.calls)
    if axis.calls > 1:
        wanted = frozenset(axis.values)
        answered = useful = 0
        for number, page in enumerate(ask({}), start=1):
            yield page
            answered += len(page)
            useful += sum(not wanted.isdisjoint(axis.of(item)) for item in page)
            if number > axis.calls and 2 * useful < answered:
                break
        else:
            return
    for values in batches(axis.values, axis.limit):
        yield from ask({axis.key: values})
