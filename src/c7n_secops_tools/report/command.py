"""``c7n-secops report``: the command line of the report."""

from __future__ import annotations

import json
from pathlib import Path

import click

from c7n_secops_tools import sarif
from c7n_secops_tools.exit_codes import BAD_INPUT, FAIL_ON, FAILED
from c7n_secops_tools.options import fail_on, format_of, html_file, output_dirs, sarif_file
from c7n_secops_tools.report import page, scanning, terminal
from c7n_secops_tools.report.text import clean
from c7n_secops_tools.report.totals import Report


@click.command()
@output_dirs
@html_file("Also write the report as one HTML file that needs nothing else.")
@sarif_file("Also write what matched and what was not evaluated as SARIF, for code scanning.")
@click.option(
    "--policies",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Where the policies are: --sarif puts each result at its policy's line. Code scanning "
    "needs it; a file or folder, may be given several times.",
)
@fail_on(
    "not-evaluated",
    "matched",
    "failed",
    help="Exit with 3 if any resource has this outcome; may be given several times.",
)
@format_of("table", "json")
@click.pass_context
def report(
    context: click.Context,
    output_dirs: tuple[Path, ...],
    html: Path | None,
    sarif_to: Path | None,
    policies: tuple[Path, ...],
    fail_on: tuple[str, ...],
    form: str,
) -> None:
    """Report what Custodian found, changed and could not evaluate.

    OUTPUT_DIR is what custodian run or c7n-org run wrote with -s, or its copy from S3.

    Exit codes: 0 all well; 1 bad input, such as a file that cannot be read (the report then has
    all the rest); 2 a policy failed; 3 an outcome of --fail-on was found.
    """
    found = Report(output_dirs)
    if not found.lines:
        raise click.ClickException(
            f"no policy output under {', '.join(map(str, output_dirs))}; "
            "give the folder that custodian run or c7n-org run got with -s"
        )
    if form == "json":
        click.echo(json.dumps(terminal.as_json(found), indent=2))
    else:
        terminal.show(found, terminal.console())
    if html is not None:
        try:
            page.write(found, html)
        except OSError as error:
            raise click.ClickException(f"cannot write {html}: {error}") from error
    if sarif_to is not None:
        sarif.write(sarif_to, scanning.as_sarif(found, scanning.written_in(policies)))
    for problem in found.problems:
        click.echo(f"unreadable: {clean(str(problem))}", err=True)
    counts = {name: found.total(name.replace("-", "_")) for name in fail_on}
    if found.problems:
        context.exit(BAD_INPUT)
    if found.failures:
        context.exit(FAILED)
    if any(counts.values()):
        context.exit(FAIL_ON)
