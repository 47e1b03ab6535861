"""The policies of a sweep: read, selected, and checked before any account is touched."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from c7n.config import Config
from c7n.exceptions import PolicyExecutionError, PolicyValidationError
from c7n.loader import SchemaValidator
from c7n.policy import Policy
from c7n.resources import load_resources
from c7n.structure import StructureParser
from c7n.utils import load_file
from c7n_org.cli import filter_policies

from c7n_secops_response.evidence.names import FIELDS as CASE_FIELDS
from c7n_secops_tools.fleet.accounts import Account

Data: TypeAlias = dict[str, Any]

NAME = re.compile(r"[A-Za-z_][\w-]*")


class PoliciesError(Exception):
    """Policies that cannot be used; the message has every problem, a line each."""


def read(paths: Sequence[Path]) -> list[Data]:
    """The policies of the files, in order; their schema is not checked yet."""
    found: list[Data] = []
    for path in paths:
        try:
            data = load_file(str(path))
            StructureParser().validate(data)
        except (OSError, ValueError, yaml.YAMLError, PolicyValidationError) as error:
            raise PoliciesError(f"{path}: {error}") from error
        found += data.get("policies") or ()
    names = [policy["name"] for policy in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PoliciesError(f"policies of the same name: {', '.join(twice)}")
    return found


def select(
    policies: Sequence[Data],
    names: Iterable[str] = (),
    tags: Iterable[str] = (),
    resource: str | None = None,
) -> list[Data]:
    """The policies that c7n-org's options -p, -l and --resource choose."""
    config = {"policies": list(policies)}
    filter_policies(config, tuple(tags), tuple(names), resource)
    return config["policies"]


def check(policies: Sequence[Data], accounts: Sequence[Account]) -> None:
    """Raises PoliciesError where a policy is not valid, or a variable of it has no value.

    Schema first, each policy alone so that all problems are said; then the variables of every
    account; then what the elements themselves refuse, with the values of the first account.
    """
    found = _unsupported(policies) or _invalid(policies)
    found = found or list(undefined(policies, accounts)) or _refused(policies, accounts[0])
    if found:
        raise PoliciesError("\n".join(found))


def digest(policy: Data, dryrun: bool) -> str:
    """Tells one version of a policy from another, and its dry run from its run."""
    text = json.dumps([policy, dryrun], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def resource_types(policies: Sequence[Data]) -> tuple[str, ...]:
    """The kinds of resources that must be loaded for the policies, with their provider's name."""
    return tuple(sorted(StructureParser().get_resource_types({"policies": list(policies)})))


def undefined(policies: Sequence[Data], accounts: Sequence[Account]) -> Iterator[str]:
    """The ``{variables}`` without a value, an account and a policy at a time."""
    if not policies:
        return
    any_policy = Policy(copy.deepcopy(policies[0]), Config.empty(account_id="", region="us-east-1"))
    given = {*any_policy.get_variables(), *CASE_FIELDS}
    used = {policy["name"]: set(variables(policy)) - given for policy in policies}
    for account in accounts:
        for policy, names in used.items():
            lacking = sorted(names - set(account.get("vars") or {}))
            if lacking:
                yield (
                    f"account {account['name']}: policy {policy} uses "
                    f"{', '.join(f'{{{name}}}' for name in lacking)} without a value: set it under "
                    "vars of the account or of the file, or double the braces of a text that is "
                    "not a variable"
                )


def variables(value: Any) -> Iterator[str]:
    """The names in braces in the texts of a policy, as str.format would look them up."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from variables(item)
    elif isinstance(value, list):
        for item in value:
            yield from variables(item)
    elif isinstance(value, str):
        try:
            fields = list(string.Formatter().parse(value))
        except ValueError:  # braces of another language, such as JSON: Custodian leaves them
            return
        for _, field, spec, _ in fields:
            name = NAME.match(field or "")
            if name and not spec:
                yield name.group()


def _unsupported(policies: Sequence[Data]) -> list[str]:
    return [
        f"policy {policy['name']}: only AWS resources are swept, not {policy['resource']}"
        for policy in policies
        if "." in policy["resource"] and not policy["resource"].startswith("aws.")
    ]


def _invalid(policies: Sequence[Data]) -> list[str]:
    types = resource_types(policies)
    missing = set(load_resources(list(types)))
    found = [
        f"policy {policy['name']}: there is no resource {policy['resource']}"
        for policy in policies
        if missing & set(resource_types([policy]))
    ]
    if found:
        return found
    validator = SchemaValidator()
    for policy in policies:
        errors = validator.validate({"policies": [policy]}, types)
        if errors:
            found.append(f"policy {policy['name']}: {_text(errors[0])}")
    return found


def _text(error: Any) -> str:
    return " ".join(str(getattr(error, "message", error)).split())


def _refused(policies: Sequence[Data], account: Account) -> list[str]:
    options = Config.empty(account_id=account["account_id"], region="us-east-1", cache=None)
    said = ((data["name"], _refusal(data, options, account)) for data in policies)
    return [f"policy {name}: {why}" for name, why in said if why]


def _refusal(data: Data, options: Config, account: Account) -> str:
    try:
        expanded(copy.deepcopy(data), options, account)
    except (PolicyValidationError, PolicyExecutionError, ValueError) as error:
        return _text(error)
    return ""


def expanded(data: Data, options: Config, account: Account, session_factory: Any = None) -> Any:
    """A policy with the account's variables in it, validated as c7n-org does."""
    policy = Policy(data, options, session_factory=session_factory)
    policy.conditions.env_vars["account"] = account
    policy.expand_variables(policy.get_variables(dict(account.get("vars") or {})))
    policy.validate()
    return policy
