"""The functions of a fleet as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.fleet.functions.drift import WELL, Row
from c7n_secops_tools.report.terminal import plain

COLUMNS = ("Account", "Region", "Function", "State", "What")


def as_json(rows: Sequence[Row]) -> str:
    """The rows, and how many there are of each state."""
    states = Counter(row.state for row in rows)
    data: dict[str, Any] = {
        "states": dict(sorted(states.items())),
        "functions": [row.as_json() for row in rows],
    }
    return json.dumps(data, indent=1)


def table(rows: Sequence[Row], console: Console) -> None:
    """Print the rows."""
    shown = Table(title=Text("Functions"), title_justify="left", title_style="bold")
    for column in COLUMNS:
        shown.add_column(column, overflow="fold")
    for row in rows:
        said = "\n".join(filter(None, (row.why, *map(str, row.differences))))
        state = Text(row.state, "green" if row.state in WELL else "bold red")
        lead = map(plain, (row.account, row.region, row.name))
        shown.add_row(*lead, state, plain_lines(said))
    console.print(shown)
    states = Counter(row.state for row in rows)
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    console.print(plain(f"{len(rows)} functions and rules: {said}." if rows else "Nothing found."))


def plain_lines(said: str) -> Text:
    """Lines from outside, each without markup or control characters."""
    return Text("\n").join(map(plain, said.splitlines()))
