"""The fewest calls for N things, when a call takes L of them and answers P at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

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
    """A key that a search can be narrowed by: ``values`` of it, at most ``limit`` a call."""

    key: str
    values: Sequence[str]
    limit: int

    @property
    def calls(self) -> int:
        """The least that the search costs when it is narrowed by this key."""
        return calls_for(len(self.values), self.limit)


def search(
    ask: Callable[[dict[str, list[str]]], Iterator[list[T]]], axes: Sequence[Axis]
) -> Iterator[list[T]]:
    """Yield the pages of a search, whole or narrowed by an axis, whichever costs fewer calls.

    ``ask`` takes the values to narrow by ({} for the whole search) and yields pages. How many
    pages the whole search has is known only at its end, so it is read first, for as long as it has
    cost no more than the cheapest axis; where it goes on, the search starts again, narrowed. It
    costs the least when the whole search is the better way or one narrowed call does, and never
    more than the least twice over and one call. After a new start the same items come again.
    """
    axis = min(axes, key=lambda candidate: candidate.calls)
    if axis.calls > 1:
        for number, page in enumerate(ask({}), start=1):
            yield page
            if number > axis.calls:
                break
        else:
            return
    for values in batches(axis.values, axis.limit):
        yield from ask({axis.key: values})
