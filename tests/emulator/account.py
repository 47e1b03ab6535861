"""AWS Account Management: which regions an account has enabled.

The state ``regions`` of an account (seed it in region ``aws``) says what differs from an account
as AWS makes it: ``{"ap-southeast-3": "ENABLED"}``. Of AWS's regions there are a few.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

from tests.emulator.kit import Context, fail, fingerprint, operation, page, without_none

SERVICE = "account"
BY_DEFAULT = ("ap-south-1", "eu-central-1", "eu-west-1", "us-east-1", "us-west-2")
OPT_IN = ("af-south-1", "ap-southeast-3", "eu-south-1")
LARGEST_PAGE = 50


@operation(SERVICE, "ListRegions")
def list_regions(
    context: Context,
    AccountId: str | None = None,
    MaxResults: int = LARGEST_PAGE,
    NextToken: str | None = None,
    RegionOptStatusContains: list[str] | None = None,
) -> dict[str, Any]:
    """The management account asks for others by their id, and for itself without one."""
    if AccountId == context.account:
        fail("AccessDeniedException", "The management account can't specify its own AccountId.")
    account = AccountId or context.account
    statuses = {
        **dict.fromkeys(BY_DEFAULT, "ENABLED_BY_DEFAULT"),
        **dict.fromkeys(OPT_IN, "DISABLED"),
        **context.state("regions", account=account, region="aws"),
    }
    wanted = RegionOptStatusContains or list(statuses.values())
    rows = [
        {"RegionName": name, "RegionOptStatus": status}
        for name, status in sorted(statuses.items())
        if status in wanted
    ]
    shown, token = page(rows, NextToken, MaxResults, fingerprint(AccountId, wanted))
    return without_none(Regions=list(shown), NextToken=token)
