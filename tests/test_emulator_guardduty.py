"""The emulator's GuardDuty: both sides of a membership, the organization, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.emulator import Emulator
from tests.guardduty_fleet import ADMIN, ANNA, BERT, STRANGER, VARIABLES, Fleet, email, fleet
from tests.harness import REGION

__all__ = ["fleet"]

BAD = "BadRequestException"


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def administrator(fleet: Fleet, account: str) -> dict[str, Any]:
    answer = fleet.client(account).get_administrator_account(DetectorId=fleet.detector(account))
    found: dict[str, Any] = answer["Administrator"]
    return found


def unprocessed(answer: dict[str, Any]) -> list[str]:
    return [row["AccountId"] for row in answer["UnprocessedAccounts"]]


def test_both_sides_see_a_member_join_and_resign_and_join_again(fleet: Fleet) -> None:
    fleet.joined(ANNA)
    assert fleet.statuses() == {ANNA: "Enabled"}
    assert administrator(fleet, ANNA)["AccountId"] == ADMIN
    assert fleet.client(ANNA).list_invitations()["Invitations"] == []
    detector = fleet.detector(ANNA)
    fleet.client(ANNA).disassociate_from_master_account(DetectorId=detector)
    assert fleet.statuses() == {ANNA: "Resigned"}
    assert administrator(fleet, ANNA) == {}
    again = fleet.client(ANNA).disassociate_from_administrator_account
    assert code_of(lambda: again(DetectorId=detector)) == BAD
    fleet.client(ADMIN).invite_members(DetectorId=fleet.detector(ADMIN), AccountIds=[ANNA])
    assert fleet.statuses() == {ANNA: "Invited"}


def test_both_sides_see_a_member_removed_and_deleted(fleet: Fleet) -> None:
    fleet.joined(ANNA)
    where, client = {"DetectorId": fleet.detector(ADMIN)}, fleet.client(ADMIN)
    assert unprocessed(client.delete_members(**where, AccountIds=[ANNA])) == [ANNA]
    assert unprocessed(client.disassociate_members(**where, AccountIds=[ANNA, BERT])) == [BERT]
    assert fleet.statuses() == {ANNA: "Removed"}
    assert administrator(fleet, ANNA) == {}
    assert unprocessed(client.delete_members(**where, AccountIds=[ANNA])) == []
    assert fleet.statuses() == {}


def test_an_invitation_goes_with_the_member_that_it_was_for(fleet: Fleet) -> None:
    fleet.invited(ANNA, BERT)
    where, client = {"DetectorId": fleet.detector(ADMIN)}, fleet.client(ADMIN)
    client.disassociate_members(**where, AccountIds=[ANNA])
    client.delete_members(**where, AccountIds=[BERT])
    assert fleet.client(ANNA).list_invitations()["Invitations"] == []
    assert fleet.client(BERT).list_invitations()["Invitations"] == []
    assert fleet.statuses() == {ANNA: "Removed"}


def test_a_member_of_another_administrator_can_be_invited_and_cannot_accept(fleet: Fleet) -> None:
    fleet.joined(ANNA, by=STRANGER)
    fleet.invited(ANNA)
    assert fleet.statuses() == {ANNA: "Invited"}
    (invitation,) = fleet.client(ANNA).list_invitations()["Invitations"]
    arguments = {
        "DetectorId": fleet.detector(ANNA),
        "AdministratorId": ADMIN,
        "InvitationId": invitation["InvitationId"],
    }
    accept = fleet.client(ANNA).accept_administrator_invitation
    assert code_of(lambda: accept(**arguments)) == BAD
    assert administrator(fleet, ANNA)["AccountId"] == STRANGER


def test_an_administrator_of_others_cannot_become_a_member(fleet: Fleet) -> None:
    fleet.joined(BERT, by=ANNA)
    fleet.invited(ANNA)
    (invitation,) = fleet.client(ANNA).list_invitations()["Invitations"]
    arguments = {
        "DetectorId": fleet.detector(ANNA),
        "MasterId": ADMIN,
        "InvitationId": invitation["InvitationId"],
    }
    assert code_of(lambda: fleet.client(ANNA).accept_invitation(**arguments)) == BAD


def test_members_are_created_within_the_limits_and_not_twice(fleet: Fleet) -> None:
    fleet.joined(ANNA)
    where, client = {"DetectorId": fleet.detector(ADMIN)}, fleet.client(ADMIN)

    def create(*accounts: str) -> Any:
        details = [{"AccountId": account, "Email": email(account)} for account in accounts]
        return client.create_members(**where, AccountDetails=details)

    assert unprocessed(create(ANNA, ADMIN, BERT)) == [ANNA, ADMIN]
    assert code_of(lambda: create(*[f"{number:012d}" for number in range(51)])) == BAD
    invite = client.invite_members
    assert unprocessed(invite(**where, AccountIds=[ANNA, BERT, STRANGER])) == [ANNA, STRANGER]
    fleet.emulator.seed(
        "guardduty",
        *(ADMIN, REGION, "members"),
        {f"{number:012d}": {"RelationshipStatus": "Created"} for number in range(4998)},
    )
    assert unprocessed(create(STRANGER)) == [STRANGER]


def test_a_wrong_e_mail_fails_verification_and_brings_no_invitation(fleet: Fleet) -> None:
    fleet.emulator.seed("guardduty", ANNA, "us-east-1", "root", {"email": "root@example.com"})
    fleet.emulator.seed("guardduty", BERT, "us-east-1", "root", {"email": email(BERT).upper()})
    fleet.invited(ANNA, BERT)
    assert fleet.statuses() == {ANNA: "EmailVerificationFailed", BERT: "Invited"}
    assert fleet.client(ANNA).list_invitations()["Invitations"] == []


def test_features_that_a_change_does_not_name_stay(fleet: Fleet) -> None:
    detector, client = fleet.detector(ANNA), fleet.client(ANNA)

    def features() -> dict[str, Any]:
        rows = client.get_detector(DetectorId=detector)["Features"]
        return {row["Name"]: row for row in rows}

    assert features()["S3_DATA_EVENTS"]["Status"] == "ENABLED"
    assert features()["RUNTIME_MONITORING"]["Status"] == "DISABLED"
    for agent in ("EC2_AGENT_MANAGEMENT", "EKS_ADDON_MANAGEMENT"):
        row = {"Name": "RUNTIME_MONITORING", "Status": "ENABLED"}
        row["AdditionalConfiguration"] = [{"Name": agent, "Status": "ENABLED"}]
        client.update_detector(DetectorId=detector, Features=[row])
    runtime = features()["RUNTIME_MONITORING"]
    assert len(runtime["AdditionalConfiguration"]) == 2
    assert features()["S3_DATA_EVENTS"]["Status"] == "ENABLED"
    both = [
        {"Name": name, "Status": "ENABLED"}
        for name in ("RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING")
    ]
    assert code_of(lambda: client.update_detector(DetectorId=detector, Features=both)) == BAD


def test_only_the_management_account_delegates_and_only_once(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    for account in (ADMIN, ANNA, BERT):
        client = fleet.client(account)
        enable = client.enable_organization_admin_account
        assert code_of(lambda enable=enable: enable(AdminAccountId=ADMIN)) == BAD
        assert code_of(client.list_organization_admin_accounts) == BAD
    manager = fleet.client(STRANGER)
    assert code_of(lambda: manager.enable_organization_admin_account(AdminAccountId=BERT)) == BAD
    fleet.delegated()
    listed = manager.list_organization_admin_accounts()["AdminAccounts"]
    assert listed == [{"AdminAccountId": ADMIN, "AdminStatus": "ENABLED"}]
    assert code_of(lambda: manager.enable_organization_admin_account(AdminAccountId=ANNA)) == BAD


def test_only_the_delegated_administrator_configures_the_organization(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    where, client = {"DetectorId": fleet.detector(ADMIN)}, fleet.client(ADMIN)
    assert code_of(lambda: client.describe_organization_configuration(**where)) == BAD
    fleet.delegated()
    update = client.update_organization_configuration
    assert code_of(lambda: update(**where)) == BAD
    both = {"AutoEnable": True, "AutoEnableOrganizationMembers": "ALL"}
    assert code_of(lambda: update(**where, **both)) == BAD
    update(**where, AutoEnable=True)
    found = client.describe_organization_configuration(**where)
    assert found["AutoEnableOrganizationMembers"] == "NEW"
    assert fleet.statuses() == {}
    update(**where, AutoEnableOrganizationMembers="ALL")
    assert fleet.statuses() == {ANNA: "Enabled"}  # the management account has no detector
    assert administrator(fleet, ANNA)["AccountId"] == ADMIN


def test_a_detector_publishes_to_one_bucket_that_exists(fleet: Fleet) -> None:
    where, client = {"DetectorId": fleet.detector(ADMIN)}, fleet.client(ADMIN)
    properties = {
        "DestinationArn": VARIABLES["guardduty_bucket"],
        "KmsKeyArn": VARIABLES["guardduty_key"],
    }

    def create(**changes: str) -> Any:
        return client.create_publishing_destination(
            **where,
            DestinationType="S3",
            DestinationProperties={**properties, **changes},
        )

    assert code_of(create) == BAD
    fleet.emulator.client("s3", ADMIN, REGION).create_bucket(Bucket="acme-findings")
    assert code_of(lambda: create(KmsKeyArn="alias/findings")) == BAD
    made = create()["DestinationId"]
    assert code_of(create) == BAD
    listed = client.list_publishing_destinations(**where)["Destinations"]
    assert listed == [{"DestinationId": made, "DestinationType": "S3", "Status": "PUBLISHING"}]
    describe = client.describe_publishing_destination
    assert code_of(lambda: describe(**where, DestinationId="x")) == BAD


def test_the_end_of_a_membership_is_in_cloudtrail_where_it_was_called(
    fleet: Fleet, emulator: Emulator
) -> None:
    fleet.joined(ANNA, BERT)
    fleet.resigned(ANNA)
    client, where = fleet.client(ADMIN), {"DetectorId": fleet.detector(ADMIN)}
    client.disassociate_members(**where, AccountIds=[BERT])

    def event(account: str) -> dict[str, Any]:
        (row,) = emulator.client("cloudtrail", account, REGION).lookup_events()["Events"]
        found: dict[str, Any] = json.loads(row["CloudTrailEvent"])
        return found

    left = event(ANNA)
    assert (left["eventName"], left["recipientAccountId"]) == (
        "DisassociateFromAdministratorAccount",
        ANNA,
    )
    removed = event(ADMIN)
    assert (removed["eventName"], removed["recipientAccountId"]) == ("DisassociateMembers", ADMIN)
    assert removed["requestParameters"]["accountIds"] == [BERT]
