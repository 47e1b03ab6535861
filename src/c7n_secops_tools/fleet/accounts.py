"""The accounts file: read, checked against its schema, and selected from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from c7n_org.cli import accounts_iterator, filter_accounts
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

Account: TypeAlias = dict[str, Any]

SCHEMA = "accounts.schema.json"
OTHER_CLOUDS = ("subscriptions", "projects", "tenancies")
SHOWN = 200
"""How much of what the schema says about a value is shown; the value may be long."""


class AccountsError(Exception):
    """An accounts file that cannot be used; the message has every problem, a line each."""


def schema() -> dict[str, Any]:
    """The JSON schema of an accounts file."""
    text = resources.files(__package__).joinpath(SCHEMA).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def read(path: Path) -> list[Account]:
    """The accounts of a file, as c7n-org normalises them. Raises AccountsError."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AccountsError(f"{path}: cannot be read: {error}") from error
    found = list(problems(data))
    if found:
        raise AccountsError("\n".join(f"{path}: {problem}" for problem in found))
    return list(accounts_iterator(data))


def problems(data: Any) -> Iterator[str]:
    """What is wrong in an accounts file: the account, the key, and what is expected there."""
    others = [name for name in OTHER_CLOUDS if isinstance(data, dict) and name in data]
    if others:
        yield f"{others[0]}: only AWS accounts are swept; use c7n-org run for {others[0]}"
        return
    for error in Draft202012Validator(schema()).iter_errors(data):
        yield f"{_place(data, error)}: {_said(error)}"
    accounts = data.get("accounts") if isinstance(data, dict) else None
    names = Counter(
        account["name"]
        for account in (accounts if isinstance(accounts, list) else ())
        if isinstance(account, dict) and isinstance(account.get("name"), str)
    )
    for name, count in names.items():
        if count > 1:
            yield f"account {name}: {count} accounts have this name and would share one folder"


def select(
    accounts: Sequence[Account],
    names: Iterable[str] = (),
    tags: Iterable[str] = (),
    not_names: Iterable[str] = (),
) -> list[Account]:
    """The accounts that c7n-org's options -a, -t and --not-accounts choose."""
    config: dict[str, Any] = {"accounts": list(accounts)}
    filter_accounts(config, tuple(tags), tuple(names), tuple(not_names))
    chosen: list[Account] = config["accounts"]
    return chosen


def _place(data: Any, error: ValidationError) -> str:
    path = list(error.absolute_path)
    if len(path) < 2 or path[0] != "accounts":
        return ".".join(map(str, path)) or "the file"
    account = data["accounts"][path[1]]
    name = account.get("name") if isinstance(account, dict) else None
    label = f"account {name}" if isinstance(name, str) else f"account number {int(path[1]) + 1}"
    return " ".join([label, ".".join(map(str, path[2:]))]).strip()


def _said(error: ValidationError) -> str:
    if error.validator == "anyOf":
        return "needs a role to assume or a profile"
    deepest = best_match(error.context or ()) or error
    hint = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    return f"{deepest.message[:SHOWN]}" + (f" ({hint})" if hint else "")
