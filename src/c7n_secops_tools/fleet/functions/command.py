"""``c7n-secops org functions``: the Lambda functions of a fleet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import click

from c7n_secops_tools.exit_codes import FAILED
from c7n_secops_tools.fleet.functions import drift, show
from c7n_secops_tools.fleet.functions.clean import Cleaner
from c7n_secops_tools.fleet.functions.drift import Row
from c7n_secops_tools.fleet.local import Died
from c7n_secops_tools.fleet.policies import Data
from c7n_secops_tools.fleet.selection import Selection, selects
from c7n_secops_tools.fleet.start import METRICS, PARALLEL, here, log, provided, sweep, sweeps
from c7n_secops_tools.fleet.sweep import Executor, regions_of, resolved
from c7n_secops_tools.fleet.unit import Options, Place
from c7n_secops_tools.options import Function, format_of
from c7n_secops_tools.report.terminal import console


def on_events(policy: Data) -> bool:
    """Whether a policy runs in a Lambda function."""
    return bool((policy.get("mode") or {}).get("type", "pull") != "pull")


@click.group()
def functions() -> None:
    """Deploy, compare and clean up the Lambda functions of policies with an event mode."""


@functions.command()
@selects(only=on_events)
@sweeps
@click.pass_context
def deploy(context: click.Context, /, chosen: Selection, **how: Any) -> None:
    """Deploy the function of each policy with an event mode in every account and region.

    As org run does with these policies, which are left out if they have no event mode. Tags say
    which versions of c7n and c7n-secops are in a function, and the hash of what is in its archive.

    Exit codes: as those of org run.
    """
    sweep(context, chosen, **how)


def compares(command: Function) -> Function:
    """The options of a command that looks at what is deployed."""
    output = click.option(
        "-s",
        "--output-dir",
        default="output",
        show_default=True,
        help="What deploy was given: an s3:// address is in the functions.",
    )
    for option in reversed((output, *METRICS, *PARALLEL, format_of("table", "json"))):
        command = option(command)
    return command


@functions.command(name="drift")
@selects(only=on_events)
@compares
@click.pass_context
def drift_command(context: click.Context, /, chosen: Selection, form: str, **how: Any) -> None:
    """Compare what is deployed with what the policy files would build now.

    Code, configuration, tags and concurrency of each function, the rule, schedule or Config rule
    that invokes it, its targets, its custom action in Security Hub, the rules of other buses, and
    who else may invoke it. Nothing is changed.

    Exit codes: 0 nothing differs; 1 bad input; 2 a function differs, is missing, or could not be
    compared.
    """
    rows = each_place(chosen, drift.check, **how)
    _show(rows, form)
    context.exit(0 if all(row.well for row in rows) else FAILED)


@functions.command()
@selects(only=on_events, some_policies=False)
@compares
@click.option("--remove", is_flag=True, help="Remove them; without it they are only listed.")
@click.option("--stock", is_flag=True, help="Those too that stock Custodian has deployed.")
@click.pass_context
def clean(
    context: click.Context, /, chosen: Selection, form: str, remove: bool, stock: bool, **how: Any
) -> None:
    """List, or remove, functions that no policy of the files builds any more.

    Give it every policy file whose functions are to stay. A function is taken only if its name
    has the prefix of a policy or Custodian's own, and its tags say that org functions deploy or
    org run made it. Its rules go with it, on every bus, and the custom action of Security Hub that
    they serve; so do rules whose function is gone already, and rules on a bus that the policy has
    left. Log groups stay.

    Exit codes: 0 well; 1 bad input; 2 something could not be read or removed.
    """
    rows = each_place(chosen, Cleaner(remove, stock), **how)
    _show(rows, form)
    context.exit(0 if all(row.well for row in rows) else FAILED)


def each_place(
    chosen: Selection,
    look: Callable[[Place], list[Row]],
    *,
    output_dir: str,
    metrics: bool,
    metrics_uri: str | None,
    debug: bool,
    verbose: bool,
    parallel: int | None,
) -> list[Row]:
    """The rows of every account and region, sorted; where a worker died they say so."""
    log(verbose or debug)
    options = Options(
        provided(chosen, output_dir), 0, "", metrics_uri or metrics, dryrun=False, debug=debug
    )
    executor: Callable[[], Executor] = here(chosen, debug, parallel)
    places = [
        Place(account, region, tuple(chosen.policies), options)
        for account in chosen.accounts
        for region in regions_of(account, chosen.regions)
    ]
    places, refused = resolved(places, executor, _silent)
    rows = [found for place, why in refused for found in drift.unknown(place, why.reason)]
    without = [place for place, _ in refused]
    pending = deque(place for place in places if place not in without)
    for place, answer in executor().deliver(look, pending, _silent):
        rows += drift.unknown(place, answer.reason) if isinstance(answer, Died) else answer
    return sorted(rows, key=lambda row: (row.account, row.region, row.name))


def _silent() -> None:
    """There is no bar to draw."""


def _show(rows: list[Row], form: str) -> None:
    if form == "json":
        click.echo(show.as_json(rows))
    else:
        show.table(rows, console())
