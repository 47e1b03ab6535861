"""AWS Organizations: organizations of accounts whose ids a test chooses, and who is in whose.

State of the management account: ``delegates`` (services by the account that administers them).
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from moto.organizations.models import FakeAccount, organizations_backends

from tests.emulator.kit import Context, fail, operation, page, state, without_none

SERVICE = "organizations"


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


def delegates(organization: Organization) -> dict[str, set[str]]:
    """Which accounts administer which services for an organization."""
    found: dict[str, set[str]] = state(SERVICE, organization.management, "aws", "delegates")
    return found


def delegate(organization: Organization, account: str, service: str) -> None:
    """Makes an account the delegated administrator of a service."""
    delegates(organization).setdefault(account, set()).add(service)


@operation(SERVICE, "ListAccounts")
def list_accounts(context: Context, MaxResults: int = 20, NextToken: str = "") -> dict[str, Any]:
    """Only the management account and delegated administrators may list, which moto forgets."""
    organization = organization_of(context.account)
    if organization is None:
        fail("AWSOrganizationsNotInUseException", "Your account is in no organization.")
    if context.account not in (organization.management, *delegates(organization)):
        fail("AccessDeniedException", "You don't have permissions to access this resource.")
    accounts = organizations_backends[organization.management]["aws"].accounts
    shown, token = page(accounts, NextToken, MaxResults, code="InvalidInputException")
    return without_none(Accounts=[account.describe() for account in shown], NextToken=token)
