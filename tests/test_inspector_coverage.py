"""The inspector-coverage filter: what Inspector scans, and why not the rest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from c7n.exceptions import PolicyValidationError

from tests.harness import ACCOUNT, REGION
from tests.inspector_data import NOW, launch, policy, validate


def ids(run):
    return sorted(resource["InstanceId"] for resource in run.resources)


def package(instance, status="ACTIVE", reason="SUCCESSFUL", **more):
    return {
        "resourceId": instance,
        "scanType": "PACKAGE",
        "scanStatus": {"statusCode": status, "reason": reason},
        **more,
    }


def test_an_instance_that_inspector_does_not_scan_is_found_with_the_reason(emulator, custodian):
    launch(emulator)
    (unmanaged,) = launch(emulator, managed=False)
    run = custodian("ec2-unscanned")
    assert ids(run) == [unmanaged]
    (row,) = run.resources[0]["c7n:InspectorCoverage"]
    assert row["scanStatus"]["reason"] == "UNMANAGED_EC2_INSTANCE"


def test_an_instance_without_any_row_is_absent(emulator, custodian):
    covered, absent = launch(emulator, 2)
    emulator.set_coverage(ACCOUNT, REGION, [{"resourceId": absent, "absent": True}])
    run = custodian("ec2-unscanned")
    assert ids(run) == [absent]
    assert run.resources[0]["c7n:InspectorCoverage"] == []
    run = custodian(policy({"type": "inspector-coverage", "status": ["INACTIVE"]}))
    assert ids(run) == []
    assert covered != absent


def test_reason_and_status_must_hold_for_the_same_row(emulator, custodian):
    stale, other = launch(emulator, 2)
    emulator.set_coverage(
        ACCOUNT,
        REGION,
        [package(stale, "INACTIVE", "STALE_INVENTORY"), package(other, "INACTIVE", "NO_INVENTORY")],
    )
    block = {"type": "inspector-coverage", "status": ["INACTIVE"], "reason": ["STALE_INVENTORY"]}
    assert ids(custodian(policy(block))) == [stale]
    assert ids(custodian(policy({**block, "status": ["ACTIVE"]}))) == []


def test_a_scan_of_another_type_does_not_count(emulator, custodian):
    (instance,) = launch(emulator)
    emulator.set_coverage(ACCOUNT, REGION, [package(instance, "INACTIVE", "NO_INVENTORY")])
    block = {"type": "inspector-coverage", "status": ["INACTIVE"]}
    assert ids(custodian(policy({**block, "scan-type": ["NETWORK"]}))) == []
    assert ids(custodian(policy({**block, "scan-type": ["PACKAGE"]}))) == [instance]


@pytest.mark.parametrize(
    ("op", "days", "matched"),
    [("gt", 3, True), ("gt", 5, False), ("lt", 5, True), ("lt", 3, False)],
)
def test_the_age_of_the_last_scan_is_compared(emulator, custodian, op, days, matched):
    (instance,) = launch(emulator)
    scanned = (NOW - timedelta(days=4)).isoformat()
    emulator.set_coverage(ACCOUNT, REGION, [package(instance, lastScannedAt=scanned)])
    run = custodian(
        policy(
            {
                "type": "inspector-coverage",
                "scan-type": ["PACKAGE"],
                "last-scanned": {"op": op, "days": days},
            }
        )
    )
    assert ids(run) == ([instance] if matched else [])


def test_a_refused_coverage_is_reported_and_proves_no_absence(emulator, custodian):
    instances = launch(emulator, 3)
    emulator.fault(
        "inspector2", "ListCoverage", code="AccessDeniedException", status=403, times=None
    )
    run = custodian("ec2-unscanned")
    assert run.resources == []
    assert sorted(r["resource"] for r in run.not_evaluated) == sorted(instances)


def test_many_instances_cost_one_page(emulator, custodian):
    launch(emulator, 60)
    emulator.clear_calls()
    custodian("ec2-unscanned")
    assert len(emulator.calls("inspector2")) == 1


def test_a_filter_that_asks_nothing_is_an_error():
    with pytest.raises(PolicyValidationError, match="needs one of status, reason, absent"):
        validate(policy({"type": "inspector-coverage", "scan-type": ["PACKAGE"]}))


def test_inside_not_it_is_refused_with_the_way_to_say_it():
    with pytest.raises(PolicyValidationError, match="with absent: true"):
        validate(policy({"not": [{"type": "inspector-coverage", "status": ["ACTIVE"]}]}))
