"""Which accounts, regions and policies a command is for: the options that c7n-org has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from c7n_org.cli import comma_expand

from c7n_secops_tools.fleet import accounts as accounts_file
from c7n_secops_tools.fleet import policies
from c7n_secops_tools.fleet.accounts import Account
from c7n_secops_tools.fleet.policies import Data
from c7n_secops_tools.options import Decorator, Function

FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class Selection:
    """Accounts and policies, checked; without ``regions`` each account's own."""

    accounts: Sequence[Account]
    policies: Sequence[Data]
    regions: tuple[str, ...]


PLACES = (
    click.option("-c", "--config", required=True, type=FILE, help="Accounts file."),
    click.option("-a", "--accounts", multiple=True, help="Only these accounts, by name or id."),
    click.option("--not-accounts", multiple=True, help="Not these accounts, by name or id."),
    click.option("-t", "--tags", multiple=True, help="Only accounts with all these tags."),
    click.option("-r", "--region", multiple=True, help="Instead of the accounts' own regions."),
    click.option(
        "-u",
        "--use",
        required=True,
        multiple=True,
        type=FILE,
        help="Policy file; may be given several times.",
    ),
)
POLICIES = (
    click.option("-p", "--policy", multiple=True, help="Only these policies."),
    click.option("-l", "--policytags", multiple=True, help="Only policies with all these tags."),
    click.option("--resource", help="Only policies for this kind of resource, as they write it."),
)


def selects(*, only: Callable[[Data], bool] | None = None, some_policies: bool = True) -> Decorator:
    """Give a command the options, and what they choose as ``chosen``.

    ``only`` leaves policies out. Without ``some_policies`` all policies of the files are taken.
    """

    def decorate(command: Function) -> Function:
        @functools.wraps(command)
        def run(**given: Any) -> Any:
            names = ("config", "accounts", "not_accounts", "tags", "region", "use")
            where = {name: given.pop(name) for name in names}
            which = {name: given.pop(name, None) for name in ("policy", "policytags", "resource")}
            return command(chosen=choose(only, **where, **which), **given)

        for option in reversed((*PLACES, *(POLICIES if some_policies else ()))):
            run = option(run)
        return run

    return decorate


def choose(
    only: Callable[[Data], bool] | None,
    config: Path,
    accounts: tuple[str, ...],
    not_accounts: tuple[str, ...],
    tags: tuple[str, ...],
    region: tuple[str, ...],
    use: tuple[Path, ...],
    policy: tuple[str, ...] | None,
    policytags: tuple[str, ...] | None,
    resource: str | None,
) -> Selection:
    """Read and check the files; what is wrong there is bad input."""
    names, labels = comma_expand(policy or ()), comma_expand(policytags or ())
    try:
        chosen = accounts_file.select(accounts_file.read(config), accounts, tags, not_accounts)
        _known("account", comma_expand(accounts), chosen, "name", "account_id")
        data = policies.select(policies.read(use), names, labels, resource)
        _known("policy", names, data, "name")
        if only:
            data = [each for each in data if only(each)]
        if not (chosen and data):
            raise click.ClickException(
                f"{len(chosen)} accounts and {len(data)} policies are selected: nothing to run"
            )
        policies.check(data, chosen)
    except (accounts_file.AccountsError, policies.PoliciesError) as error:
        raise click.ClickException(str(error)) from error
    return Selection(chosen, data, region)


def _known(kind: str, names: list[str], chosen: list[dict[str, Any]], *keys: str) -> None:
    """Refuse a name that selects nothing: it is misspelt."""
    known = {item.get(key) for item in chosen for key in keys}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.ClickException(f"no {kind} is selected by {', '.join(unknown)}")
