"""The filter on patch states, and the policies that finish patching with a reboot."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.ssm_fleet import find, launch, number_of_calls, policy, sent


def ago(**length: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**length)).isoformat()


def ids(run: Any) -> list[str]:
    return [resource["InstanceId"] for resource in run.resources]


def state(**keys: Any) -> dict[str, Any]:
    wanted = {key.replace("_", "-"): value for key, value in keys.items()}
    return {"type": "ssm-patch-state", **wanted}


LATER = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    "keys, match, near_miss",
    [
        ({"missing": {"value": 3}}, {"MissingCount": 3}, {"MissingCount": 2}),
        ({"missing": {"op": "lt", "value": 3}}, {"MissingCount": 2}, {"MissingCount": 3}),
        ({"failed": {"op": "gt", "value": 0}}, {"FailedCount": 1}, {"FailedCount": 0}),
        (
            {"installed_pending_reboot": {"op": "eq", "value": 2}},
            {"InstalledPendingRebootCount": 2},
            {"InstalledPendingRebootCount": 3},
        ),
        ({"other": {"value": 9}}, {"InstalledOtherCount": 9}, {"InstalledOtherCount": 8}),
        (
            {"critical-non-compliant": {"value": 1}},
            {"CriticalNonCompliantCount": 1},
            {"CriticalNonCompliantCount": 0},
        ),
        (
            {"security-non-compliant": {"op": "ne", "value": 0}},
            {"SecurityNonCompliantCount": 1},
            {"SecurityNonCompliantCount": 0},
        ),
        (
            {"age": {"op": "gt", "days": 7}},
            {"OperationEndTime": ago(days=8)},
            {"OperationEndTime": ago(days=6)},
        ),
        (
            {"pending_reboot": True},
            {"InstalledPendingRebootCount": 1, "OperationEndTime": LATER},
            {"InstalledPendingRebootCount": 1, "OperationEndTime": ago(hours=1)},
        ),
        (
            {"pending_reboot": False},
            {"InstalledPendingRebootCount": 0, "OperationEndTime": LATER},
            {"InstalledPendingRebootCount": 1, "OperationEndTime": LATER},
        ),
        (
            {"missing": {"value": 1}, "failed": {"value": 1}},
            {"MissingCount": 1, "FailedCount": 1},
            {"MissingCount": 1, "FailedCount": 0},
        ),
        ({}, {"MissingCount": 0}, None),
        ({"absent": True}, None, {"MissingCount": 0}),
        ({"absent": False}, {"MissingCount": 0}, None),
    ],
)
def test_what_matches_and_what_just_does_not(
    emulator: Emulator, custodian: Custodian, keys: Any, match: Any, near_miss: Any
) -> None:
    wanted, other = launch(emulator, 2)
    for name, fields in ((wanted, match), (other, near_miss)):
        if fields is not None:
            emulator.set_patch_state(ACCOUNT, REGION, name, **fields)
    assert ids(custodian(policy(None, state(**keys)))) == [wanted]


def test_an_instance_that_was_never_scanned_is_neither_clean_nor_a_match(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    run = custodian(policy(None, state(missing={"op": "eq", "value": 0})))
    assert run.resources == []
    assert [(row["resource"], row["code"]) for row in run.not_evaluated] == [(name, "NeverScanned")]
    assert "never scanned by Patch Manager" in run.not_evaluated[0]["reason"]
    assert custodian(policy(None, state(absent=True))).not_evaluated == []


def test_a_number_that_aws_does_not_report_is_not_zero(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.set_patch_state(ACCOUNT, REGION, name, MissingCount=0)
    run = custodian(policy(None, state(critical_non_compliant={"op": "eq", "value": 0})))
    assert run.resources == []
    assert [row["code"] for row in run.not_evaluated] == ["NotReported"]


def test_the_annotation_is_aws_row_or_its_absence(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    assert custodian("ec2-never-scanned-for-patches").resources[0]["c7n:SsmPatchState"] == {
        "absent": True
    }
    emulator.set_patch_state(ACCOUNT, REGION, name, FailedCount=2)
    (resource,) = custodian("ec2-patch-failed").resources
    assert resource["c7n:SsmPatchState"]["FailedCount"] == 2
    emulator.set_patch_state(ACCOUNT, REGION, name, OperationEndTime=ago(days=8))
    assert custodian("ec2-patch-failed").resources == []


def test_fifty_instances_are_one_call(emulator: Emulator, custodian: Custodian) -> None:
    names = launch(emulator, 51)
    emulator.client("ssm").send_command(
        DocumentName="AWS-RunPatchBaseline",
        Targets=[{"Key": "tag:made-by", "Values": ["test"]}],
        Parameters={"Operation": ["Scan"]},
    )
    assert sorted(ids(custodian(policy(None, state())))) == sorted(names)
    assert number_of_calls(emulator, "DescribeInstancePatchStates") == 2


@pytest.mark.parametrize("keys", [{"absent": True}, {"missing": {"value": 0}}])
@pytest.mark.parametrize(
    "fault", [{"code": "AccessDeniedException"}, {}], ids=["denied", "throttled"]
)
def test_a_refused_read_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian, fault: dict[str, str], keys: dict[str, Any]
) -> None:
    (name,) = launch(emulator)
    emulator.set_patch_state(ACCOUNT, REGION, name, MissingCount=1)
    emulator.fault("ssm", "DescribeInstancePatchStates", times=None, **fault)
    run = custodian(policy(None, state(**keys)))
    assert run.resources == []
    assert [row["resource"] for row in run.not_evaluated] == [name]


@pytest.mark.parametrize(
    "condition, says",
    [
        ({"not": [state(missing={"value": 0})]}, "cannot be inside not"),
        (state(absent=True, missing={"value": 0}), "have no missing"),
        (state(missing={"op": "gt"}), "missing"),
        (state(missing={"value": -1}), "missing"),
        (state(missing={"value": 1, "unit": 1}), "unit"),
        (state(age={"op": "eq", "days": 1}), "age"),
        (state(reboot=True), "reboot"),
        (state(pending_reboot="yes"), "pending-reboot"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    custodian: Custodian, condition: dict[str, Any], says: str
) -> None:
    with pytest.raises(PolicyValidationError, match="ssm-patch-state") as error:
        custodian(policy(None, condition))
    assert says in str(error.value)


def test_from_the_finding_to_the_reboot(emulator: Emulator, custodian: Custodian) -> None:
    (allowed,) = launch(emulator, 1, tags={"patch-reboot": "allowed"})
    (kept,) = launch(emulator, 1, tags={"patch-reboot": "never"})
    for name in (allowed, kept):
        find(emulator, name)
    custodian("ec2-patch-critical")
    assert sorted(ids(custodian("ec2-reboot-pending"))) == sorted([allowed, kept])

    assert ids(custodian("ec2-reboot-window", dryrun=True)) == [allowed]
    assert emulator.calls("ec2", "RebootInstances") == []
    assert ids(custodian("ec2-scan-after-reboot", dryrun=True)) == [allowed]
    custodian("ec2-reboot-window")
    assert [call.status for call in emulator.calls("ec2", "RebootInstances")] == [200]
    assert ids(custodian("ec2-reboot-pending")) == [kept]


def test_the_scan_after_the_reboot_is_sent_to_those_that_allow_it(
    emulator: Emulator, custodian: Custodian
) -> None:
    (allowed,) = launch(emulator, 1, tags={"patch-reboot": "allowed"})
    (kept,) = launch(emulator)
    for name in (allowed, kept):
        emulator.set_patch_state(ACCOUNT, REGION, name, InstalledPendingRebootCount=1)
    custodian("ec2-scan-after-reboot")
    (command,) = sent(emulator)
    assert command["InstanceIds"] == [allowed]
    assert command["Parameters"]["Operation"] == ["Scan"]
