"""``c7n-secops membership``: the table of accounts, regions and statuses."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml
from rich.table import Table
from rich.text import Text

from c7n_secops_tools.exit_codes import BAD_INPUT, FAIL_ON
from c7n_secops_tools.membership.facts import NOT_EVALUATED, SERVICES, Line, Memberships, counts
from c7n_secops_tools.options import FILE, fail_on, format_of, output_dirs
from c7n_secops_tools.report.terminal import console, plain
from c7n_secops_tools.report.text import clean
from c7n_secops_tools.report.tree import UnreadableError, find

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


@click.command()
@output_dirs
@click.option(
    "--accounts",
    "accounts_file",
    type=FILE,
    help="The accounts.yml of c7n-org: its accounts and regions are in the table in any case.",
)
@format_of("table", "csv", "json")
@fail_on(
    "not-enabled",
    "not-evaluated",
    help="Exit with 3 if anything is not enabled (not evaluated included), or not evaluated.",
)
@click.pass_context
def membership(
    context: click.Context,
    output_dirs: tuple[Path, ...],
    accounts_file: Path | None,
    form: str,
    fail_on: tuple[str, ...],
) -> None:
    """Show which accounts are watched over, in which regions.

    OUTPUT_DIR is what c7n-org run wrote with -s, when it ran policies/guardduty/members.yml and
    policies/inspector/members.yml. An account and region that no run looked at is shown as not
    evaluated.

    Exit codes: 0 all well; 1 bad input, such as a file that cannot be read (the table then has all
    the rest); 3 what --fail-on names was found.
    """
    found = Memberships()
    if accounts_file is not None:
        _expect(found, accounts_file)
    problems: list[UnreadableError] = []
    for run in find(output_dirs):
        found.take(run, run.resources(), run.not_evaluated())
        problems += run.problems.values()
    if not found.services:
        raise click.ClickException(
            f"no run under {', '.join(map(str, output_dirs))} asks for memberships; run "
            "policies/guardduty/members.yml or policies/inspector/members.yml"
        )
    lines = found.lines()
    SHOW[form](lines, found.services)
    for problem in problems:
        click.echo(f"unreadable: {clean(str(problem))}", err=True)
    numbers = counts(lines)
    bad = {
        "not-enabled": numbers["not enabled"] + numbers[NOT_EVALUATED],
        "not-evaluated": numbers[NOT_EVALUATED],
    }
    if problems:
        context.exit(BAD_INPUT)
    if any(bad[name] for name in fail_on):
        context.exit(FAIL_ON)


def rows(lines: Sequence[Line], services: Sequence[str]) -> list[dict[str, str]]:
    """The table as plain data: a column for each service, and why where all is not well."""
    return [
        {
            "account_id": line.account,
            "account_name": line.name,
            "region": line.region,
            **{service: line.cells[service].status for service in services},
            "detail": "; ".join(
                f"{SERVICES[service]}: {line.cells[service].detail}"
                for service in services
                if line.cells[service].detail and not line.cells[service].is_well
            ),
        }
        for line in lines
    ]


def _expect(found: Memberships, path: Path) -> None:
    """Put the accounts and regions of an accounts.yml into the table."""
    try:
        read: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        for account in read["accounts"]:
            name = str(account["account_id"])
            found.names[name] = str(account.get("name", ""))
            found.expected.update((name, str(region)) for region in account["regions"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"{path}: cannot be read: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(
            f"{path}: is no accounts.yml whose accounts have account_id and regions: {error}"
        ) from error


def _as_table(lines: Sequence[Line], services: Sequence[str]) -> None:
    table = Table(title="Memberships", title_justify="left", title_style="bold")
    for name in ("Account", "Name", "Region", *(SERVICES[service] for service in services), "Why"):
        table.add_column(name, overflow="fold")
    for line, row in zip(lines, rows(lines, services), strict=True):
        statuses = [Text(clean(cell.status), _style(cell)) for cell in line.cells.values()]
        place = (row["account_id"], row["account_name"], row["region"])
        table.add_row(*map(plain, place), *statuses, plain(row["detail"]))
    console().print(table)
    numbers = counts(lines)
    console().print(
        f"{numbers['enabled']} enabled, {numbers['not enabled']} not enabled, "
        f"{numbers[NOT_EVALUATED]} not evaluated."
    )


def _style(cell: Any) -> str:
    if cell.is_well:
        return "green"
    return "yellow" if cell.status == NOT_EVALUATED else "bold red"


def _as_csv(lines: Sequence[Line], services: Sequence[str]) -> None:
    columns = ("account_id", "account_name", "region", *services, "detail")
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows(lines, services):
        writer.writerow({key: _inert(value) for key, value in row.items()})


def _inert(value: str) -> str:
    """The text, which no spreadsheet takes for a formula."""
    shown = clean(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _as_json(lines: Sequence[Line], services: Sequence[str]) -> None:
    numbers = counts(lines)
    totals = {
        "enabled": numbers["enabled"],
        "not_enabled": numbers["not enabled"],
        "not_evaluated": numbers[NOT_EVALUATED],
    }
    click.echo(json.dumps({"totals": totals, "memberships": rows(lines, services)}, indent=2))


SHOW = {"table": _as_table, "csv": _as_csv, "json": _as_json}
