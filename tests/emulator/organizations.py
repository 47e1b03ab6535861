"""AWS Organizations: organizations of accounts whose ids a test chooses, and who is in whose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from moto.organizations.models import FakeAccount, organizations_backends


class Organization(NamedTuple):
    """An organization: its management account and the ids of all of its accounts."""

    management: str
    accounts: tuple[str, ...]


def form(management: str, accounts: Iterable[dict[str, Any]]) -> None:
    """Makes an organization, if there is none yet, and lets accounts join it."""
    backend = organizations_backends[management]["aws"]
    if backend.org is None:
        # moto forgets the members of an organization at a reset, and not whose members they were
        organizations_backends.master_accounts.pop(management, None)
        backend.create_organization(region="us-east-1")
    for account in accounts:
        made = FakeAccount(backend.org, AccountName=account["name"], Email=account["email"])
        made.id = account["id"]
        made.status = made.state = account.get("status", "ACTIVE")
        backend.accounts.append(made)
        organizations_backends.master_accounts[made.id] = (management, "aws")


def organization_of(account: str) -> Organization | None:
    """The organization of an account; None where it is in none."""
    for owner in list(organizations_backends):
        backend = organizations_backends[owner]["aws"]
        ids = tuple(each.id for each in backend.accounts)
        if backend.org is not None and account in ids:
            return Organization(owner, ids)
    return None
