"""How far a sweep is, and what came of it, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.fleet.outcome import Outcome, Why
from c7n_secops_tools.fleet.sweep import Sweep
from c7n_secops_tools.report.terminal import plain
from c7n_secops_tools.report.text import NOT_SAID


class BarProgress:
    """A bar with the time that is left, on a terminal.

    It is drawn when something ended or time went by, by this thread: a thread of its own would
    be copied into the workers.
    """

    def __init__(self, console: Console):
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[unwell]} not well"),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self.unwell = 0
        self.task = self.bar.add_task("sweep", total=None, unwell=0)

    def __enter__(self) -> BarProgress:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def total(self, number: int) -> None:
        """There are so many units."""
        self.bar.update(self.task, total=number)

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        """These units have their outcome."""
        self.unwell += sum(not found.well for found in outcomes)
        self.bar.update(self.task, advance=len(outcomes), unwell=self.unwell)

    def tick(self) -> None:
        """Time went by."""
        self.bar.refresh()


class LineProgress:
    """A line for each account and region that ended, where there is no terminal."""

    def __init__(self, console: Console):
        self.console = console
        self.done = self.number = 0

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def total(self, number: int) -> None:
        """There are so many units."""
        self.number = number

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        """These units have their outcome."""
        self.done += len(outcomes)
        if not outcomes:
            return
        places = dict.fromkeys(f"{found.account} {found.region}" for found in outcomes)
        states = Counter(found.state for found in outcomes)
        said = ", ".join(f"{count} {state}" for state, count in states.items())
        self.console.print(plain(f"{self.done}/{self.number} {', '.join(places)}: {said}"))

    def tick(self) -> None:
        """Time went by; there is nothing to draw."""


def summary(sweep: Sweep, console: Console) -> None:
    """Print the sums of each policy, and every unit that is not well."""
    console.print(_by_policy(sweep.outcomes))
    unwell = sweep.unwell
    if unwell:
        console.print(_table("Not well: run again with --resume", UNWELL, map(_row, unwell)))
    kept = f" ({sweep.kept} kept from before)" if sweep.kept else ""
    console.print(plain(f"{len(sweep.outcomes)} units{kept}, {len(unwell)} not well."))


SUMS = ("Policy", "Units", "Finished", "Matched", "Acted", "Failed", "Not evaluated")
UNWELL = ("Account", "Region", "Policy", "State", "Why")


def _by_policy(outcomes: Sequence[Outcome]) -> Table:
    rows = []
    for policy in dict.fromkeys(found.policy for found in outcomes):
        mine = [found for found in outcomes if found.policy == policy]
        rows.append(
            (
                policy,
                str(len(mine)),
                str(sum(found.finished for found in mine)),
                _sum(found.matched for found in mine),
                _sum(found.acted for found in mine),
                _sum(found.failed for found in mine),
                _not_evaluated(mine),
            )
        )
    return _table("Sweep", SUMS, rows)


def _sum(numbers: Iterable[int | None]) -> str:
    """The sum of what is known; a dash where nothing is."""
    known = [number for number in numbers if number is not None]
    return str(sum(known)) if known else NOT_SAID


def _not_evaluated(outcomes: Iterable[Outcome]) -> str:
    counted: Counter[str] = Counter()
    for found in outcomes:
        for why in found.not_evaluated:
            whole = why.resources is None
            counted[f"{'units' if whole else 'resources'}: {why.why}"] += why.resources or 1
    return ", ".join(f"{count} {why}" for why, count in counted.most_common()) or "0"


def _row(found: Outcome) -> tuple[str, ...]:
    whys = [_said(why) for why in found.not_evaluated]
    if found.failed:
        whys.append(f"actions failed on {found.failed} resources")
    return found.account, found.region, found.policy, found.state, "; ".join(whys)


def _said(why: Why) -> str:
    some = "" if why.resources is None else f" ({why.resources} resources)"
    return f"{why.why}{some}: {why.reason}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for column in columns:
        number = column in SUMS[1:-1]
        table.add_column(column, overflow="fold", justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(plain, row))
    return table
