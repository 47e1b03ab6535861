"""GuardDuty switched on, through the organization, and its findings exported."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.guardduty_fleet import (
    ADMIN,
    ANNA,
    BERT,
    STRANGER,
    VARIABLES,
    Fleet,
    fleet,
    outcomes,
    plan,
)
from tests.harness import REGION

__all__ = ["fleet"]


def acting(kind: str, **options: Any) -> dict[str, Any]:
    action = {"type": f"guardduty-{kind}", **options}
    return {"name": "under-test", "resource": "aws.account", "actions": [action]}


def features(fleet: Fleet, account: str) -> dict[str, str]:
    found = fleet.client(account).get_detector(DetectorId=fleet.detector(account))
    return {row["Name"]: row["Status"] for row in found["Features"]}


# --- enable -------------------------------------------------------------------------------------


def test_a_detector_is_made_with_what_the_policy_wants_and_only_once(fleet: Fleet) -> None:
    first = fleet.run("guardduty-enable", ANNA)
    assert outcomes(first, "guardduty-enable") == {ANNA: ("changed", "Created")}
    found = fleet.client(ANNA).get_detector(DetectorId=fleet.detector(ANNA))
    assert (found["Status"], found["FindingPublishingFrequency"]) == ("ENABLED", "FIFTEEN_MINUTES")
    assert features(fleet, ANNA)["LAMBDA_NETWORK_LOGS"] == "ENABLED"
    fleet.emulator.clear_calls()
    second = fleet.run("guardduty-enable", ANNA)
    assert outcomes(second, "guardduty-enable") == {ANNA: ("skipped", "AsWanted")}
    assert fleet.changes() == []


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"enable": True}),
        (
            {"publishing-frequency": "ONE_HOUR"},
            {"enable": True, "findingPublishingFrequency": "ONE_HOUR"},
        ),
        (
            {"features": {"S3_DATA_EVENTS": "ENABLED", "RDS_LOGIN_EVENTS": "DISABLED"}},
            {"enable": True, "features": [{"name": "RDS_LOGIN_EVENTS", "status": "DISABLED"}]},
        ),
        (
            {
                "features": {"RUNTIME_MONITORING": "ENABLED"},
                "runtime-agents": {"EC2_AGENT_MANAGEMENT": "ENABLED"},
            },
            {
                "enable": True,
                "features": [
                    {
                        "name": "RUNTIME_MONITORING",
                        "status": "ENABLED",
                        "additionalConfiguration": [
                            {"name": "EC2_AGENT_MANAGEMENT", "status": "ENABLED"}
                        ],
                    }
                ],
            },
        ),
    ],
    ids=["suspended", "frequency", "one-of-two-features", "agents"],
)
def test_only_what_differs_is_changed_in_a_detector(
    fleet: Fleet, options: dict[str, Any], sent: dict[str, Any]
) -> None:
    detector = fleet.detector(ANNA)
    fleet.client(ANNA).update_detector(DetectorId=detector, Enable=False)
    fleet.emulator.clear_calls()
    run = fleet.run(acting("enable", **options), ANNA)
    assert outcomes(run, "guardduty-enable") == {ANNA: ("changed", "Updated")}
    (call,) = fleet.emulator.calls("guardduty", "UpdateDetector")
    assert call.params == sent
    again = fleet.run(acting("enable", **options), ANNA)
    assert outcomes(again, "guardduty-enable") == {ANNA: ("skipped", "AsWanted")}


def test_a_feature_is_set_beside_the_agents_that_belong_to_it(fleet: Fleet) -> None:
    options = {
        "features": {"RUNTIME_MONITORING": "ENABLED"},
        "runtime-agents": {"EC2_AGENT_MANAGEMENT": "DISABLED"},
    }
    fleet.run(acting("enable", **options), ANNA)
    (call,) = fleet.emulator.calls("guardduty", "CreateDetector")
    assert call.params["features"] == [
        {
            "name": "RUNTIME_MONITORING",
            "status": "ENABLED",
            "additionalConfiguration": [{"name": "EC2_AGENT_MANAGEMENT", "status": "DISABLED"}],
        }
    ]
    assert features(fleet, ANNA)["S3_DATA_EVENTS"] == "ENABLED"


@pytest.mark.parametrize("kind", ["enable", "accept", "organization"])
def test_features_that_contradict_each_other_are_an_error(fleet: Fleet, kind: str) -> None:
    value = "ALL" if kind == "organization" else "ENABLED"
    more = {
        "enable": {},
        "accept": {"administrator": ADMIN},
        "organization": {"management": STRANGER, "administrator": ADMIN, "auto-enable": "ALL"},
    }[kind]
    with pytest.raises(PolicyValidationError, match="runtime-agents belong to RUNTIME_MONITORING"):
        fleet.run(acting(kind, **more, **{"runtime-agents": {"EC2_AGENT_MANAGEMENT": value}}))
    both = {"RUNTIME_MONITORING": value, "EKS_RUNTIME_MONITORING": value}
    with pytest.raises(PolicyValidationError, match="features cannot have both"):
        fleet.run(acting(kind, **more, features=both))


def test_a_detector_that_cannot_be_read_is_not_changed(fleet: Fleet) -> None:
    fleet.detector(ANNA)
    fleet.emulator.clear_calls()
    fleet.emulator.fault(
        "guardduty", "GetDetector", code="AccessDeniedException", status=403, times=None
    )
    run = fleet.run("guardduty-enable", ANNA)
    assert outcomes(run, "guardduty-enable") == {ANNA: ("not-evaluated", "AccessDeniedException")}
    assert [row["resource"] for row in run.not_evaluated] == [ANNA]
    assert fleet.changes() == []


def test_what_aws_refuses_to_change_is_a_failure(fleet: Fleet) -> None:
    fleet.emulator.fault("guardduty", "CreateDetector", code="BadRequestException", times=None)
    run = fleet.run("guardduty-enable", ANNA)
    assert outcomes(run, "guardduty-enable") == {ANNA: ("failed", "BadRequestException")}
    assert run.not_evaluated == []


def test_a_dry_run_says_what_would_be_enabled(fleet: Fleet) -> None:
    (row,) = plan(fleet.run("guardduty-enable", ANNA, dryrun=True))
    assert row["AccountId"] == ANNA
    assert row["would"][0]["call"] == "create_detector"
    assert row["would"][0]["FindingPublishingFrequency"] == "FIFTEEN_MINUTES"
    assert fleet.changes() == []


# --- organization -------------------------------------------------------------------------------


def test_the_organization_is_joined_in_two_runs_and_a_third_changes_nothing(fleet: Fleet) -> None:
    fleet.organization(ANNA, BERT)
    fleet.detector(STRANGER)
    name = "guardduty-organization"
    assert outcomes(fleet.run(name, STRANGER), name) == {STRANGER: ("changed", "Registered")}
    assert outcomes(fleet.run(name), name) == {ADMIN: ("changed", "Configured")}
    assert outcomes(fleet.run(name, ANNA), name) == {ANNA: ("skipped", "NotConcerned")}
    assert fleet.statuses() == dict.fromkeys((STRANGER, ANNA, BERT), "Enabled")

    fleet.emulator.clear_calls()
    assert outcomes(fleet.run(name, STRANGER), name) == {STRANGER: ("skipped", "AsWanted")}
    assert outcomes(fleet.run(name), name) == {ADMIN: ("skipped", "AsWanted")}
    assert fleet.changes() == []
    assert len(fleet.emulator.calls("guardduty")) == 3


def test_only_what_differs_is_changed_in_the_organization(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    fleet.delegated()
    options: dict[str, Any] = {
        "management": STRANGER,
        "administrator": ADMIN,
        "auto-enable": "NEW",
        "features": {"S3_DATA_EVENTS": "ALL"},
        "runtime-agents": {"ECS_FARGATE_AGENT_MANAGEMENT": "NEW"},
    }
    options["features"]["RUNTIME_MONITORING"] = "NEW"
    fleet.run(acting("organization", **options))
    options["features"]["EKS_AUDIT_LOGS"] = "NEW"
    fleet.run(acting("organization", **options))
    first, second = fleet.emulator.calls("guardduty", "UpdateOrganizationConfiguration")
    assert first.params == {
        "autoEnableOrganizationMembers": "NEW",
        "features": [
            {"name": "S3_DATA_EVENTS", "autoEnable": "ALL"},
            {
                "name": "RUNTIME_MONITORING",
                "autoEnable": "NEW",
                "additionalConfiguration": [
                    {"name": "ECS_FARGATE_AGENT_MANAGEMENT", "autoEnable": "NEW"}
                ],
            },
        ],
    }
    assert second.params["features"] == [{"name": "EKS_AUDIT_LOGS", "autoEnable": "NEW"}]
    assert fleet.statuses() == {}


def test_another_delegated_administrator_is_never_replaced(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    fleet.client(STRANGER).enable_organization_admin_account(AdminAccountId=ANNA)
    fleet.emulator.clear_calls()
    name = "guardduty-organization"
    run = fleet.run(name, STRANGER)
    assert outcomes(run, name) == {STRANGER: ("skipped", "OtherAdministrator")}
    assert ANNA in run.action(name)["results"][0]["reason"]
    assert fleet.changes() == []


def test_an_administrator_that_is_not_registered_configures_nothing(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    name = "guardduty-organization"
    assert outcomes(fleet.run(name), name) == {ADMIN: ("skipped", "NoDetector")}
    fleet.detector(ADMIN)
    assert outcomes(fleet.run(name), name) == {ADMIN: ("failed", "BadRequestException")}


def test_a_management_account_may_be_the_administrator(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    options = {"management": STRANGER, "administrator": STRANGER, "auto-enable": "ALL"}
    codes = []
    for _ in range(3):
        run = fleet.run(acting("organization", **options), STRANGER)
        codes.append(outcomes(run, "guardduty-organization")[STRANGER])
    assert codes == [("changed", "Registered"), ("changed", "Configured"), ("skipped", "AsWanted")]


def test_a_dry_run_of_the_organization_changes_nothing(fleet: Fleet) -> None:
    fleet.organization(ANNA)
    (row,) = plan(fleet.run("guardduty-organization", STRANGER, dryrun=True))
    assert row["would"] == [{"call": "enable_organization_admin_account", "AdminAccountId": ADMIN}]
    assert fleet.changes() == []


# --- export -------------------------------------------------------------------------------------


@pytest.fixture
def bucket(emulator: Emulator) -> None:
    emulator.client("s3", ADMIN, REGION).create_bucket(Bucket="acme-findings")


def destination(fleet: Fleet) -> dict[str, Any]:
    client, where = fleet.client(ADMIN), {"DetectorId": fleet.detector(ADMIN)}
    (row,) = client.list_publishing_destinations(**where)["Destinations"]
    found: dict[str, Any] = client.describe_publishing_destination(
        **where, DestinationId=row["DestinationId"]
    )
    return found


def test_findings_are_exported_to_the_bucket_and_again_nothing_is_changed(
    fleet: Fleet, bucket: None
) -> None:
    fleet.detector(ADMIN)
    run = fleet.run("guardduty-export")
    assert outcomes(run, "guardduty-export") == {ADMIN: ("changed", "Created")}
    assert destination(fleet)["DestinationProperties"] == {
        "DestinationArn": VARIABLES["guardduty_bucket"],
        "KmsKeyArn": VARIABLES["guardduty_key"],
    }
    fleet.emulator.clear_calls()
    again = fleet.run("guardduty-export")
    assert outcomes(again, "guardduty-export") == {ADMIN: ("skipped", "PUBLISHING")}
    assert fleet.changes() == []


def test_another_bucket_or_key_replaces_the_old_one(fleet: Fleet, bucket: None) -> None:
    fleet.detector(ADMIN)
    fleet.run("guardduty-export")
    key = VARIABLES["guardduty_key"].replace("0f6b", "1f6b")
    options = {"bucket": "arn:aws:s3:::acme-findings/other", "kms-key": key}
    run = fleet.run(acting("export", **options))
    assert outcomes(run, "guardduty-export") == {ADMIN: ("changed", "Updated")}
    assert destination(fleet)["DestinationProperties"]["KmsKeyArn"] == key


def test_a_destination_that_cannot_be_published_to_is_reported_with_its_status(
    fleet: Fleet, bucket: None
) -> None:
    fleet.detector(ADMIN)
    fleet.run("guardduty-export")
    found = destination(fleet)
    broken = "UNABLE_TO_PUBLISH_FIX_DESTINATION_PROPERTY"
    row = {
        key: found[key]
        for key in (
            "DestinationId",
            "DestinationType",
            "DestinationProperties",
            "PublishingFailureStartTimestamp",
        )
    }
    row["Status"] = broken
    fleet.emulator.seed("guardduty", ADMIN, REGION, "destinations", {row["DestinationId"]: row})
    run = fleet.run("guardduty-export")
    assert outcomes(run, "guardduty-export") == {ADMIN: ("failed", broken)}


def test_nothing_is_exported_where_guardduty_is_off_or_the_bucket_is_missing(fleet: Fleet) -> None:
    assert outcomes(fleet.run("guardduty-export"), "guardduty-export") == {
        ADMIN: ("skipped", "NoDetector")
    }
    fleet.detector(ADMIN)
    assert outcomes(fleet.run("guardduty-export"), "guardduty-export") == {
        ADMIN: ("failed", "BadRequestException")
    }


def test_a_dry_run_of_the_export_changes_nothing(fleet: Fleet, bucket: None) -> None:
    fleet.detector(ADMIN)
    fleet.emulator.clear_calls()
    (row,) = plan(fleet.run("guardduty-export", dryrun=True))
    assert row["would"][0]["DestinationProperties"]["KmsKeyArn"] == VARIABLES["guardduty_key"]
    assert fleet.changes() == []
