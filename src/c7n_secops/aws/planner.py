"""The fewest calls for N things, when a call takes L of them and answers P at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

T = TypeVar("T")


def batches(things: Sequence[T], limit: int) -> Iterator[list[T]]:
    """Cut into as few runs of at most ``limit`` as there can be, in order."""
    rest = iter(things)
    while batch := list(islice(rest, limit)):
        yield batch


def calls_for(number: int, limit: int) -> int:
    """How many calls ``number`` things take at ``limit`` a call; a question costs one at least."""
    return max(1, -(-number // limit))


class Axis(NamedTuple):
    """A key that a search can be narrowed by: ``values`` of it, at most ``limit`` a call."""

    key: str
    values: Sequence[str]
    limit: int

    @property
    def calls(self) -> int:
        return calls_for(len(self.values), self.limit)


def cheapest_axis(axes: Sequence[Axis], unnarrowed: int) -> Axis | None:
    """The axis that costs the fewest calls, or None where the whole search costs fewer.

    ``unnarrowed`` is the number of pages of the whole search. An axis costs at least one call a
    chunk, and its chunks never answer more pages in all than the whole search plus one a chunk.
    """
    best = min(axes, key=lambda axis: axis.calls, default=None)
    return best if best is not None and best.calls < unnarrowed else None
