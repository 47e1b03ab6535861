"""What a benchmark prints: a table for people, and one JSON line for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One benchmark: ``ours`` beside the ``peer``'s figure and the ``least`` there can be.

    ``ratio`` is what the goal is about: ours to the least, or ours to the peer where nothing less
    than the peer can be had. ``met`` is whether ``ratio`` is at most ``goal``.
    """

    name: str
    ours: float
    peer: float
    least: float | None
    ratio: float
    goal: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.goal

    def line(self) -> str:
        """The last line that a benchmark prints."""
        return json.dumps({**asdict(self), "met": self.met})


def report(
    result: Result, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]
) -> Result:
    """Print the table, whether the goal is met, and the JSON line."""
    console = Console(width=110)
    table = Table(title=f"{result.name}: {title}", title_justify="left")
    for number, column in enumerate(head):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)
    verdict = "goal met" if result.met else "GOAL MISSED"
    console.print(f"{verdict}: {result.ratio:.3f} x, goal at most {result.goal} x", highlight=False)
    print(result.line(), flush=True)
    return result
