"""``c7n-secops validate``: the command line."""

from __future__ import annotations

from pathlib import Path

import click

from c7n_secops_tools import sarif
from c7n_secops_tools.authoring.checks import RULES, Problem, check
from c7n_secops_tools.coverage.controls import files_of
from c7n_secops_tools.exit_codes import BAD_INPUT
from c7n_secops_tools.options import sarif_file
from c7n_secops_tools.report.text import clean


@click.command()
@click.argument(
    "policies",
    metavar="[POLICIES]...",
    nargs=-1,
    type=click.Path(exists=True, path_type=Path),
)
@sarif_file("Also write the problems as SARIF, for code scanning.")
@click.pass_context
def validate(context: click.Context, policies: tuple[Path, ...], sarif_to: Path | None) -> None:
    """Check policies as custodian validate does, and say where each problem stands.

    POLICIES are files or folders, ./policies without any; cases in tests/ are left out.

    Exit codes: 0 all valid; 1 a problem was found, or bad input.
    """
    named = policies or (Path("policies"),)
    files = files_of(named)
    if not files:
        raise click.ClickException(
            f"no policy file under {', '.join(map(str, named))}; give files or their folder"
        )
    checked = check(files)
    for problem in checked.problems:
        click.echo(as_line(problem), err=True)
    if sarif_to is not None:
        sarif.write(sarif_to, as_sarif(checked.problems))
    if checked.problems:
        context.exit(BAD_INPUT)
    click.echo(f"{checked.policies} policies in {len(files)} files are valid")


def as_line(problem: Problem) -> str:
    """As compilers say it, so that an editor finds the place."""
    line, column = problem.place
    return clean(f"{problem.file}:{line}:{column}: {problem.message} [{problem.rule}]")


def as_sarif(problems: list[Problem]) -> sarif.Object:
    return sarif.log(
        "validate",
        rules=[sarif.Rule(name, summary, "error") for name, summary in RULES.items()],
        results=[
            sarif.result(problem.rule, "error", problem.message, sarif.location(*problem[:2]))
            for problem in problems
        ],
    )
