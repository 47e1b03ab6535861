"""Amazon GuardDuty: one detector a region, members, invitations, findings, publishing.

State of one account and region: ``members`` (account id -> member), ``invitations`` (administrator
id -> invitation), ``administrator``, ``organisation``, ``destinations``, ``findings`` (id ->
finding in the shape of GetFindings).
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from moto.guardduty.models import GuardDutyBackend

from tests.emulator.clock import iso, to_epoch
from tests.emulator.kit import Context, fail, fingerprint, operation, page, state, without_none

SERVICE = "guardduty"
BAD = "BadRequestException"

moto_create_detector = GuardDutyBackend.create_detector


def create_detector(self: GuardDutyBackend, *args: Any, **kwargs: Any) -> str:
    if self.detectors:
        fail(
            BAD,
            "The request is rejected because a detector already exists for the current account.",
        )
    return moto_create_detector(self, *args, **kwargs)


def install() -> None:
    GuardDutyBackend.create_detector = create_detector


def timestamp() -> str:
    return iso(timespec="milliseconds")


def check_detector(context: Context, detector_id: str) -> None:
    if detector_id not in context.backend().detectors:
        fail(
            BAD,
            "The request is rejected because the input detectorId is not owned by the current "
            "account.",
        )


def split_members(
    context: Context, account_ids: list[str]
) -> tuple[list[str], list[dict[str, str]]]:
    members = context.state("members")
    unknown = [
        {
            "AccountId": each,
            "Result": "The request is rejected because the given account ID is not an "
            "associated member of account the current account.",
        }
        for each in account_ids
        if each not in members
    ]
    return [each for each in account_ids if each in members], unknown


# --- members, in the administrator's account -----------------------------------------------------


@operation(SERVICE, "CreateMembers")
def create_members(
    context: Context, DetectorId: str, AccountDetails: list[dict[str, str]]
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    refused = []
    members = context.state("members")
    for details in AccountDetails:
        account = details["AccountId"]
        if account == context.account:
            refused.append(
                {
                    "AccountId": account,
                    "Result": "The request is rejected because the current account cannot be a "
                    "member of itself.",
                }
            )
            continue
        members.setdefault(
            account,
            {
                "AccountId": account,
                "Email": details["Email"],
                "MasterId": context.account,
                "AdministratorId": context.account,
                "RelationshipStatus": "Created",
                "UpdatedAt": timestamp(),
            },
        )
    return {"UnprocessedAccounts": refused}


@operation(SERVICE, "InviteMembers")
def invite_members(
    context: Context, DetectorId: str, AccountIds: list[str], **_: Any
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    known, unknown = split_members(context, AccountIds)
    for account in known:
        member = context.state("members")[account]
        if member["RelationshipStatus"] == "Enabled":
            continue
        moment = timestamp()
        member.update(RelationshipStatus="Invited", InvitedAt=moment, UpdatedAt=moment)
        context.state("invitations", account=account)[context.account] = {
            "AccountId": context.account,
            "InvitationId": uuid.uuid4().hex,
            "RelationshipStatus": "Invited",
            "InvitedAt": moment,
        }
    return {"UnprocessedAccounts": unknown}


@operation(SERVICE, "ListMembers")
def list_members(
    context: Context,
    DetectorId: str,
    MaxResults: int = 50,
    NextToken: str = "",
    OnlyAssociated: str = "true",
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    every = str(OnlyAssociated).lower() == "false"
    members = [
        member
        for member in context.state("members").values()
        if every or member["RelationshipStatus"] == "Enabled"
    ]
    shown, token = page(members, NextToken, int(MaxResults), fingerprint(every), BAD)
    return without_none(Members=list(shown), NextToken=token)


@operation(SERVICE, "GetMembers")
def get_members(context: Context, DetectorId: str, AccountIds: list[str]) -> dict[str, Any]:
    check_detector(context, DetectorId)
    known, unknown = split_members(context, AccountIds)
    members = context.state("members")
    return {"Members": [members[each] for each in known], "UnprocessedAccounts": unknown}


@operation(SERVICE, "DeleteMembers")
def delete_members(context: Context, DetectorId: str, AccountIds: list[str]) -> dict[str, Any]:
    check_detector(context, DetectorId)
    known, unknown = split_members(context, AccountIds)
    for account in known:
        context.state("members").pop(account)
        context.state("invitations", account=account).pop(context.account, None)
    return {"UnprocessedAccounts": unknown}


# --- invitations, in the member's account --------------------------------------------------------


@operation(SERVICE, "ListInvitations")
def list_invitations(context: Context, MaxResults: int = 50, NextToken: str = "") -> dict[str, Any]:
    invitations = list(context.state("invitations").values())
    shown, token = page(invitations, NextToken, int(MaxResults), "", BAD)
    return without_none(Invitations=list(shown), NextToken=token)


def accept(context: Context, detector_id: str, administrator: str, invitation_id: str) -> None:
    check_detector(context, detector_id)
    invitations = context.state("invitations")
    invitation = invitations.get(administrator)
    if not invitation or invitation["InvitationId"] != invitation_id:
        fail(
            BAD,
            "The request is rejected because an invalid or out-of-range value is specified as an "
            "input parameter.",
        )
    invitations.pop(administrator)
    context.state("administrator").update(
        AccountId=administrator,
        InvitationId=invitation_id,
        RelationshipStatus="Enabled",
        InvitedAt=invitation["InvitedAt"],
    )
    member = context.state("members", account=administrator).get(context.account)
    if member:
        member.update(RelationshipStatus="Enabled", DetectorId=detector_id, UpdatedAt=timestamp())


@operation(SERVICE, "AcceptAdministratorInvitation")
def accept_administrator_invitation(
    context: Context, DetectorId: str, AdministratorId: str, InvitationId: str
) -> None:
    accept(context, DetectorId, AdministratorId, InvitationId)


@operation(SERVICE, "AcceptInvitation")
def accept_invitation(context: Context, DetectorId: str, MasterId: str, InvitationId: str) -> None:
    accept(context, DetectorId, MasterId, InvitationId)


@operation(SERVICE, "GetAdministratorAccount")
def get_administrator_account(context: Context, DetectorId: str) -> dict[str, Any]:
    check_detector(context, DetectorId)
    return {"Administrator": dict(context.state("administrator"))}


@operation(SERVICE, "DisassociateFromAdministratorAccount")
def disassociate_from_administrator(context: Context, DetectorId: str) -> None:
    check_detector(context, DetectorId)
    administrator = context.state("administrator")
    member = context.state("members", account=administrator.get("AccountId", context.account)).get(
        context.account
    )
    if member:
        member.update(RelationshipStatus="Resigned", UpdatedAt=timestamp())
    administrator.clear()


# --- organisation and publishing -----------------------------------------------------------------


@operation(SERVICE, "UpdateOrganizationConfiguration")
def update_organization_configuration(context: Context, DetectorId: str, **changes: Any) -> None:
    check_detector(context, DetectorId)
    kept = ("AutoEnable", "AutoEnableOrganizationMembers")
    context.state("organisation").update({k: v for k, v in changes.items() if k in kept})


@operation(SERVICE, "DescribeOrganizationConfiguration")
def describe_organization_configuration(
    context: Context, DetectorId: str, **_: Any
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    return {
        "MemberAccountLimitReached": False,
        "AutoEnableOrganizationMembers": "NONE",
        **context.state("organisation"),
    }


@operation(SERVICE, "CreatePublishingDestination")
def create_publishing_destination(
    context: Context, DetectorId: str, DestinationType: str, **_: Any
) -> dict[str, str]:
    check_detector(context, DetectorId)
    destination_id = uuid.uuid4().hex
    context.state("destinations")[destination_id] = {
        "DestinationId": destination_id,
        "DestinationType": DestinationType,
        "Status": "PUBLISHING",
    }
    return {"DestinationId": destination_id}


@operation(SERVICE, "ListPublishingDestinations")
def list_publishing_destinations(context: Context, DetectorId: str, **_: Any) -> dict[str, Any]:
    check_detector(context, DetectorId)
    return {"Destinations": list(context.state("destinations").values())}


# --- findings ------------------------------------------------------------------------------------


def value_at(finding: Any, path: str) -> Any:
    """Finds a value by GuardDuty's lower-camel path in a finding with upper-camel members."""
    for step in path.split("."):
        if not isinstance(finding, dict):
            return None
        finding = next((v for k, v in finding.items() if k.lower() == step.lower()), None)
    return finding


TIMES = ("createdat", "updatedat")


def comparable(finding: Any, path: str) -> Any:
    """A value as criteria name it: times are in milliseconds there, and texts in findings."""
    value = value_at(finding, path)
    return to_epoch(value) * 1000 if value and path.lower() in TIMES else value


def is_one_of(value: Any, wanted: list[str]) -> bool:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return value is not None and text in wanted


CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": is_one_of,
    "Equals": is_one_of,
    "Neq": lambda value, wanted: not is_one_of(value, wanted),
    "NotEquals": lambda value, wanted: not is_one_of(value, wanted),
    "Gt": lambda value, bound: value is not None and value > bound,
    "GreaterThan": lambda value, bound: value is not None and value > bound,
    "Gte": lambda value, bound: value is not None and value >= bound,
    "GreaterThanOrEqual": lambda value, bound: value is not None and value >= bound,
    "Lt": lambda value, bound: value is not None and value < bound,
    "LessThan": lambda value, bound: value is not None and value < bound,
    "Lte": lambda value, bound: value is not None and value <= bound,
    "LessThanOrEqual": lambda value, bound: value is not None and value <= bound,
}


@operation(SERVICE, "ListFindings")
def list_findings(
    context: Context,
    DetectorId: str,
    FindingCriteria: dict[str, Any] | None = None,
    MaxResults: int = 50,
    NextToken: str = "",
    **_: Any,
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    criteria = (FindingCriteria or {}).get("Criterion") or {}
    tests = []
    for path, conditions in criteria.items():
        for name, wanted in conditions.items():
            if wanted is None:
                continue
            if name not in CONDITIONS:
                fail(BAD, f"the emulator does not implement the condition {name}")
            tests.append((path, CONDITIONS[name], wanted))
    found = [
        finding_id
        for finding_id, finding in context.state("findings").items()
        if all(test(comparable(finding, path), wanted) for path, test, wanted in tests)
    ]
    shown, token = page(found, NextToken, int(MaxResults), fingerprint(criteria), BAD)
    return without_none(FindingIds=list(shown), NextToken=token)


@operation(SERVICE, "GetFindings")
def get_findings(
    context: Context, DetectorId: str, FindingIds: list[str], **_: Any
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    findings = context.state("findings")
    return {"Findings": [findings[each] for each in FindingIds if each in findings]}


SAMPLES = ("CryptoCurrency:EC2/BitcoinTool.B!DNS", "Recon:EC2/PortProbeUnprotectedPort")


@operation(SERVICE, "CreateSampleFindings")
def create_sample_findings(
    context: Context, DetectorId: str, FindingTypes: list[str] | None = None
) -> None:
    check_detector(context, DetectorId)
    findings = state(SERVICE, context.account, context.region, "findings")
    for finding_type in FindingTypes or SAMPLES:
        finding = sample(context, DetectorId, finding_type)
        findings[finding["Id"]] = finding


def sample(context: Context, detector_id: str, finding_type: str) -> dict[str, Any]:
    finding_id, moment = uuid.uuid4().hex, timestamp()
    return {
        "AccountId": context.account,
        "Arn": f"arn:aws:guardduty:{context.region}:{context.account}:detector/{detector_id}"
        f"/finding/{finding_id}",
        "CreatedAt": moment,
        "UpdatedAt": moment,
        "Id": finding_id,
        "Region": context.region,
        "Resource": {
            "ResourceType": "Instance",
            "InstanceDetails": {"InstanceId": "i-99999999"},
        },
        "SchemaVersion": "2.0",
        "Severity": 8.0,
        "Title": f"[SAMPLE] {finding_type}",
        "Type": finding_type,
        "Service": {
            "Archived": False,
            "Count": 1,
            "DetectorId": detector_id,
            "ServiceName": "guardduty",
        },
    }
