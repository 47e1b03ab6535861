"""The policies around containment: what is unfinished, pending snapshots, and the way back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.harness import REGION, Custodian
from tests.incident_scene import (
    BUCKET,
    CASE,
    FORENSICS,
    WORKLOAD,
    account,
    assume,
    case_of,
    changes,
    evidence,
    is_contained,
    launch,
    tags_of,
)

Vars = dict[str, Any]
REQUESTED, APPROVED = "c7n-secops:release-requested", "c7n-secops:release-approved"


@pytest.fixture
def made(emulator: Emulator) -> Vars:
    """A workload and a forensics account as the templates make them; the policies' vars."""
    variables = evidence(emulator)
    account(emulator, variables)
    return variables


def contain(custodian: Custodian, made: Vars, instance: str) -> None:
    variables = {**made, "instances": [instance], "case": CASE}
    custodian("ec2-contain-instance", account=WORKLOAD, vars=variables)


def tag(who: Any, instance: str, **tags: str) -> None:
    marks = [{"Key": f"c7n-secops:{key.replace('_', '-')}", "Value": tags[key]} for key in tags]
    who.create_tags(Resources=[instance], Tags=marks)


def person(emulator: Emulator, role: str) -> Any:
    """An EC2 client of one who acts in a role."""
    session = assume(emulator, f"arn:aws:iam::{WORKLOAD}:role/{role}")
    return session.client("ec2", endpoint_url=emulator.url)


def interfaces(emulator: Emulator, instance: str) -> dict[str, list[str]]:
    rows = emulator.client("ec2", WORKLOAD, REGION).describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["NetworkInterfaces"]
    return {
        row["NetworkInterfaceId"]: sorted(group["GroupId"] for group in row["Groups"])
        for row in rows
    }


def protected(emulator: Emulator, instance: str) -> bool:
    answer = emulator.client("ec2", WORKLOAD, REGION).describe_instance_attribute(
        InstanceId=instance, Attribute="disableApiTermination"
    )
    return bool(answer["DisableApiTermination"]["Value"])


# --- what is unfinished --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags, matched",
    [
        ({"c7n_secops_state": "capturing"}, 1),
        ({"c7n_secops_state": "partial"}, 1),
        ({"c7n_secops_state": "contained"}, 0),
        ({"c7n_secops_state": "released"}, 0),
        ({}, 0),
    ],
)
def test_what_is_stuck_or_contained_in_part_is_reported(
    emulator: Emulator, custodian: Custodian, tags: dict[str, str], matched: int
) -> None:
    launch(emulator, **tags)
    emulator.clear_calls()
    run = custodian("ec2-containment-unfinished", account=WORKLOAD)
    assert len(run.resources) == matched
    assert changes(emulator) == set()


def test_a_containment_that_a_denied_call_left_partial_is_reported_and_then_finished(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    emulator.fault("ec2", "CreateSnapshots", code="UnauthorizedOperation", status=403, times=None)
    contain(custodian, made, instance)
    assert is_contained(emulator, instance)
    run = custodian("ec2-containment-unfinished", account=WORKLOAD)
    assert [row["InstanceId"] for row in run.resources] == [instance]
    emulator.clear_faults()
    contain(custodian, made, instance)
    assert custodian("ec2-containment-unfinished", account=WORKLOAD).resources == []
    assert case_of(emulator, instance)["steps"]["snapshots"] == "done"


# --- pending snapshots ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "states, mark", [(["pending", "completed"], "done"), (["pending", "error"], "error")]
)
def test_snapshots_that_were_pending_are_finished_later_and_never_taken_twice(
    emulator: Emulator, custodian: Custodian, made: Vars, states: list[str], mark: str
) -> None:
    (instance,) = launch(emulator)
    seed = ("ec2", WORKLOAD, REGION, "snapshot_states")
    emulator.seed(*seed, {"*": states[0]})
    contain(custodian, made, instance)
    assert is_contained(emulator, instance)
    assert tags_of(emulator, instance)["c7n-secops:state"] == "contained"
    assert tags_of(emulator, instance)["c7n-secops:snapshots"] == "pending"

    run = custodian("ec2-finish-snapshots", account=WORKLOAD, vars=made)
    assert [row["InstanceId"] for row in run.resources] == [instance]
    assert tags_of(emulator, instance)["c7n-secops:snapshots"] == "pending"

    emulator.seed(*seed, {"*": states[1]})
    custodian("ec2-finish-snapshots", account=WORKLOAD, vars=made)
    tags = tags_of(emulator, instance)
    assert (tags["c7n-secops:snapshots"], tags["c7n-secops:state"]) == (mark, "contained")
    assert len(emulator.calls("ec2", "CreateSnapshots")) == 1
    assert custodian("ec2-finish-snapshots", account=WORKLOAD, vars=made).resources == []


def test_the_schedule_starts_the_function_that_finishes_snapshots(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    seed = ("ec2", WORKLOAD, REGION, "snapshot_states")
    emulator.seed(*seed, {"*": "pending"})
    contain(custodian, made, instance)
    emulator.seed(*seed, {"*": "completed"})
    custodian("ec2-finish-snapshots", account=WORKLOAD, vars=made, deploy=True)
    function = "custodian-ec2-finish-snapshots"
    assert emulator.fire_schedule(WORKLOAD, REGION, function) == 1
    (result,) = emulator.wait_for_lambda(WORKLOAD, REGION, function)
    assert result["error"] is None, result["log"]
    assert tags_of(emulator, instance)["c7n-secops:snapshots"] == "done"


# --- release -------------------------------------------------------------------------------------


def test_two_people_release_what_was_contained(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    before = interfaces(emulator, instance)
    contain(custodian, made, instance)
    assert (is_contained(emulator, instance), protected(emulator, instance)) == (True, True)

    responder = person(emulator, "c7n-secops-incident-response")
    tag(responder, instance, contain="yes", release_requested=CASE)
    assert custodian("ec2-release", account=WORKLOAD, vars=made).resources == []
    tag(person(emulator, "CloudCustodian"), instance, release_approved=CASE)
    assert len(custodian("ec2-release-agreed", account=WORKLOAD).resources) == 1

    run = custodian("ec2-release", account=WORKLOAD, vars=made)
    assert run.action("release-instance")["counts"] == {"released": 1}
    assert interfaces(emulator, instance) == before
    assert not protected(emulator, instance)
    tags = tags_of(emulator, instance)
    assert tags["c7n-secops:state"] == "released"
    assert not {REQUESTED, APPROVED, "c7n-secops:contain"} & tags.keys()
    assert custodian("ec2-release", account=WORKLOAD, vars=made).resources == []


@pytest.mark.parametrize("approver", ["c7n-secops-incident-response", None])
def test_one_person_releases_nothing(
    emulator: Emulator, custodian: Custodian, made: Vars, approver: str | None
) -> None:
    (instance,) = launch(emulator)
    contain(custodian, made, instance)
    tag(person(emulator, "c7n-secops-incident-response"), instance, release_requested=CASE)
    if approver:
        tag(person(emulator, approver), instance, release_approved=CASE)
    assert custodian("ec2-release", account=WORKLOAD, vars=made).resources == []
    assert is_contained(emulator, instance)


def test_a_release_that_fails_keeps_the_request_and_the_containment(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    contain(custodian, made, instance)
    tag(person(emulator, "c7n-secops-incident-response"), instance, release_requested=CASE)
    tag(person(emulator, "CloudCustodian"), instance, release_approved=CASE)
    emulator.fault("s3", "*", code="AccessDenied", status=403, times=None)
    with pytest.raises(Exception, match="release-instance"):
        custodian("ec2-release", account=WORKLOAD, vars=made)
    assert is_contained(emulator, instance)
    assert {REQUESTED, APPROVED} <= tags_of(emulator, instance).keys()


def test_a_released_instance_can_be_contained_again_as_another_case(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    contain(custodian, made, instance)
    tag(person(emulator, "c7n-secops-incident-response"), instance, release_requested=CASE)
    tag(person(emulator, "CloudCustodian"), instance, release_approved=CASE)
    custodian("ec2-release", account=WORKLOAD, vars=made)
    assert not is_contained(emulator, instance)
    tag(person(emulator, "CloudCustodian"), instance, case="INC-43", contain="yes")
    custodian("ec2-contain-tagged", account=WORKLOAD, vars=made)
    assert is_contained(emulator, instance)
    assert case_of(emulator, instance, "INC-43")["outcome"] == "contained"


def test_the_ledger_in_the_forensics_account_tells_each_step(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    before = interfaces(emulator, instance)
    contain(custodian, made, instance)
    s3 = emulator.client("s3", FORENSICS, REGION)
    prefix = f"cases/{CASE}/{WORKLOAD}/{REGION}/{instance}/ledger/"
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    records = {
        key.removeprefix(prefix): json.load(s3.get_object(Bucket=BUCKET, Key=key)["Body"])
        for key in keys
    }
    assert records["70-contain.json"]["before"] == before
    assert records["70-contain.json"]["after"] == interfaces(emulator, instance)
    assert records["70-contain.json"]["requests"]
    assert all(row["status"] == "done" for name, row in records.items() if "prior" not in name)
