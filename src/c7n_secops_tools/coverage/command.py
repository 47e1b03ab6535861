"""``c7n-secops coverage``: the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from c7n_secops_tools.coverage.controls import Catalogue, Control, Coverage, UnreadableError, read
from c7n_secops_tools.options import format_of
from c7n_secops_tools.report.terminal import console

INCOMPLETE = 1
STATES = ("covered", "partial", "manual", "missing")


@click.command()
@click.argument(
    "policies",
    metavar="[POLICIES]...",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--benchmark", help="Only this one, such as cis-aws-5.0.0.")
@format_of("table", "json", "markdown")
@click.pass_context
def coverage(
    context: click.Context, policies: tuple[Path, ...], benchmark: str | None, form: str
) -> None:
    """Say which controls of a benchmark the policies check.

    POLICIES are files or folders, ./policies without any. Policies cite controls in
    metadata.controls; a file with vars.benchmarks declares them.

    Exit codes: 0 all accounted for; 1 a control is missing, a citation names no control, or bad
    input.
    """
    try:
        found = read(policies or (Path("policies"),))
    except UnreadableError as error:
        raise click.ClickException(str(error)) from error
    if not found.benchmarks:
        raise click.ClickException("no file with vars.benchmarks; give the pack's folder")
    if benchmark is not None and benchmark not in found.benchmarks:
        known = ", ".join(sorted(found.benchmarks))
        raise click.ClickException(f"no benchmark {benchmark}; there are: {known}")
    names = [benchmark] if benchmark else sorted(found.benchmarks)
    results = [found.coverage(name) for name in names]
    {"table": show, "json": show_json, "markdown": show_markdown}[form](results, found)
    if found.unknown or any(result.missing for result in results):
        context.exit(INCOMPLETE)


def summary(result: Coverage) -> str:
    counts = ", ".join(f"{len(result.of(state))} {state}" for state in STATES[:3])
    return (
        f"{result.id}: {result.accounted}/{result.expected} accounted for "
        f"({counts}, {result.missing} missing)"
    )


def checked_by(control: Control) -> str:
    return "; ".join(part for part in (", ".join(control.policies), control.reason) if part)


def rows(result: Coverage) -> list[tuple[str, str, str, str, str]]:
    return [(c.id, str(c.level), c.state, c.title, checked_by(c)) for c in result.controls]


HEAD = ("control", "level", "state", "what it asks", "checked by")


def show(results: list[Coverage], found: Catalogue) -> None:
    output = console()
    for result in results:
        table = Table(*HEAD, title=result.name)
        for row in rows(result):
            table.add_row(*row)
        output.print(table)
    for line in conclusion(results, found):
        click.echo(line)


def show_markdown(results: list[Coverage], found: Catalogue) -> None:
    for result in results:
        click.echo(f"## {result.name}\n")
        click.echo(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
        for row in rows(result):
            click.echo(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |")
        click.echo()
    for line in conclusion(results, found):
        click.echo(f"- {line}")


def conclusion(results: list[Coverage], found: Catalogue) -> list[str]:
    unknown = [
        f"{name}: no such control, cited by {', '.join(who)}" for name, who in found.unknown.items()
    ]
    return [*map(summary, results), *unknown]


def show_json(results: list[Coverage], found: Catalogue) -> None:
    answer: dict[str, Any] = {
        "benchmarks": [
            {
                "id": result.id,
                "name": result.name,
                "expected": result.expected,
                "accounted": result.accounted,
                "missing": result.missing,
                "controls": [
                    {
                        "id": control.id,
                        "level": control.level,
                        "state": control.state,
                        "title": control.title,
                        "policies": list(control.policies),
                        "reason": control.reason,
                    }
                    for control in result.controls
                ],
            }
            for result in results
        ],
        "unknown": found.unknown,
    }
    click.echo(json.dumps(answer, indent=2))
