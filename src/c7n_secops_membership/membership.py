"""Memberships as rows, an account each, and the CloudTrail events that change them."""

from __future__ import annotations

import re
from typing import Any

from c7n.utils import parse_date

from c7n_secops.comparisons import is_of_age
from c7n_secops.events import texts
from c7n_secops_membership import guardduty
from c7n_secops_membership.accounts import ACCOUNT_ID, Row
from c7n_secops_membership.members import Member

OPEN = ("Invited", "EmailVerificationInProgress")
"""The statuses of an invitation that was neither accepted nor failed."""
BY_MEMBER = ("DisassociateFromAdministratorAccount", "DisassociateFromMasterAccount")
BY_ADMINISTRATOR = ("DisassociateMembers", "DeleteMembers", "StopMonitoringMembers")
REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")


def rows_of(client: Any, administrator: str, wanted: dict[str, Member]) -> list[Row]:
    """One row for each member of the administrator, and for each wanted one that it lacks.

    Where GuardDuty is off, that is the administrator's own row. Raises RefusedError.
    """
    detector = guardduty.detector_id(client)
    rows = []
    if detector is None:
        rows.append(row_of(administrator, administrator, guardduty.NO_DETECTOR))
    there = guardduty.members(client, detector) if detector else {}
    for account, found in there.items():
        status = found["RelationshipStatus"]
        rows.append(
            row_of(
                account,
                administrator,
                status,
                Name=wanted[account].name if account in wanted else None,
                Email=found.get("Email"),
                InvitedAt=found.get("InvitedAt"),
                UpdatedAt=found.get("UpdatedAt"),
            )
        )
    rows += [
        row_of(account, administrator, guardduty.ABSENT, Name=member.name, Email=member.email)
        for account, member in wanted.items()
        if account not in there
    ]
    return rows


def own_row(client: Any, account: str, pinned: str) -> Row:
    """An account's membership from its own side. Raises RefusedError."""
    detector = guardduty.detector_id(client)
    if detector is None:
        return row_of(account, None, guardduty.NO_DETECTOR)
    found = guardduty.administrator(client, detector)
    if not found:
        return row_of(account, None, guardduty.ABSENT)
    if found["AccountId"] != pinned:
        return row_of(account, found["AccountId"], guardduty.OTHER_ADMINISTRATOR)
    status = found.get("RelationshipStatus", "")
    return row_of(account, pinned, status, InvitedAt=found.get("InvitedAt"))


def row_of(account: str, administrator: str | None, status: str, **more: str | None) -> Row:
    """One membership; what is None is left out."""
    row = {"AccountId": account, "AdministratorId": administrator, **more}
    return {**{key: value for key, value in row.items() if value}, "Status": status}


def meets(row: Row, conditions: Row) -> bool:
    """Whether a row meets the ``status`` and the ``invited-age`` of a filter, as far as given.

    An age is a condition on open invitations only, and without ``status`` nothing else is wanted.
    """
    age = conditions.get("invited-age")
    status = row["Status"] if row["Status"] in guardduty.STATES else guardduty.UNKNOWN
    if status not in conditions.get("status", OPEN if age else (status,)):
        return False
    if not age or status not in OPEN:
        return True
    invited = parse_date(row.get("InvitedAt"))
    return invited is not None and is_of_age(invited, age)


def accounts_in(event: Any) -> list[str]:
    """The accounts whose membership a CloudTrail event says has ended. Events are hostile."""
    detail = _object(_object(event).get("detail"))
    if detail.get("eventName") in BY_MEMBER:
        named = texts([detail.get("recipientAccountId")])
    elif detail.get("eventName") in BY_ADMINISTRATOR:
        named = texts(_object(detail.get("requestParameters")).get("accountIds"))
    else:
        named = []
    return [name for name in named[: guardduty.PAGE] if ACCOUNT_ID.fullmatch(name)]


def region_of(event: Any) -> str | None:
    """The region of a CloudTrail event, which was forwarded from there; None without one."""
    region = _object(_object(event).get("detail")).get("awsRegion")
    return region if isinstance(region, str) and REGION.fullmatch(region) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
