"""Accounts for sweeps: roles that one hub may assume, and the accounts file that names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.emulator import Emulator, organisation

HUB = "999999999999"
ROLE = "CloudCustodian"


def ids(number: int) -> list[str]:
    """So many account ids."""
    return [f"{each:012d}" for each in range(100000000001, 100000000001 + number)]


def name_of(account: str) -> str:
    return f"member-{account[-3:]}"


def build(
    emulator: Emulator, accounts: Sequence[str], regions: Sequence[str], **each: Any
) -> dict[str, Any]:
    """Make the roles, and return the content of the accounts file; ``each`` goes to every one."""
    trust = organisation.trust(AWS=f"arn:aws:iam::{HUB}:root")
    for account in accounts:
        organisation.create_role(emulator, account, ROLE, trust)
    return {
        "accounts": [
            {
                "account_id": account,
                "name": name_of(account),
                "role": f"arn:aws:iam::{account}:role/{ROLE}",
                "regions": list(regions),
                **each,
            }
            for account in accounts
        ]
    }


def write(folder: Path, **files: Any) -> None:
    """Write each as YAML: ``accounts={...}`` into ``accounts.yml``."""
    for name, data in files.items():
        (folder / f"{name}.yml").write_text(yaml.safe_dump(data))
