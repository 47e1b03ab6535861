"""The answer as tables in a terminal, and as CSV."""

from __future__ import annotations

import csv
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.replay_logs.answer import Answer, times, written
from c7n_secops_tools.replay_logs.blocks import Verdict
from c7n_secops_tools.replay_logs.rate import LAGS, RateReplay
from c7n_secops_tools.report.terminal import plain
from c7n_secops_tools.report.text import NOT_SAID

COLUMNS = (
    "kind", "address", "rule", "count", "requests", "blocked_from", "blocked_until",
    "blocked_until_at_the_latest", "blocked_requests", "reason",
)  # fmt: skip


def show(answer: Answer, console: Console) -> None:
    """Print who would be blocked, what a rate-based rule would do, and what to bear in mind."""
    console.print(_offenders(answer))
    if answer.rate:
        console.print(_limited(answer.rate))
    said = [_logs(answer), *([_rate(answer.rate)] if answer.rate else []), *answer.notes]
    for sentence in said:
        console.print(escape(sentence))


def write_csv(answer: Answer, stream: TextIO) -> None:
    """Write a row for each offender and, for each address over the rate limit, another."""
    writer = csv.DictWriter(stream, COLUMNS, restval="")
    writer.writeheader()
    for verdict in answer.blocks.verdicts:
        keys = ("address", "rule", "count", "requests")
        offender = {key: verdict.offender[key] for key in keys}
        kind = {"kind": "offender", "reason": verdict.reason}
        writer.writerow({**kind, **offender, **times(verdict)})
    if answer.rate is None:
        return
    limit = f"{answer.rate.rule.limit}/{answer.rate.rule.window}"
    for row in answer.rate.over:
        writer.writerow(
            {
                "kind": "rate-limit",
                "address": row.address,
                "rule": limit,
                "count": row.most,
                "requests": row.requests,
                "blocked_from": written(row.first, "seconds"),
                "blocked_requests": "/".join(map(str, row.blocked)),
            }
        )


def _offenders(answer: Answer) -> Table:
    title = f"Offenders by policy {answer.chosen.name}"
    table = Table(title=plain(title), title_justify="left", title_style="bold")
    for name in ("Address", "Rule"):
        table.add_column(name, overflow="fold")
    for name in ("Count", "Requests"):
        table.add_column(name, justify="right")
    for name in ("Blocked from (UTC)", "Until", "At the latest"):
        table.add_column(name, no_wrap=True)
    table.add_column("Spared because", overflow="fold")
    for verdict in answer.blocks.verdicts:
        table.add_row(*_row(verdict))
    return table


def _row(verdict: Verdict) -> list[Text]:
    offender = verdict.offender
    moments = [moment or NOT_SAID for moment in times(verdict).values()]
    numbers = [f"{offender[key]:,}" for key in ("count", "requests")]
    row = [offender["address"], offender["rule"], *numbers, *moments, verdict.reason]
    return [plain(str(value)) for value in row]


def _limited(rate: RateReplay) -> Table:
    title = f"A rule of {rate.rule.limit:,} requests in {rate.rule.window} s"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("Address", overflow="fold")
    for name in ("Requests", "Most in a window"):
        table.add_column(name, justify="right")
    table.add_column("Over the limit from (UTC)", no_wrap=True)
    for lag in LAGS:
        table.add_column(f"Blocked, {lag} s late", justify="right")
    for row in rate.rows:
        style = "bold red" if row.first else "dim"
        table.add_row(
            Text(row.address),
            f"{row.requests:,}",
            Text(f"{row.most:,}", style),
            written(row.first, "seconds") or NOT_SAID,
            *(f"{number:,}" for number in row.blocked),
        )
    return table


def _logs(answer: Answer) -> str:
    logs = answer.analysis.logs
    return (
        f"{logs['lines']:,} lines in {logs['files']:,} files, {logs['badLines']:,} of them not "
        f"understood, {logs['unattributed']:,} without a client; {logs['from'] or NOT_SAID} to "
        f"{logs['to'] or NOT_SAID}. {len(answer.blocks.verdicts):,} offenders, "
        f"{len(answer.blocked):,} blocked."
    )


def _rate(rate: RateReplay) -> str:
    total = max(rate.requests, 1)
    share = ", ".join(
        f"{number:,} ({100 * number / total:.1f} %) noticed {lag} s late"
        for lag, number in zip(LAGS, rate.blocked, strict=True)
    )
    return (
        f"{len(rate.over):,} of {rate.addresses:,} addresses go over the rate limit; of "
        f"{rate.requests:,} requests it would block {share}."
    )
