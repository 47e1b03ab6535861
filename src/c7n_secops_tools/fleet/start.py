"""Starts a sweep from a command line: its options, its log, its executor, and how it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from c7n_org.cli import LogFilter, initialize_provider_output

from c7n_secops_tools.exit_codes import INTERRUPTED
from c7n_secops_tools.fleet import local, show
from c7n_secops_tools.fleet.ledger import Ledger
from c7n_secops_tools.fleet.selection import Selection
from c7n_secops_tools.fleet.sweep import Executor, Sweep
from c7n_secops_tools.fleet.unit import Options, warm
from c7n_secops_tools.options import Function
from c7n_secops_tools.report.terminal import console

WORKERS_PER_CPU = 4
FOLDER = click.Path(file_okay=False, path_type=Path)
LOG_FORMAT = "%(asctime)s: %(name)s:%(levelname)s %(message)s"

OUTPUT = click.option(
    "-s", "--output-dir", required=True, help="Folder or s3:// address of the output."
)
METRICS = (
    click.option("--metrics", is_flag=True, help="Send metrics to CloudWatch."),
    click.option("--metrics-uri", help="Send metrics there."),
)
PARALLEL = (
    click.option(
        "--debug", is_flag=True, help="In this process; the first exception ends the sweep."
    ),
    click.option("-v", "--verbose", is_flag=True, help="Log as c7n-org does, instead of a bar."),
    click.option(
        "--parallel",
        type=click.IntRange(1, 1000),
        envvar="C7N_ORG_PARALLEL",
        help=f"How many processes; {WORKERS_PER_CPU} a CPU unless set.",
    ),
)
LEDGER = (
    click.option("--scheduler", help="Run on this Dask cluster, for example tcp://scheduler:8786."),
    click.option(
        "--resume", is_flag=True, help="Run only what earlier sweeps into -s did not finish."
    ),
    click.option(
        "--ledger",
        type=FOLDER,
        help="Folder of the ledger and sweep.json; -s unless set, needed where that is no folder.",
    ),
)


def sweeps(command: Function) -> Function:
    """The options of a command that starts a sweep."""
    for option in reversed((OUTPUT, *METRICS, *PARALLEL, *LEDGER)):
        command = option(command)
    return command


def sweep(
    context: click.Context,
    chosen: Selection,
    output_dir: str,
    *,
    metrics: bool,
    metrics_uri: str | None,
    debug: bool,
    verbose: bool,
    parallel: int | None,
    scheduler: str | None,
    resume: bool,
    ledger: Path | None,
    cache_period: int = 0,
    cache_path: Path | None = None,
    dryrun: bool = False,
    fail_on: str | None = None,
) -> None:
    """Run the policies, write ``sweep.json``, print what came of it, and exit."""
    log(verbose or debug)
    folder = ledger or _folder(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    cache = cache_path or Path("~/.cache/c7n-org").expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    options = Options(
        provided(chosen, output_dir),
        cache_period,
        str(cache.resolve()),
        metrics_uri or metrics,
        dryrun,
        debug,
    )
    executor = _cluster(scheduler, folder.resolve()) if scheduler and not debug else None
    entries = Ledger.begin(folder.resolve(), resume)
    terminal = console()
    progress: show.BarProgress | show.LineProgress = (
        show.BarProgress(terminal)
        if terminal.is_terminal and not (verbose or debug)
        else show.LineProgress(terminal)
    )
    started = Sweep(
        chosen.accounts,
        chosen.policies,
        chosen.regions,
        options,
        entries,
        executor or here(chosen, debug, parallel),
        progress,
        resume,
    )
    interrupted = False
    try:
        with progress:
            started.run()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        written = started.write(folder)
    show.summary(started, terminal)
    click.echo(f"Every unit is in {written}")
    context.exit(INTERRUPTED if interrupted else started.exit_code(fail_on))


def provided(chosen: Selection, output_dir: str) -> str:
    """The output's address, as c7n-org completes those that are no folders."""
    if "://" not in output_dir:
        return output_dir
    completed: str = initialize_provider_output(
        {"policies": chosen.policies}, output_dir, chosen.regions
    )
    return completed


def log(verbose: bool) -> None:
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


def _folder(output_dir: str) -> Path:
    """The local folder of an output, which may be a file:// address."""
    path = output_dir.removeprefix("file://")
    if "://" in path or "{" in path:
        raise click.ClickException(
            f"the output {output_dir} is no folder: say with --ledger where the ledger and "
            "sweep.json are to be"
        )
    return Path(path)


def here(chosen: Selection, debug: bool, parallel: int | None) -> Callable[[], Executor]:
    """Processes of this machine; this one with ``debug``."""
    if debug:
        return local.Inline
    size = parallel or WORKERS_PER_CPU * (os.cpu_count() or 1)
    return lambda: local.Pool(size, partial(warm, chosen.policies))


def _cluster(scheduler: str, folder: Path) -> Callable[[], Executor]:
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
