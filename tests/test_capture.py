"""Taking evidence: what is kept, where, how often, and what is said of what could not be taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError

from tests.emulator import Emulator
from tests.harness import Custodian
from tests.ir_scene import CASE, FORENSICS, REGION, WORKLOAD, Scene, by_instance, policy

ACTION = "capture-evidence"
KEY = f"arn:aws:kms:{REGION}:{FORENSICS}:alias/evidence"


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator).build()


def capture(scene: Scene, *filters: Any, **keys: Any) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in keys.items()}
    return policy({"type": ACTION, "case-id": CASE, **scene.store, **named}, *filters)


def result_of(custodian: Custodian, data: dict[str, Any], name: str) -> dict[str, Any]:
    return by_instance(custodian(data), ACTION)[name]


def states(emulator: Emulator, account: str = WORKLOAD, **by_id: str) -> None:
    """Let snapshots be in these states; ``every`` stands for those that are not named."""
    named = {name.replace("_", "-"): state for name, state in by_id.items()}
    named["*"] = named.pop("every", "completed")
    emulator.seed("ec2", account, REGION, "snapshot_states", named)


# --- what is kept -------------------------------------------------------------------------------


def test_all_of_it_is_put_into_the_other_account_s_bucket_with_its_hashes(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch(UserData="export SECRET=1")
    before = scene.instance(name)
    emulator.clear_calls()
    result = result_of(custodian, capture(scene), name)
    assert result == {
        "InstanceId": name,
        "case": CASE,
        "outcome": "captured",
        "steps": {"evidence": "done", "snapshots": "done"},
    }
    assert {call.account for call in emulator.calls("s3")} == {FORENSICS}
    manifest = scene.check_manifest(name)
    assert manifest["outcome"] == "captured"
    found = scene.read(name, "evidence/instance.json")
    assert found["Instance"]["InstanceId"] == name
    assert found["NetworkInterfaces"][0]["Attachment"]["InstanceId"] == name
    assert found["Attributes"]["DisableApiTermination"] is False
    assert "UserData" not in found
    contents = scene.contents(name)
    assert b"Linux version" in contents["evidence/console.txt"]
    assert contents["evidence/screenshot.jpg"].startswith(b"\xff\xd8")
    assert scene.tags(name) == {
        "Name": "host",
        "c7n-secops:case": CASE,
        "c7n-secops:snapshots": "done",
    }
    after = scene.instance(name)
    assert {**after, "Tags": []} == {**before, "Tags": []}


def test_every_object_is_retained_and_encrypted_under_the_given_key(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    custodian(capture(scene, prefix="ir/open"))
    rows = scene.s3.list_objects_v2(Bucket=scene.bucket)["Contents"]
    assert len(rows) == 7
    for row in rows:
        assert row["Key"].startswith(f"ir/open/{CASE}/{WORKLOAD}/{REGION}/{name}/")
        head = scene.s3.head_object(Bucket=scene.bucket, Key=row["Key"], ChecksumMode="ENABLED")
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert (head["ObjectLockRetainUntilDate"] - head["LastModified"]).days in (29, 30)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY)
        assert head["ChecksumSHA256"]


def test_only_what_is_listed_is_collected(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch(UserData="export SECRET=1")
    emulator.clear_calls()
    custodian(capture(scene, collect=["user-data"]))
    assert scene.read(name, "evidence/instance.json") == {"UserData": "ZXhwb3J0IFNFQ1JFVD0x"}
    assert scene.snapshots() == []
    made = {call.operation for call in emulator.calls(account=WORKLOAD)}
    assert not made & {"GetConsoleOutput", "GetConsoleScreenshot", "CreateSnapshots"}
    assert "c7n-secops:snapshots" not in scene.tags(name)


def test_a_piece_that_is_refused_does_not_stop_the_others_and_is_taken_later(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault(
        "ec2", "GetConsoleScreenshot", code="UnauthorizedOperation", status=403, times=None
    )
    result = result_of(custodian, capture(scene), name)
    assert (result["outcome"], result["code"]) == ("partial", "StepFailed")
    assert "screenshot.jpg: " in result["reason"]
    assert "UnauthorizedOperation" in result["reason"]
    assert "evidence/console.txt" in scene.objects(name)

    emulator.clear_faults()
    emulator.clear_calls()
    assert result_of(custodian, capture(scene), name)["outcome"] == "captured"
    assert "evidence/screenshot.jpg" in scene.objects(name)
    assert not emulator.calls("ec2", "GetConsoleOutput")
    scene.check_manifest(name)


def test_on_error_abort_makes_the_instance_fail(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    scene.launch()
    emulator.fault("ec2", "GetConsoleOutput", code="UnauthorizedOperation", status=403, times=None)
    with pytest.raises(PolicyExecutionError, match="on-error is abort"):
        custodian(capture(scene, on_error="abort"))


# --- the bucket ---------------------------------------------------------------------------------


def test_without_a_retention_of_either_side_nothing_is_done(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    data = capture(scene)
    del data["actions"][0]["retention"]
    with pytest.raises(PolicyExecutionError, match="set retention"):
        custodian(data)
    assert scene.objects(name) == []
    scene.s3.put_object_lock_configuration(
        Bucket=scene.bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 5}},
        },
    )
    assert result_of(custodian, data, name)["outcome"] == "captured"


def test_a_role_that_cannot_be_assumed_is_told_before_anything_is_done(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    role = f"arn:aws:iam::{FORENSICS}:role/gone"
    with pytest.raises(PolicyExecutionError, match="nothing was changed: assume_role"):
        custodian(capture(scene, role=role))
    assert scene.tags(name) == {"Name": "host"}


def test_a_bucket_of_the_own_account_needs_no_role(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, forensics=WORKLOAD).build()
    (name,) = scene.launch()
    data = capture(scene)
    del data["actions"][0]["role"]
    assert result_of(custodian, data, name)["outcome"] == "captured"
    assert not emulator.calls("sts", "AssumeRole")


# --- snapshots ----------------------------------------------------------------------------------


def test_snapshots_are_made_once_with_the_case_in_their_tags(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    disks = [
        {"DeviceName": device, "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}
        for device in ("/dev/sda1", "/dev/sdf", "/dev/sdg")
    ]
    (name,) = scene.launch(BlockDeviceMappings=disks)
    custodian(capture(scene))
    custodian(capture(scene))
    assert len(emulator.calls("ec2", "CreateSnapshots")) == 1
    snapshots = scene.snapshots()
    assert len({row["VolumeId"] for row in snapshots}) == len(snapshots) == 3
    for row in snapshots:
        tags = {mark["Key"]: mark["Value"] for mark in row["Tags"]}
        assert (tags["c7n-secops:case"], tags["c7n-secops:instance"]) == (CASE, name)


def test_an_answer_that_is_lost_makes_no_second_snapshot(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault("ec2", "CreateSnapshots", kind="crash", when="after")
    assert result_of(custodian, capture(scene), name)["outcome"] == "captured"
    assert len(scene.snapshots()) == len(emulator.calls("ec2", "CreateSnapshots")) == 1


def test_a_throttled_call_is_made_again(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault("ec2", "CreateSnapshots", code="RequestLimitExceeded", status=503)
    assert result_of(custodian, capture(scene), name)["outcome"] == "captured"
    assert len(emulator.calls("ec2", "CreateSnapshots")) == 2


def test_the_boot_volume_can_be_left_out(scene: Scene, custodian: Custodian) -> None:
    disks = [
        {"DeviceName": device, "Ebs": {"VolumeSize": 8, "VolumeType": "gp3"}}
        for device in ("/dev/sda1", "/dev/sdf")
    ]
    (name,) = scene.launch(BlockDeviceMappings=disks)
    (plain,) = scene.launch()
    results = by_instance(custodian(capture(scene, snapshots={"exclude-boot": True})), ACTION)
    by_device = {
        row["DeviceName"]: row["Ebs"]["VolumeId"]
        for row in scene.instance(name)["BlockDeviceMappings"]
    }
    assert [row["VolumeId"] for row in scene.snapshots()] == [by_device["/dev/sdf"]]
    assert results[plain]["steps"]["snapshots"] == "skipped"
    assert "no EBS volume" in results[plain]["reason"]


def test_snapshots_are_locked_and_shared_at_once_and_copied_when_they_are_complete(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    states(emulator, every="pending")
    options = {"share-with": ["333333333333"], "copy-key": KEY, "lock-days": 7}
    data = capture(scene, snapshots=options)
    result = result_of(custodian, data, name)
    assert (result["outcome"], result["steps"]["snapshots"]) == ("captured", "pending")
    assert scene.tags(name)["c7n-secops:snapshots"] == "pending"
    (snapshot,) = (row["SnapshotId"] for row in scene.snapshots())
    shared = scene.ec2.describe_snapshot_attribute(
        SnapshotId=snapshot, Attribute="createVolumePermission"
    )["CreateVolumePermissions"]
    assert sorted(row["UserId"] for row in shared) == [FORENSICS, "333333333333"]
    (lock,) = emulator.calls("ec2", "LockSnapshot")
    assert (lock.params["LockMode"], lock.params["LockDuration"]) == ("governance", "7")
    assert not emulator.calls("ec2", "CopySnapshot")

    states(emulator, every="completed")
    states(emulator, FORENSICS, every="pending")
    finish = capture(scene, case_id="{case}", collect=["snapshots"], snapshots=options)
    assert result_of(custodian, finish, name)["steps"]["snapshots"] == "pending"
    assert result_of(custodian, finish, name)["steps"]["snapshots"] == "pending"
    forensic = emulator.client("ec2", FORENSICS, REGION)
    (copy,) = forensic.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert copy["Encrypted"] is True
    assert {"Key": "c7n-secops:case", "Value": CASE} in copy["Tags"]

    states(emulator, FORENSICS, every="completed")
    assert result_of(custodian, finish, name)["steps"]["snapshots"] == "done"
    assert scene.tags(name)["c7n-secops:snapshots"] == "done"
    assert len(emulator.calls("ec2", "CopySnapshot")) == 1
    assert len(emulator.calls("ec2", "LockSnapshot")) == 1
    assert len(emulator.calls("ec2", "ModifySnapshotAttribute")) == 1
    record = scene.read(name, "ledger/30-snapshots.json")
    assert record["after"]["copies"] == {
        snapshot: {"SnapshotId": copy["SnapshotId"], "State": "completed"}
    }
    assert scene.check_manifest(name)["steps"] == {"evidence": "done", "snapshots": "done"}


def test_a_snapshot_in_state_error_is_a_failure(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    states(emulator, every="pending")
    custodian(capture(scene))
    (snapshot,) = (row["SnapshotId"] for row in scene.snapshots())
    states(emulator, every="error")
    result = result_of(custodian, capture(scene, collect=["snapshots"]), name)
    assert (result["outcome"], result["steps"]["snapshots"]) == ("partial", "failed")
    assert f"in state error: {snapshot}" in result["reason"]
    assert scene.tags(name)["c7n-secops:snapshots"] == "error"


# --- the case -----------------------------------------------------------------------------------


def test_the_case_is_named_after_the_event_that_reports_it(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    data = {
        **capture(scene, case_id="{finding_id}.{region}.{account_id}"),
        "mode": {
            "type": "eventbridge",
            "pattern": {"source": ["aws.guardduty"]},
            "ids": "detail.resource.instanceDetails.instanceId",
            "role": "arn:aws:iam::{account_id}:role/x",
        },
    }
    event = {
        "id": "e-1",
        "account": WORKLOAD,
        "region": REGION,
        "detail": {
            "id": "b0b1",
            "resource": {"instanceDetails": {"instanceId": name}},
        },
    }
    result = by_instance(custodian(data, event=event), ACTION)[name]
    assert result["case"] == f"b0b1.{REGION}.{WORKLOAD}"


def test_a_case_that_holds_the_instance_keeps_its_tags(scene: Scene, custodian: Custodian) -> None:
    (name,) = scene.launch(tags={"c7n-secops:case": "INC-0", "c7n-secops:state": "contained"})
    before = scene.tags(name)
    assert result_of(custodian, capture(scene), name)["outcome"] == "captured"
    assert scene.tags(name) == before


def test_a_dry_run_says_what_would_be_taken(scene: Scene, custodian: Custodian) -> None:
    (name,) = scene.launch()
    run = custodian(capture(scene, collect=["console"]), dryrun=True)
    assert json.loads((run.output / "plan.json").read_text()) == [
        {
            "action": f"action:{ACTION}",
            "InstanceId": name,
            "case": CASE,
            "bucket": scene.bucket,
            "collect": ["console"],
        }
    ]
    assert scene.objects(name) == []


def test_instances_are_worked_on_together_and_each_has_its_own_folder(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    names = scene.launch(12)
    run = custodian(capture(scene, case_id="{instance_id}-{date}"))
    assert run.action(ACTION)["counts"] == {"captured": 12}
    for name, row in by_instance(run, ACTION).items():
        assert row["case"].startswith(name)
        scene.check_manifest(name, row["case"])
    assert [row["InstanceId"] for row in run.action(ACTION)["results"]] == [
        row["InstanceId"] for row in run.resources
    ]
    assert len(names) == len(emulator.calls("ec2", "CreateSnapshots"))
