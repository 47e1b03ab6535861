"""``c7n-secops org units``, ``org gather`` and ``org diff``: sweeps apart, together, compared."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.exit_codes import FAIL_ON, FAILED
from c7n_secops_tools.fleet import results
from c7n_secops_tools.fleet.selection import Selection, selects
from c7n_secops_tools.fleet.sweep import regions_of
from c7n_secops_tools.options import FILE, format_of
from c7n_secops_tools.report.terminal import console, plain
from c7n_secops_tools.report.text import NOT_SAID

COLUMNS = ("Account", "Region", "Policy", "Before", "Now", "Change")


@click.command()
@selects()
def units(chosen: Selection) -> None:
    """Print each account and region as JSON, for a state machine that sweeps them one by one.

    Accounts, policies and variables are checked as org run does.

    Exit codes: 0 well; 1 bad input.
    """
    rows = [
        {"account": account["name"], "region": region}
        for account in chosen.accounts
        for region in regions_of(account, chosen.regions)
    ]
    click.echo(json.dumps(rows, indent=1))


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, help="File or s3:// address to write.")
@click.pass_context
def gather(context: click.Context, /, folder: Path, output: str) -> None:
    """Write one sweep.json for all that are below a folder.

    Exit codes: 0 every unit finished; 1 bad input; 2 a unit did not, or the output is refused.
    """
    try:
        found = results.gathered(folder)
    except results.ResultsError as error:
        raise click.ClickException(str(error)) from error
    outcomes = found["units"]
    text = json.dumps({**found, "units": [one.as_json() for one in outcomes]}, indent=1)
    try:
        _write(output, text)
    except (OSError, BotoCoreError, ClientError) as error:
        click.echo(f"{output} cannot be written: {error}", err=True)
        context.exit(FAILED)
    unwell = sum(not one.well for one in outcomes)
    click.echo(f"{len(outcomes)} units, {unwell} not well, in {output}")
    context.exit(FAILED if unwell else 0)


def _write(output: str, text: str) -> None:
    address = urlsplit(output)
    if address.scheme == "s3":
        body = text.encode()
        s3 = boto3.client("s3")
        s3.put_object(Bucket=address.netloc, Key=address.path.lstrip("/"), Body=body)
    else:
        Path(output).write_text(text, encoding="utf-8")


@click.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option("--fail-on-more", is_flag=True, help="Exit with 3 if a policy matches more or anew.")
@format_of("table", "json")
@click.pass_context
def diff(context: click.Context, /, old: Path, new: Path, fail_on_more: bool, form: str) -> None:
    """Say where policies match more or fewer resources than in an earlier sweep.

    OLD and NEW are sweep.json of two sweeps, dry or not. A count that is not known is no zero: it
    is said to be not known any more.

    Exit codes: 0 well; 1 bad input; 3 with --fail-on-more, a policy matches more than before.
    """
    try:
        before, now = results.read(old), results.read(new)
    except results.ResultsError as error:
        raise click.ClickException(str(error)) from error
    found = results.changes(before["units"], now["units"])
    if form == "json":
        rows = [change.as_json() for change in found]
        click.echo(json.dumps({"kinds": results.totals(found), "changes": rows}, indent=1))
    else:
        _show(found)
    more = any(
        change.kind == results.MORE or (change.kind == results.NEW and change.now)
        for change in found
    )
    context.exit(FAIL_ON if fail_on_more and more else 0)


def _show(found: list[results.Change]) -> None:
    terminal = console()
    table = Table(title=Text("Matched resources"), title_justify="left", title_style="bold")
    for column in COLUMNS:
        right = column in ("Before", "Now")
        table.add_column(column, overflow="fold", justify="right" if right else "left")
    for change in found:
        numbers = (NOT_SAID if each is None else str(each) for each in (change.before, change.now))
        table.add_row(*map(plain, (*change.unit, *numbers, change.kind)))
    if found:
        terminal.print(table)
    said = ", ".join(f"{count} {kind}" for kind, count in results.totals(found).items())
    terminal.print(plain(f"Changes: {said}." if said else "No changes."))
