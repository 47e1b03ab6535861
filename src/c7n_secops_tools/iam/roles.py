"""The roles that a set of policies needs: one to run, one for each function role, one to deploy."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c7n.config import Config

from c7n_secops_tools.fleet import policies
from c7n_secops_tools.iam import needs
from c7n_secops_tools.iam.documents import VERSION, Document, documents
from c7n_secops_tools.iam.grants import ACCOUNT, OWN, Grant, UnknownActionError, closed, grant
from c7n_secops_tools.iam.needs import Need

RUN, FUNCTIONS, DEPLOY = PARTS = ("run", "functions", "deploy")
REGION = "us-east-1"
"""Where the policies are read as if they ran; what names the region is granted in all of them."""
ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}")
ATTACHED = 10
"""Managed policies that a role may have, unless AWS raised the quota."""


class RolesError(Exception):
    """Policies of which no roles can be made; the message has every problem, a line each."""


@dataclass(frozen=True)
class Trust:
    """Who may assume the roles that run and deploy."""

    principals: tuple[str, ...] = ()
    external_id: str | None = None


@dataclass(frozen=True)
class Role:
    """A role: the part that it plays, who may assume it, and what it may do."""

    part: str
    name: str
    trust: Document
    grants: tuple[Grant, ...]

    @property
    def documents(self) -> list[Document]:
        """Its permissions, as documents that each fit into a managed policy."""
        return documents(self.grants)


def loaded(data: Sequence[policies.Data], variables: Mapping[str, Any]) -> list[Any]:
    """The policies, checked and with their variables; one without a value stays as it is.

    Raises PoliciesError where a policy is not valid.
    """
    anywhere = [renamed(each) for each in data]
    unknown = {name: f"{{{name}}}" for each in anywhere for name in policies.variables(each)}
    account = {"account_id": ACCOUNT, "name": "any", "vars": {**unknown, **variables}}
    policies.check(anywhere, [account])
    options = Config.empty(account_id=ACCOUNT, region=REGION, cache=None)
    return [policies.expanded(copy.deepcopy(each), options, account) for each in anywhere]


def renamed(value: Any) -> Any:
    """A policy whose ``{region}`` is a variable without a value: it may run in any."""
    if isinstance(value, Mapping):
        return {key: renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item) for item in value]
    return value.replace("{region}", "{any_region}") if isinstance(value, str) else value


def roles(
    of: Iterable[Any], trust: Trust, names: Mapping[str, str], parts: Sequence[str] = PARTS
) -> list[Role]:
    """The roles of loaded policies, sorted by part and name; ``names`` those of run and deploy.

    Raises RolesError.
    """
    wanted: dict[tuple[str, str], list[Need]] = {}
    problems: list[str] = []
    for policy in of:
        for role, found in shares(policy, names, problems):
            wanted.setdefault(role, []).extend(found)
    made = [
        Role(part, name, document_of(part, trust), granted(name, found, problems))
        for (part, name), found in sorted(
            wanted.items(), key=lambda row: (PARTS.index(row[0][0]), row[0][1])
        )
        if part in parts
    ]
    problems += [
        f"role {role.name}: needs {len(role.documents)} managed policies, and AWS attaches "
        f"{ATTACHED}; make the roles of fewer policies at a time"
        for role in made
        if len(role.documents) > ATTACHED
    ]
    if problems:
        raise RolesError("\n".join(problems))
    return made


def granted(name: str, wanted: Iterable[Need], problems: list[str]) -> tuple[Grant, ...]:
    """What a role of this name is granted; what IAM does not know is a problem."""
    try:
        return tuple(grant(need) for need in wanted)
    except UnknownActionError as error:
        problems.append(f"role {name}: {error}")
        return ()


Shares = list[tuple[tuple[str, str], list[Need]]]


def shares(policy: Any, names: Mapping[str, str], problems: list[str]) -> Shares:
    """What a policy adds to which role: (part, name of the role), and the needs."""
    if not needs.is_function(policy):
        return [((RUN, names[RUN]), list(needs.runtime(policy)))]
    mode = needs.mode_of(policy)
    own, member = role_name(mode.get("role", "")), role_name(mode.get("member-role", "/any"))
    if own is None or member is None:
        problems.append(
            f"policy {policy.data['name']}: its function has no role of a known name; set "
            "mode.role, and the value of a variable in it with --vars-file"
        )
        return []
    runs_as = (RUN, member) if "member-role" in mode else (FUNCTIONS, own)
    return [
        ((FUNCTIONS, own), list(needs.function(policy))),
        (runs_as, list(needs.runtime(policy))),
        ((DEPLOY, names[DEPLOY]), list(needs.deployment(policy))),
    ]


def role_name(arn: str) -> str | None:
    """The name in a role's ARN; None where it has none that is known."""
    name = closed(arn).rpartition("/")[2]
    return name if ROLE_NAME.fullmatch(name) else None


def document_of(part: str, trust: Trust) -> Document:
    """Who may assume a role of this part; raises RolesError where nobody is named."""
    if part == FUNCTIONS:
        statement: dict[str, Any] = {
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:SourceAccount": OWN}},
        }
    else:
        if not trust.principals:
            raise RolesError(f"nobody may assume the role to {part}; give --principal")
        statement = {"Principal": {"AWS": sorted(trust.principals)}}
        if trust.external_id:
            statement["Condition"] = {"StringEquals": {"sts:ExternalId": trust.external_id}}
    whole = {"Effect": "Allow", "Action": "sts:AssumeRole", **statement}
    return {"Version": VERSION, "Statement": [whole]}
