"""``c7n-secops replay-logs``: the command line of the replay."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from c7n_secops_tools.exit_codes import BAD_INPUT
from c7n_secops_tools.options import FILE, format_of, html_file
from c7n_secops_tools.report.terminal import console
from c7n_secops_tools.report.text import clean

if TYPE_CHECKING:
    from c7n_secops_edge.logs.files import LogFile
    from c7n_secops_tools.replay_logs.answer import Answer

WINDOWS = (60, 120, 300, 600)
LEAST, MOST = 10, 2_000_000_000


def rate_rule(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    """The rate that ``2000/300`` says."""
    from c7n_secops_tools.replay_logs.rate import RateRule

    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,10})/(\d{1,3})", value, re.ASCII)
    if not found or int(found[2]) not in WINDOWS or not LEAST <= int(found[1]) <= MOST:
        windows = ", ".join(map(str, WINDOWS))
        raise click.BadParameter(
            f"{value!r} is no rate such as 2000/300; AWS WAF counts from {LEAST} requests on, in "
            f"{windows} seconds"
        )
    return RateRule(int(found[1]), int(found[2]))


@click.command("replay-logs")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("policy_file", metavar="POLICY.yml", type=FILE)
@click.option("-p", "--policy", "name", help="Which policy of the file, where it has several.")
@click.option(
    "--rate-limit",
    "rate",
    callback=rate_rule,
    metavar="N/SECONDS",
    help="Also say what a rate-based rule of N requests in so many seconds would block.",
)
@click.option(
    "--delay",
    type=click.IntRange(0, 24 * 60),
    default=0,
    metavar="MINUTES",
    help="From a request until the policy reads its log: delivery and schedule.  [default: 0]",
)
@click.option("--allow", type=FILE, help="Networks that nobody blocks, one a line.")
@html_file("Also write the answer as one HTML file, with a chart.")
@format_of("table", "json", "csv")
@click.pass_context
def replay_logs(
    context: click.Context,
    folder: Path,
    policy_file: Path,
    name: str | None,
    rate: Any,
    delay: int,
    allow: Path | None,
    html: Path | None,
    form: str,
) -> None:
    """Say whom a policy would have blocked, by access logs in a folder.

    FOLDER holds logs of CloudFront, an Application Load Balancer or AWS WAF, as AWS wrote them,
    and nothing else; POLICY.yml a policy with the filter http-flood and, where it blocks, the
    action waf-ip-block. No account is needed, and AWS is not called.

    Exit codes: 0 all well; 1 bad input, such as a log file that cannot be read whole (the answer
    then has all the rest).
    """
    from c7n_secops_edge.protected import UnknownError
    from c7n_secops_tools.replay_logs import page
    from c7n_secops_tools.replay_logs.answer import as_json
    from c7n_secops_tools.replay_logs.policy import PolicyError
    from c7n_secops_tools.replay_logs.terminal import show, write_csv

    try:
        answer = _replay(folder, policy_file, name, rate, delay, _lines(allow))
    except (PolicyError, UnknownError) as error:
        raise click.ClickException(clean(str(error))) from error
    if form == "json":
        click.echo(json.dumps(as_json(answer), indent=2))
    elif form == "csv":
        write_csv(answer, sys.stdout)
    else:
        show(answer, console())
    if html is not None:
        try:
            page.write(answer, html)
        except OSError as error:
            raise click.ClickException(f"cannot write {html}: {error}") from error
    for problem in answer.problems:
        click.echo(f"unreadable: {clean(problem)}", err=True)
    if answer.problems:
        context.exit(BAD_INPUT)


def _replay(
    folder: Path, policy_file: Path, name: str | None, rate: Any, delay: int, allowed: list[str]
) -> Answer:
    from c7n_secops_edge.flood import analyse
    from c7n_secops_edge.flood_options import Options
    from c7n_secops_edge.logs.files import local_files
    from c7n_secops_tools.replay_logs import rate as rates
    from c7n_secops_tools.replay_logs.answer import Answer
    from c7n_secops_tools.replay_logs.blocks import judge
    from c7n_secops_tools.replay_logs.policy import choose

    chosen = choose(policy_file, name)
    files = local_files(folder)
    if not files:
        raise click.ClickException(f"{folder} holds no file; give the folder with the logs")
    times = 3 if rate else 1
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    ) as bar:
        task = bar.add_task("Reading logs", total=times * sum(file.size for file in files))

        def done(file: LogFile) -> None:
            bar.advance(task, file.size)

        analysis = analyse(files, Options.of(chosen.flood), progress=done)
        if not analysis.minutes:
            raise click.ClickException(
                f"no line of the {len(files)} files in {folder} is a request that counts; give a "
                "folder with logs of CloudFront, an Application Load Balancer or AWS WAF"
            )
        replayed = rates.replay(files, rate, done) if rate else None
    blocks = judge(chosen, analysis.offenders, allowed, delay)
    return Answer(str(folder), chosen, analysis, blocks, replayed)


def _lines(path: Path | None) -> list[str]:
    """The networks in a file, without comments."""
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error
    return [text for line in lines if (text := line.partition("#")[0].strip())]
