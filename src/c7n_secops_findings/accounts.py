"""What accounts.yml knows of an account: its name, its organisational unit, its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from c7n.utils import load_file

from c7n_secops_findings.record import Finding

OWNER_TAGS = ("owner", "Owner", "OwnerContact")
OU_TAG = "path:"
"""How c7n-org's own generator of accounts.yml says where in the organisation an account is."""


class Account(NamedTuple):
    """One account."""

    name: str | None = None
    ou: str | None = None
    owner: str | None = None


class Accounts:
    """The accounts of an organisation, by id. An unknown one has no name."""

    def __init__(self, accounts: Mapping[str, Account]):
        self.accounts = accounts

    @classmethod
    def load(cls, file: str | Path | None) -> Accounts:
        """Read accounts.yml or its JSON; no accounts where no file is given."""
        return cls.of(load_file(str(file)) if file else {})

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Accounts:
        """The accounts of what accounts.yml holds."""
        common = config.get("vars") or {}
        found = {}
        for entry in config.get("accounts") or ():
            variables = {**common, **(entry.get("vars") or {})}
            tagged = (tag for tag in entry.get("tags") or () if str(tag).startswith(OU_TAG))
            ou = next(tagged, "").removeprefix(OU_TAG) or variables.get("ou")
            found[str(entry["account_id"])] = Account(
                entry.get("name"), ou and str(ou), variables.get("owner")
            )
        return cls(found)

    def to_config(self) -> dict[str, Any]:
        """The same, without what records do not need; :meth:`of` reads it back."""
        return {
            "accounts": [
                {
                    "account_id": name,
                    "name": account.name,
                    "vars": {"ou": account.ou, "owner": account.owner},
                }
                for name, account in self.accounts.items()
            ]
        }

    def name(self, finding: Finding) -> Finding:
        """A record with the name, the unit and, unless a tag names one, the owner filled in."""
        account = self.accounts.get(finding.account_id, Account())
        tags = finding.resource_tags
        owner = next((tags[key] for key in OWNER_TAGS if tags.get(key)), account.owner)
        return replace(
            finding,
            account_name=account.name or finding.account_name,
            ou=account.ou,
            owner=owner,
        )
