"""Amazon GuardDuty across accounts: members, invitations, the organization, publishing.

Both sides of a membership change together. State of one account and region: ``members`` (account
id -> row of ListMembers, in the administrator's account), ``invitations`` (administrator id ->
invitation), ``administrator``, ``organisation`` (the configuration), ``delegated`` (in the
management account) and ``destinations``. ``root`` of an account in us-east-1 may hold ``email``,
the address of the account: an invitation to another address fails AWS's verification, at once
here. Without it any address is right. Seed ``members`` for a status that no call reaches.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from moto.s3.models import s3_backends

from tests.emulator.guardduty import BAD, SERVICE, check_detector, merged, switch_on, timestamp
from tests.emulator.kit import Context, fail, fingerprint, operation, page, state, without_none
from tests.emulator.organizations import Organization, delegate, organization_of

MOST_BY_INVITATION = 5000
ASSOCIATED = ("Enabled", "Disabled")

Row = dict[str, Any]


def unprocessed(account: str, why: str) -> dict[str, str]:
    return {"AccountId": account, "Result": f"The request is rejected because {why}."}


def each_member(
    context: Context, account_ids: list[str], change: Callable[[str, Row], str | None]
) -> Row:
    """Changes members one by one; what the change returns is why it was refused."""
    members = context.state("members")
    refused = []
    for account in account_ids:
        if account not in members:
            why: str | None = (
                "the given account ID is not an associated member of the current account"
            )
        else:
            why = change(account, members[account])
        if why:
            refused.append(unprocessed(account, why))
    return {"UnprocessedAccounts": refused}


def join(
    context: Context, administrator: str, account: str, detector: Any, invitation: Row
) -> None:
    """Makes an account with this detector a member, on both sides."""
    context.state("administrator", account=account).update(
        without_none(
            AccountId=administrator,
            InvitationId=invitation.get("InvitationId"),
            InvitedAt=invitation.get("InvitedAt"),
            RelationshipStatus="Enabled",
        )
    )
    row = context.state("members", account=administrator).setdefault(account, {})
    row.update(
        {
            "AccountId": account,
            "Email": row.get("Email") or "by-organization@example.com",
            "MasterId": administrator,
            "AdministratorId": administrator,
            "DetectorId": detector.id,
            "RelationshipStatus": "Enabled",
            "UpdatedAt": timestamp(),
        }
    )


def leave(context: Context, administrator: str, account: str, status: str) -> None:
    """Ends a membership, on both sides."""
    context.state("administrator", account=account).clear()
    row = context.state("members", account=administrator).get(account)
    if row:
        row.update(RelationshipStatus=status, UpdatedAt=timestamp())


# --- members, in the administrator's account -----------------------------------------------------


@operation(SERVICE, "CreateMembers")
def create_members(context: Context, DetectorId: str, AccountDetails: list[dict[str, str]]) -> Row:
    check_detector(context, DetectorId)
    organization = administered(context)
    members = context.state("members")
    refused = []
    for details in AccountDetails:
        account = details["AccountId"]
        if account == context.account:
            why = "the current account cannot be a member of itself"
        elif account in members and members[account]["RelationshipStatus"] in ASSOCIATED:
            why = "the given account ID is already a member of the current account"
        elif len(members) >= MOST_BY_INVITATION and account not in members:
            why = "the limit of member accounts is reached"
        elif is_manager_without_detector(context, organization, account):
            why = "GuardDuty is not enabled in the management account"
        else:
            why = ""
        if why:
            refused.append(unprocessed(account, why))
            continue
        members[account] = {
            "AccountId": account,
            "Email": details["Email"],
            "MasterId": context.account,
            "AdministratorId": context.account,
            "RelationshipStatus": "Created",
            "UpdatedAt": timestamp(),
        }
        if organization and account in organization.accounts:
            join(context, context.account, account, switch_on(context, account), {})
    return {"UnprocessedAccounts": refused}


@operation(SERVICE, "InviteMembers")
def invite_members(
    context: Context,
    DetectorId: str,
    AccountIds: list[str],
    DisableEmailNotification: bool = False,
    Message: str = "",
) -> Row:
    check_detector(context, DetectorId)

    def invite(account: str, member: Row) -> str | None:
        if member["RelationshipStatus"] in ASSOCIATED:
            return "the given account ID is already a member of the current account"
        moment = timestamp()
        right = state(SERVICE, account, "us-east-1", "root").get("email", member["Email"])
        verified = right.lower() == member["Email"].lower()
        member.update(
            RelationshipStatus="Invited" if verified else "EmailVerificationFailed",
            InvitedAt=moment,
            UpdatedAt=moment,
        )
        if verified:
            context.state("invitations", account=account)[context.account] = {
                "AccountId": context.account,
                "InvitationId": uuid.uuid4().hex,
                "RelationshipStatus": "Invited",
                "InvitedAt": moment,
            }
        return None

    return each_member(context, AccountIds, invite)


@operation(SERVICE, "ListMembers")
def list_members(
    context: Context,
    DetectorId: str,
    MaxResults: int = 50,
    NextToken: str = "",
    OnlyAssociated: str = "true",
) -> Row:
    check_detector(context, DetectorId)
    every = str(OnlyAssociated).lower() == "false"
    members = [
        member
        for member in context.state("members").values()
        if every or member["RelationshipStatus"] in ASSOCIATED
    ]
    shown, token = page(members, NextToken, int(MaxResults), fingerprint(every), BAD)
    return without_none(Members=list(shown), NextToken=token)


@operation(SERVICE, "GetMembers")
def get_members(context: Context, DetectorId: str, AccountIds: list[str]) -> Row:
    check_detector(context, DetectorId)
    members = context.state("members")
    answer = each_member(context, AccountIds, lambda _account, _row: None)
    return {"Members": [members[each] for each in AccountIds if each in members], **answer}


@operation(SERVICE, "DisassociateMembers")
def disassociate_members(context: Context, DetectorId: str, AccountIds: list[str]) -> Row:
    check_detector(context, DetectorId)

    def disassociate(account: str, row: Row) -> str | None:
        context.state("invitations", account=account).pop(context.account, None)
        if row["RelationshipStatus"] in ASSOCIATED:
            leave(context, context.account, account, "Removed")
        else:
            row.update(RelationshipStatus="Removed", UpdatedAt=timestamp())
        return None

    return each_member(context, AccountIds, disassociate)


@operation(SERVICE, "DeleteMembers")
def delete_members(context: Context, DetectorId: str, AccountIds: list[str]) -> Row:
    check_detector(context, DetectorId)

    def delete(account: str, row: Row) -> str | None:
        if row["RelationshipStatus"] in ASSOCIATED:
            return "the given account ID is still associated to the current account"
        context.state("members").pop(account)
        context.state("invitations", account=account).pop(context.account, None)
        return None

    return each_member(context, AccountIds, delete)


@operation(SERVICE, "StopMonitoringMembers")
def stop_monitoring_members(context: Context, DetectorId: str, AccountIds: list[str]) -> Row:
    check_detector(context, DetectorId)

    def stop(account: str, row: Row) -> str | None:
        if row["RelationshipStatus"] not in ASSOCIATED:
            return "the given account ID is not associated to the current account"
        row.update(RelationshipStatus="Disabled", UpdatedAt=timestamp())
        context.state("administrator", account=account)["RelationshipStatus"] = "Disabled"
        return None

    return each_member(context, AccountIds, stop)


# --- invitations, in the member's account --------------------------------------------------------


@operation(SERVICE, "ListInvitations")
def list_invitations(context: Context, MaxResults: int = 50, NextToken: str = "") -> Row:
    invitations = list(context.state("invitations").values())
    shown, token = page(invitations, NextToken, int(MaxResults), "", BAD)
    return without_none(Invitations=list(shown), NextToken=token)


def accept(context: Context, detector_id: str, administrator: str, invitation_id: str) -> None:
    detector = check_detector(context, detector_id)
    invitations = context.state("invitations")
    invitation = invitations.get(administrator)
    if context.state("administrator"):
        fail(BAD, "The request is rejected because the current account is already a member.")
    if any(m["RelationshipStatus"] in ASSOCIATED for m in context.state("members").values()):
        fail(BAD, "The request is rejected because the current account has members of its own.")
    if not invitation or invitation["InvitationId"] != invitation_id:
        fail(
            BAD,
            "The request is rejected because an invalid or out-of-range value is specified as an "
            "input parameter.",
        )
    invitations.pop(administrator)
    join(context, administrator, context.account, detector, invitation)


@operation(SERVICE, "AcceptAdministratorInvitation")
def accept_administrator_invitation(
    context: Context, DetectorId: str, AdministratorId: str, InvitationId: str
) -> None:
    accept(context, DetectorId, AdministratorId, InvitationId)


@operation(SERVICE, "AcceptInvitation")
def accept_invitation(context: Context, DetectorId: str, MasterId: str, InvitationId: str) -> None:
    accept(context, DetectorId, MasterId, InvitationId)


@operation(SERVICE, "GetAdministratorAccount")
def get_administrator_account(context: Context, DetectorId: str) -> Row:
    check_detector(context, DetectorId)
    return {"Administrator": dict(context.state("administrator"))}


def resign(context: Context, detector_id: str) -> None:
    check_detector(context, detector_id)
    administrator = context.state("administrator").get("AccountId")
    if administrator is None:
        fail(BAD, "The request is rejected because the current account is no member.")
    leave(context, administrator, context.account, "Resigned")


@operation(SERVICE, "DisassociateFromAdministratorAccount")
def disassociate_from_administrator_account(context: Context, DetectorId: str) -> None:
    resign(context, DetectorId)


@operation(SERVICE, "DisassociateFromMasterAccount")
def disassociate_from_master_account(context: Context, DetectorId: str) -> None:
    resign(context, DetectorId)


# --- the organization ----------------------------------------------------------------------------


def delegated_in(organization: Organization, region: str) -> Row:
    found: Row = state(SERVICE, organization.management, region, "delegated")
    return found


def managed(context: Context) -> Organization:
    """The caller's organization; refused where the caller does not manage one."""
    organization = organization_of(context.account)
    if organization is None or organization.management != context.account:
        fail(
            BAD,
            "The request failed because the caller is not the management account of an "
            "organization.",
        )
    return organization


def administered(context: Context) -> Organization | None:
    """The organization whose delegated administrator the caller is in this region."""
    organization = organization_of(context.account)
    if organization is None:
        return None
    delegated = delegated_in(organization, context.region).get("AdminAccountId")
    return organization if delegated == context.account else None


def is_manager_without_detector(
    context: Context, organization: Organization | None, account: str
) -> bool:
    """Whether this is the one account of an organization that has to enable GuardDuty itself."""
    manages = organization is not None and organization.management == account
    return manages and not context.backend(account=account).detectors


@operation(SERVICE, "EnableOrganizationAdminAccount")
def enable_organization_admin_account(context: Context, AdminAccountId: str) -> None:
    organization = managed(context)
    delegated = delegated_in(organization, context.region)
    if AdminAccountId not in organization.accounts:
        fail(BAD, "The request failed because the account is not in the organization.")
    if delegated:
        fail(BAD, "The request failed because an administrator account is already enabled.")
    delegated.update(AdminAccountId=AdminAccountId, AdminStatus="ENABLED")
    delegate(organization, AdminAccountId, "guardduty.amazonaws.com")
    switch_on(context, AdminAccountId)


@operation(SERVICE, "ListOrganizationAdminAccounts")
def list_organization_admin_accounts(context: Context, **_: Any) -> Row:
    delegated = delegated_in(managed(context), context.region)
    return {"AdminAccounts": [dict(delegated)] if delegated else []}


def configured(context: Context, detector_id: str) -> Organization:
    check_detector(context, detector_id)
    organization = administered(context)
    if organization is None:
        fail(
            BAD,
            "The request failed because the caller is not the delegated administrator of an "
            "organization.",
        )
    return organization


@operation(SERVICE, "UpdateOrganizationConfiguration")
def update_organization_configuration(
    context: Context,
    DetectorId: str,
    AutoEnable: bool | None = None,
    AutoEnableOrganizationMembers: str = "",
    Features: list[Row] | None = None,
    **_: Any,
) -> None:
    organization = configured(context, DetectorId)
    if (AutoEnable is None) == (not AutoEnableOrganizationMembers):
        fail(BAD, "Give one of autoEnable and autoEnableOrganizationMembers.")
    kept = context.state("organisation")
    kept["Features"] = merged(kept.get("Features", []), Features or [])
    kept["AutoEnableOrganizationMembers"] = AutoEnableOrganizationMembers or (
        "NEW" if AutoEnable else "NONE"
    )
    if AutoEnableOrganizationMembers == "ALL":
        for account in organization.accounts:
            manager = is_manager_without_detector(context, organization, account)
            if account != context.account and not manager:
                join(context, context.account, account, switch_on(context, account), {})


@operation(SERVICE, "DescribeOrganizationConfiguration")
def describe_organization_configuration(context: Context, DetectorId: str, **_: Any) -> Row:
    configured(context, DetectorId)
    return {
        "MemberAccountLimitReached": False,
        "AutoEnableOrganizationMembers": "NONE",
        **context.state("organisation"),
    }


# --- publishing ----------------------------------------------------------------------------------


def check_destination(properties: Row) -> None:
    """Refuses a destination that does not exist."""
    found = re.fullmatch(r"arn:aws[a-z-]*:s3:::([^/]+)(/.*)?", properties.get("DestinationArn", ""))
    if not found or found[1] not in s3_backends.bucket_accounts:
        fail(BAD, "The request failed because the S3 bucket does not exist.")
    if not re.match(r"arn:aws[a-z-]*:kms:", properties.get("KmsKeyArn", "")):
        fail(BAD, "The request failed because of an invalid KMS key ARN.")


@operation(SERVICE, "CreatePublishingDestination")
def create_publishing_destination(
    context: Context, DetectorId: str, DestinationType: str, DestinationProperties: Row, **_: Any
) -> dict[str, str]:
    check_detector(context, DetectorId)
    check_destination(DestinationProperties)
    destinations = context.state("destinations")
    if destinations:
        fail(BAD, "The request failed because there is a publishing destination already.")
    destination_id = uuid.uuid4().hex
    destinations[destination_id] = {
        "DestinationId": destination_id,
        "DestinationType": DestinationType,
        "Status": "PUBLISHING",
        "PublishingFailureStartTimestamp": 0,
        "DestinationProperties": DestinationProperties,
    }
    return {"DestinationId": destination_id}


def destination_of(context: Context, detector_id: str, destination_id: str) -> Row:
    check_detector(context, detector_id)
    found: Row | None = context.state("destinations").get(destination_id)
    if found is None:
        fail(BAD, "The request failed because there is no such publishing destination.")
    return found


@operation(SERVICE, "UpdatePublishingDestination")
def update_publishing_destination(
    context: Context, DetectorId: str, DestinationId: str, DestinationProperties: Row
) -> None:
    found = destination_of(context, DetectorId, DestinationId)
    check_destination(DestinationProperties)
    found.update(DestinationProperties=DestinationProperties, Status="PUBLISHING")


@operation(SERVICE, "DescribePublishingDestination")
def describe_publishing_destination(context: Context, DetectorId: str, DestinationId: str) -> Row:
    return destination_of(context, DetectorId, DestinationId)


@operation(SERVICE, "ListPublishingDestinations")
def list_publishing_destinations(context: Context, DetectorId: str, **_: Any) -> Row:
    check_detector(context, DetectorId)
    shown = ("DestinationId", "DestinationType", "Status")
    return {
        "Destinations": [
            {name: row[name] for name in shown} for row in context.state("destinations").values()
        ]
    }
