"""``c7n-secops org``: the command line of sweeps."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from c7n_org.cli import LogFilter, comma_expand, initialize_provider_output

from c7n_secops_tools.exit_codes import FAILED, INTERRUPTED
from c7n_secops_tools.fleet import accounts as accounts_file
from c7n_secops_tools.fleet import local, organisation, policies, show
from c7n_secops_tools.fleet.ledger import Ledger
from c7n_secops_tools.fleet.sweep import Executor, Sweep
from c7n_secops_tools.fleet.unit import Options, warm
from c7n_secops_tools.report.terminal import console

WORKERS_PER_CPU = 4
FILE = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SEVERITIES = ("critical", "high", "medium", "low")
LOG_FORMAT = "%(asctime)s: %(name)s:%(levelname)s %(message)s"


@click.group()
def org() -> None:
    """Run policies over all accounts of an organisation."""


@org.command()
@click.option("-c", "--config", required=True, type=FILE, help="Accounts file.")
@click.option(
    "-u",
    "--use",
    required=True,
    multiple=True,
    type=FILE,
    help="Policy file; may be given several times.",
)
@click.option("-s", "--output-dir", required=True, help="Folder or s3:// address of the output.")
@click.option("-a", "--accounts", multiple=True, help="Only these accounts, by name or id.")
@click.option("--not-accounts", multiple=True, help="Not these accounts, by name or id.")
@click.option("-t", "--tags", multiple=True, help="Only accounts with all these tags.")
@click.option("-r", "--region", multiple=True, help="Instead of the accounts' own regions.")
@click.option("-p", "--policy", multiple=True, help="Only these policies.")
@click.option("-l", "--policytags", multiple=True, help="Only policies with all these tags.")
@click.option("--resource", help="Only policies for this kind of resource, as they write it.")
@click.option("--cache-period", default=15, show_default=True, help="Minutes that reads are kept.")
@click.option("--cache-path", type=FOLDER, help="Their folder.")
@click.option("--metrics", is_flag=True, help="Send metrics to CloudWatch.")
@click.option("--metrics-uri", help="Send metrics there.")
@click.option("--dryrun", is_flag=True, help="Find, but do not act.")
@click.option("--debug", is_flag=True, help="In this process; the first exception ends the sweep.")
@click.option("-v", "--verbose", is_flag=True, help="Log as c7n-org does, instead of a bar.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 1000),
    envvar="C7N_ORG_PARALLEL",
    help=f"How many processes; {WORKERS_PER_CPU} a CPU unless set.",
)
@click.option("--scheduler", help="Run on this Dask cluster, for example tcp://scheduler:8786.")
@click.option("--resume", is_flag=True, help="Run only what earlier sweeps into -s did not finish.")
@click.option(
    "--ledger",
    type=FOLDER,
    help="Folder of the ledger and sweep.json; -s unless set, needed where that is no folder.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit with 3 if something of this severity, or a graver one, matched.",
)
@click.pass_context
def run(
    context: click.Context,
    config: Path,
    use: tuple[Path, ...],
    output_dir: str,
    accounts: tuple[str, ...],
    not_accounts: tuple[str, ...],
    tags: tuple[str, ...],
    region: tuple[str, ...],
    policy: tuple[str, ...],
    policytags: tuple[str, ...],
    resource: str | None,
    cache_period: int,
    cache_path: Path | None,
    metrics: bool,
    metrics_uri: str | None,
    dryrun: bool,
    debug: bool,
    verbose: bool,
    parallel: int | None,
    scheduler: str | None,
    resume: bool,
    ledger: Path | None,
    fail_on: str | None,
) -> None:
    """Run policies in every account and region, as c7n-org run does, and account for each.

    Accounts file, policies and variables are checked before any account is touched. What became of
    each policy in each account and region is in sweep.json.

    Exit codes: 0 all well; 1 bad input, and nothing was run; 2 something failed, was lost or could
    not be reached (the table lists it, and --resume runs it); 3 something of the severity of
    --fail-on matched; 130 interrupted.
    """
    _log(verbose or debug)
    try:
        chosen = accounts_file.select(accounts_file.read(config), accounts, tags, not_accounts)
        _known("account", comma_expand(accounts), chosen, "name", "account_id")
        data = policies.select(
            policies.read(use), comma_expand(policy), comma_expand(policytags), resource
        )
        _known("policy", comma_expand(policy), data, "name")
        if not (chosen and data):
            raise click.ClickException(
                f"{len(chosen)} accounts and {len(data)} policies are selected: nothing to run"
            )
        policies.check(data, chosen)
    except (accounts_file.AccountsError, policies.PoliciesError) as error:
        raise click.ClickException(str(error)) from error
    folder = ledger or _folder(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if "://" in output_dir:
        output_dir = initialize_provider_output({"policies": data}, output_dir, region)
    cache = cache_path or Path("~/.cache/c7n-org").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    options = Options(
        output_dir, cache_period, str(cache.resolve()), metrics_uri or metrics, dryrun, debug
    )
    executor = _executor(scheduler, debug, parallel, folder.resolve(), partial(warm, data))
    entries = Ledger.begin(folder.resolve(), resume)
    terminal = console()
    progress: show.BarProgress | show.LineProgress = (
        show.BarProgress(terminal)
        if terminal.is_terminal and not (verbose or debug)
        else show.LineProgress(terminal)
    )
    sweep = Sweep(chosen, data, region, options, entries, executor, progress, resume)
    interrupted = False
    try:
        with progress:
            sweep.run()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        written = sweep.write(folder)
    show.summary(sweep, terminal)
    click.echo(f"Every unit is in {written}")
    context.exit(INTERRUPTED if interrupted else sweep.exit_code(fail_on))


def _log(verbose: bool) -> None:
    """Log as c7n-org does, or only what its policies' own logs do not have."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=LOG_FORMAT)
    for name, level in {
        "botocore": logging.ERROR,
        "s3transfer": logging.WARNING,
        "custodian.s3": logging.ERROR,
        "urllib3": logging.WARNING,
    }.items():
        logging.getLogger(name).setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogFilter())
        if not verbose:
            handler.setLevel(logging.CRITICAL)


def _known(kind: str, names: list[str], chosen: list[policies.Data], *keys: str) -> None:
    """Refuse a name that selects nothing: it is misspelt."""
    known = {item.get(key) for item in chosen for key in keys}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.ClickException(f"no {kind} is selected by {', '.join(unknown)}")


def _folder(output_dir: str) -> Path:
    """The local folder of an output, which may be a file:// address."""
    path = output_dir.removeprefix("file://")
    if "://" in path or "{" in path:
        raise click.ClickException(
            f"the output {output_dir} is no folder: say with --ledger where the ledger and "
            "sweep.json are to be"
        )
    return Path(path)


def _executor(
    scheduler: str | None,
    debug: bool,
    parallel: int | None,
    folder: Path,
    prepare: Callable[[], None],
) -> Callable[[], Executor]:
    if debug:
        return local.Inline
    if scheduler is None:
        size = parallel or WORKERS_PER_CPU * (os.cpu_count() or 1)
        return lambda: local.Pool(size, prepare)
    try:
        from c7n_secops_tools.fleet.cluster import Cluster, ClusterError
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("c7n_secops"):
            raise
        raise click.ClickException(
            f"--scheduler needs {missing.name}: pip install 'c7n-secops[fleet]'"
        ) from missing
    try:
        Cluster(scheduler, folder).client.close()
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    return lambda: Cluster(scheduler, folder)


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
