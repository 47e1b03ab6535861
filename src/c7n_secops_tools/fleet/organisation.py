"""An accounts file out of AWS Organizations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError
from c7n.credentials import assumed_session

from c7n_secops_tools.fleet.accounts import Account, AccountsError, problems

ACTIVE = "ACTIVE"
ENABLED = ("ENABLED", "ENABLED_BY_DEFAULT")
ALL = ["all"]
ROLE = "CloudCustodian"
FIRST_REGION = "us-east-1"
"""Where the two services that know accounts have their endpoint."""

REFUSALS = (ClientError, BotoCoreError)
"""What AWS, or the way to it, may refuse with."""


def session(role: str | None, profile: str | None) -> Any:
    """The session that may read the organisation."""
    own = boto3.Session(profile_name=profile, region_name=FIRST_REGION)
    return assumed_session(role, "c7n-secops", session=own, region=FIRST_REGION) if role else own


class Organisation:
    """Reads an organisation with a session of its management account, or of a delegate.

    ``warn`` is told, a line at a time, what could not be read.
    """

    def __init__(self, session: Any, warn: Callable[[str], None]):
        self.client = session.client("organizations")
        self.regional = session.client("account")
        self.own = session.client("sts").get_caller_identity()["Account"]
        self.warn = warn

    def accounts(
        self,
        role: str = ROLE,
        units: Sequence[str] = ("/",),
        regions: Sequence[str] = (),
        ignore: Sequence[str] = (),
    ) -> list[Account]:
        """The active accounts below the organisational units, as an accounts file has them.

        ``role`` is a name, or an ARN in which ``{Id}`` stands for the account's id; without
        ``regions`` each account has those that are enabled in it.
        """
        found: dict[str, Account] = {}
        for path in units:
            for account, place in self._below(self._unit(path), path):
                if account["Id"] in ignore or _state(account) != ACTIVE:
                    continue
                found[account["Id"]] = {
                    "account_id": account["Id"],
                    "name": account["Name"].replace("/", "-").replace("\\", "-").lstrip("."),
                    "display_name": account["Name"],
                    "email": account["Email"],
                    "org_id": account["Arn"].split("/")[1],
                    "role": _role(role, account),
                    "regions": list(regions) or self._regions(account["Id"]),
                    "tags": [*_path_tags(place), *self._tags(account["Id"])],
                }
        return _distinct(sorted(found.values(), key=lambda account: str(account["name"])))

    def _unit(self, path: str) -> str:
        parent = self.client.list_roots()["Roots"][0]["Id"]
        for name in filter(None, path.split("/")):
            children = self._pages(
                "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
            )
            child = next((each["Id"] for each in children if each["Name"] == name), None)
            if child is None:
                raise AccountsError(f"there is no organisational unit {name} in the path {path}")
            parent = child
        return str(parent)

    def _below(self, parent: str, path: str) -> Iterator[tuple[dict[str, Any], str]]:
        for account in self._pages("list_accounts_for_parent", "Accounts", ParentId=parent):
            yield account, path
        for child in self._pages(
            "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
        ):
            yield from self._below(child["Id"], f"{path.rstrip('/')}/{child['Name']}")

    def _tags(self, account: str) -> list[str]:
        tags = self._pages("list_tags_for_resource", "Tags", ResourceId=account)
        return [f"{tag['Key']}:{tag['Value']}" for tag in tags]

    def _regions(self, account: str) -> list[str]:
        """The regions enabled in the account; where they are not told, a sweep asks for them."""
        whose = {} if account == self.own else {"AccountId": account}
        pages = self.regional.get_paginator("list_regions").paginate(
            **whose, RegionOptStatusContains=list(ENABLED)
        )
        try:
            return sorted(region["RegionName"] for page in pages for region in page["Regions"])
        except REFUSALS as error:
            self.warn(f"account {account}: regions: all, since they are not told: {error}")
            return ALL

    def _pages(self, operation: str, key: str, **parameters: str) -> Iterator[dict[str, Any]]:
        for page in self.client.get_paginator(operation).paginate(**parameters):
            yield from page[key]


def as_yaml(accounts: Sequence[Account]) -> str:
    """An accounts file; raises AccountsError where it would not be a valid one."""
    data = {"accounts": list(accounts)}
    found = list(problems(data))
    if found:
        raise AccountsError("\n".join(found))
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _state(account: dict[str, Any]) -> str:
    """The account's state; older answers have only its status."""
    return str(account.get("State") or account.get("Status"))


def _role(template: str, account: dict[str, Any]) -> str:
    if template.startswith("arn:"):
        return template.replace("{Id}", account["Id"]).replace("{account_id}", account["Id"])
    partition = account["Arn"].split(":")[1]
    return f"arn:{partition}:iam::{account['Id']}:role/{template}"


def _path_tags(path: str) -> list[str]:
    """As c7n-org has them: one for the unit and for each above it."""
    parts = path.strip("/").split("/")
    return [f"path:/{'/'.join(parts[: number + 1])}" for number in range(len(parts))]


def _distinct(accounts: list[Account]) -> list[Account]:
    """Names are those of folders: where accounts share one, their ids are added."""
    names = Counter(account["name"] for account in accounts)
    for account in accounts:
        if names[account["name"]] > 1:
            account["name"] = f"{account['name']}-{account['account_id']}"
    return accounts
