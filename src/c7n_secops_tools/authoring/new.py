"""``c7n-secops new``: the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from c7n_secops_tools.authoring.writing import NotWrittenError, new_element, new_policy

Command = Callable[..., Any]


def about(command: Command) -> Command:
    """What each of the commands needs to know: ``name``, ``resource``, ``folder``."""
    options = (
        click.argument("name"),
        click.option(
            "--resource", required=True, metavar="NAME", help="For this kind, such as aws.ec2."
        ),
        click.option(
            "--folder",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where the policy goes.  [default: policies/FIELD; without a field policies]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


field = click.option(
    "--field", required=True, help="The field of work: src/c7n_secops_FIELD holds what it shares."
)


@click.group()
def new() -> None:
    """Write a filter, an action or a policy to start from, with a case that passes.

    Nothing is overwritten. Exit codes: 0 written; 1 bad input, nothing was written.
    """


@new.command("filter")
@about
@field
def new_filter(name: str, resource: str, folder: Path | None, field: str) -> None:
    """Write a filter, a policy that uses it, its case, its test and its rows in the README.

    In a checkout of c7n-secops.
    """
    write(lambda: new_element("filter", name, resource, folder, field))
    click.echo("Then: make venv, which links the new file; make test")


@new.command("action")
@about
@field
def new_action(name: str, resource: str, folder: Path | None, field: str) -> None:
    """Write an action, a policy that uses it, its case, its test and its rows in the README.

    In a checkout of c7n-secops.
    """
    write(lambda: new_element("action", name, resource, folder, field))
    click.echo("Then: make venv, which links the new file; make test")


@new.command("policy")
@about
def new_policy_command(name: str, resource: str, folder: Path | None) -> None:
    """Write a policy and its case, in any folder."""
    files = write(lambda: new_policy(name, resource, folder))
    click.echo(f"Then: c7n-secops test {files[0]}")


def write(work: Callable[[], list[Path]]) -> list[Path]:
    """Do it, and say which files there are now."""
    try:
        files = work()
    except (NotWrittenError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for file in files:
        click.echo(f"wrote {file}")
    return files
