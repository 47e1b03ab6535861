"""``c7n-secops test``: the command line."""

from __future__ import annotations

from pathlib import Path

import click

from c7n_secops_tools.cases.checking import Found, PolicyCheck, check, find
from c7n_secops_tools.cases.reading import BadInput
from c7n_secops_tools.cases.results import annotation, findings, one_line, write_junit
from c7n_secops_tools.exit_codes import FAILED


@click.command()
@click.argument(
    "paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "-k",
    "only",
    default="",
    metavar="TEXT",
    help="Only the cases whose file, policy or name has this text in it.",
)
@click.option("--mutate", is_flag=True, help="Also break each policy in turn, and see red.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the results as JUnit XML.",
)
@click.option("--github", is_flag=True, help="Also print annotations for GitHub's workflows.")
@click.option("-v", "--verbose", is_flag=True, help="Print what went well too.")
@click.pass_context
def test(
    context: click.Context,
    paths: tuple[Path, ...],
    only: str,
    mutate: bool,
    junit: Path | None,
    github: bool,
    verbose: bool,
) -> None:
    """Run the cases of policies, without AWS.

    PATH is a folder, a policy file or a case file; ./policies without any. The cases of
    PACK/FILE.yml are in PACK/tests/FILE.yml; docs/policy-tests.md says what they hold.

    Exit codes: 0 all pass; 1 bad input, told with file and line; 2 a case failed, a mutant
    survived, or a policy has no case.
    """
    try:
        found = find(paths or (Path("policies"),), only)
        check(found, mutate, lambda each: show(each, verbose))
    except (BadInput, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not any(each.cases for each in found.policies):
        raise click.ClickException(
            "no case was found; give the folder of a pack that has tests/*.yml"
        )
    wrong = list(findings(found))
    for each in found.without_case:
        click.echo(f"{each.file}:{each.line}: {one_line(each.name)} has no case")
    if github:
        for finding in wrong:
            click.echo(annotation(finding))
    if junit is not None:
        try:
            write_junit(found, junit)
        except OSError as error:
            raise click.ClickException(f"cannot write {junit}: {error}") from error
    click.echo(summary(found, mutate))
    if wrong:
        context.exit(FAILED)


def show(each: PolicyCheck, verbose: bool) -> None:
    """Print a policy's results: what is wrong, or all."""
    for result in each.results:
        name = one_line(f"{each.name}: {result.case.name}")
        if result.wrong:
            click.echo(f"{result.case.where}: FAILED {name}")
            for line in result.wrong:
                click.echo(f"    - {one_line(line)}")
        elif verbose:
            click.echo(f"{result.case.where}: passed {name}")
    for mutant, case in each.killed if verbose else ():
        click.echo(f"    {one_line(str(mutant))}: red is {one_line(case.name)!r}")
    for mutant in each.survived:
        click.echo(f"{each.file}:{each.line}: SURVIVED {one_line(f'{each.name}: {mutant}')}")
    for mutant in each.excused if verbose else ():
        reason = each.allowed[mutant.place]
        click.echo(f"    {one_line(str(mutant))}: may survive: {one_line(reason)}")
    for place in each.needless:
        click.echo(
            f"{each.file}:{each.line}: {one_line(each.name)}: the exception for {one_line(place)} "
            "is not needed: no mutant there survives"
        )


def summary(found: Found, mutate: bool) -> str:
    """The sums, in a line."""
    results = [result for each in found.policies for result in each.results]
    failed = sum(bool(result.wrong) for result in results)
    parts = [
        f"{len(results)} cases of {len(found.policies)} policies",
        f"{len(results) - failed} passed",
        f"{failed} failed",
    ]
    if found.without_case:
        parts.append(f"{len(found.without_case)} policies without a case")
    if mutate:
        killed = sum(len(each.killed) for each in found.policies)
        excused = sum(len(each.excused) for each in found.policies)
        survived = sum(len(each.survived) for each in found.policies)
        parts.append(f"{killed} mutants noticed, {survived} survived, {excused} may survive")
    return ", ".join(parts)
