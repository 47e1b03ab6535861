"""The report as tables in a terminal, and as JSON for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.report.evidence import RANKED
from c7n_secops_tools.report.text import NOT_SAID, clean
from c7n_secops_tools.report.totals import Line, Report, label

PIPED_WIDTH = 160
"""Columns of the tables where the output is no terminal, so that CI logs do not fold them."""
STATE_STYLE = {"ran": "green", "dry run": "cyan", "deployed": "cyan", "failed": "bold red"}
ACCOUNT_ID = 12
"""Columns that an account's id takes."""
SUMS = ("matched", "changed", "skipped", "failed", "not_evaluated")
WORST = {"failed": "bold red", "not_evaluated": "yellow"}


def console() -> Console:
    """A console as wide as the terminal; wide where there is none and COLUMNS does not say."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if told else PIPED_WIDTH)


def show(report: Report, console: Console) -> None:
    """Print the runs, why some failed, what was not evaluated, and the sums."""
    console.print(_runs(report))
    if report.failures:
        console.print(
            _table(
                "Policies that failed",
                ("Policy", "Account", "Region", "Error"),
                [(*_place(line), line.run.error) for line in report.failures],
            )
        )
    reasons = [
        (*_place(line), element, code, reason, str(count))
        for line in report.lines
        for (element, code, reason), count in line.reasons.most_common()
    ]
    if reasons:
        console.print(
            _table(
                "Not evaluated: neither matched nor clean",
                ("Policy", "Account", "Region", "Element", "Code", "Reason", "Resources"),
                reasons,
            )
        )
    console.print(_sentence(report))


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain data: ``totals``, ``severities``, ``runs``, ``unreadable``."""
    return {
        "totals": {
            "runs": len(report.lines),
            "failed_runs": len(report.failures),
            "resources": report.matched,
            **{column: report.total(column) for column in SUMS},
        },
        "severities": {name: report.severities[name] for name in RANKED},
        "runs": [_run(line) for line in report.lines],
        "unreadable": [str(problem) for problem in report.problems],
    }


def _run(line: Line) -> dict[str, Any]:
    run = line.run
    return {
        "policy": run.policy,
        "account": run.account,
        "account_name": run.account_name,
        "region": run.region,
        "folder": str(run.folder),
        "state": run.state,
        "error": run.error,
        "started": run.started.isoformat() if run.started else None,
        "duration": run.duration,
        **{column: getattr(line, column) for column in SUMS},
        "reasons": [
            {"element": element, "code": code, "reason": reason, "resources": count}
            for (element, code, reason), count in line.reasons.most_common()
        ],
        "earlier_files": sorted(run.stale),
    }


def _runs(report: Report) -> Table:
    table = Table(title="Policies", title_justify="left", title_style="bold", expand=False)
    table.add_column("Policy", overflow="fold")
    table.add_column("Account", overflow="fold", min_width=ACCOUNT_ID)
    table.add_column("Region", no_wrap=True)
    table.add_column("State")
    for name in SUMS:
        table.add_column(name.replace("_", " ").capitalize(), justify="right")
    for line in report.lines:
        state = line.run.state
        sums = [_number(column, getattr(line, column)) for column in SUMS]
        table.add_row(*map(plain, _place(line)), Text(state, STATE_STYLE[state]), *sums)
    return table


def _number(column: str, value: int | None) -> Text:
    if value is None:
        return Text(NOT_SAID, "dim")
    return Text(str(value), WORST.get(column, "bold") if value else "dim")


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        right = column == "Resources"
        table.add_column(column, overflow="fold", justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def _place(line: Line) -> tuple[str, str, str]:
    return line.run.policy, label(line.run), line.run.region or NOT_SAID


def _sentence(report: Report) -> str:
    found = ", ".join(
        f"{report.severities[name]} {name.lower()}" for name in RANKED if report.severities[name]
    )
    sums = ", ".join(f"{report.total(column)} {column.replace('_', ' ')}" for column in SUMS[1:])
    return escape(
        f"{len(report.lines)} runs, {len(report.failures)} failed. "
        f"{report.matched} resources matched: {sums}. Findings: {found or 'none'}."
    )


def plain(value: str) -> Text:
    """Text from outside: no markup and no control character reaches the terminal."""
    return Text(clean(value))
