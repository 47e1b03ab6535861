"""``c7n-secops org``: the command line of sweeps."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import click
from c7n_org.cli import comma_expand

from c7n_secops_tools.exit_codes import FAILED
from c7n_secops_tools.fleet import accounts as accounts_file
from c7n_secops_tools.fleet import organisation
from c7n_secops_tools.fleet.functions.command import functions
from c7n_secops_tools.fleet.results_command import diff, gather, units
from c7n_secops_tools.fleet.selection import Selection, selects
from c7n_secops_tools.fleet.start import FOLDER, sweep, sweeps

SEVERITIES = ("critical", "high", "medium", "low")


@click.group()
@click.pass_context
def org(context: click.Context) -> None:
    """Run policies over all accounts of an organisation."""
    gc.disable()  # what this process loads stays; those that it starts collect
    context.call_on_close(gc.enable)


for command in (functions, units, gather, diff):
    org.add_command(command)


@org.command()
@selects()
@sweeps
@click.option("--cache-period", default=15, show_default=True, help="Minutes that reads are kept.")
@click.option("--cache-path", type=FOLDER, help="Their folder.")
@click.option("--dryrun", is_flag=True, help="Find, but do not act.")
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit with 3 if something of this severity, or a graver one, matched.",
)
@click.pass_context
def run(context: click.Context, /, chosen: Selection, **how: Any) -> None:
    """Run policies in every account and region, as c7n-org run does, and account for each.

    Accounts file, policies and variables are checked before any account is touched. What became of
    each policy in each account and region is in sweep.json.

    Exit codes: 0 all well; 1 bad input, and nothing was run; 2 something failed, was lost or could
    not be reached (the table lists it, and --resume runs it); 3 something of the severity of
    --fail-on matched; 130 interrupted.
    """
    sweep(context, chosen, **how)


@org.command(name="accounts")
@click.option(
    "--role",
    default=organisation.ROLE,
    show_default=True,
    help="Role of the accounts: a name, or an ARN with {Id} for the account's id.",
)
@click.option("--ou", multiple=True, default=["/"], help="Only accounts below this unit: /a/b.")
@click.option("-r", "--regions", multiple=True, help="These regions, not those that are enabled.")
@click.option("-i", "--ignore", multiple=True, help="Leave out the account of this id.")
@click.option("--assume", help="Role to assume to read the organisation.")
@click.option("--profile", help="Profile to read the organisation with.")
@click.option(
    "-o",
    "-f",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="File to write instead of printing.",
)
@click.pass_context
def accounts_command(
    context: click.Context,
    role: str,
    ou: tuple[str, ...],
    regions: tuple[str, ...],
    ignore: tuple[str, ...],
    assume: str | None,
    profile: str | None,
    output: Path | None,
) -> None:
    """Write an accounts file of the active accounts of an organisation.

    It needs credentials of the management account, or of a delegated administrator of AWS
    Organizations. Suspended accounts are left out.

    Exit codes: 0 well; 1 bad input; 2 AWS refused.
    """
    try:
        reader = organisation.Organisation(
            organisation.session(assume, profile), lambda line: click.echo(line, err=True)
        )
        text = organisation.as_yaml(reader.accounts(role, ou, comma_expand(regions), ignore))
    except accounts_file.AccountsError as error:
        raise click.ClickException(str(error)) from error
    except organisation.REFUSALS as error:
        click.echo(f"the organisation cannot be read: {error}", err=True)
        context.exit(FAILED)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
