"""Releasing an instance: the prior state field by field, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError

from tests.emulator import Emulator
from tests.harness import Custodian
from tests.ir_scene import CASE, Scene, Suspect, by_instance, policy


def release(scene: Scene, **keys: Any) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in keys.items()}
    action = {"type": "release-instance", "case-id": CASE, "evidence": scene.store, **named}
    return policy(action)


def prior_state(suspect: Suspect) -> dict[str, Any]:
    """Every field that containment changes, with its value."""
    scene, name = suspect.scene, suspect.id
    instance = scene.instance(name)
    (address,) = scene.ec2.describe_addresses(AllocationIds=[suspect.address])["Addresses"]
    return {
        "interfaces": scene.interfaces(name),
        "profile": instance.get("IamInstanceProfile", {}).get("Arn"),
        "termination": scene.attribute(name, "disableApiTermination"),
        "stop": scene.attribute(name, "disableApiStop"),
        "shutdown": scene.attribute(name, "instanceInitiatedShutdownBehavior"),
        "volumes": {
            row["DeviceName"]: row["Ebs"]["DeleteOnTermination"]
            for row in instance["BlockDeviceMappings"]
        },
        "imds": instance["MetadataOptions"]["HttpEndpoint"],
        "address": (address.get("NetworkInterfaceId"), address.get("PrivateIpAddress")),
    }


def refused(custodian: Custodian, data: dict[str, Any], name: str) -> dict[str, Any]:
    """The result of an instance whose release fails the policy."""
    with pytest.raises(PolicyExecutionError):
        custodian(data)
    assert custodian.last is not None
    return by_instance(custodian.last, "release-instance")[name]


def test_what_was_contained_is_as_before_field_by_field(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    before = prior_state(suspect)
    custodian(suspect.policy())
    assert scene.is_contained(suspect.id)
    contained = prior_state(suspect)
    assert all(contained[key] != before[key] for key in before)

    result = by_instance(custodian(release(scene)), "release-instance")[suspect.id]
    assert result["outcome"] == "released"
    assert result["steps"] == {
        "restore-profile": "done",
        "restore-attributes": "done",
        "restore-imds": "done",
        "restore-eip": "done",
        "restore-groups": "done",
    }
    assert prior_state(suspect) == before
    assert scene.tags(suspect.id)["c7n-secops:state"] == "released"
    manifest = scene.check_manifest(suspect.id)
    assert manifest["outcome"] == "released"
    assert manifest["steps"]["contain"] == "done"
    assert scene.client("iam").list_role_policies(RoleName="web-role")["PolicyNames"] == [
        f"c7n-secops-revoke-{CASE}"
    ]


def test_reattach_and_remove_revocation_undo_the_rest(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    before = suspect.state()
    custodian(suspect.policy())
    run = custodian(release(scene, reattach={"asg": True, "elb": True}, remove_revocation=True))
    assert by_instance(run, "release-instance")[suspect.id]["outcome"] == "released"
    after = suspect.state()
    for key in ("asg", "role policies"):
        assert after[key] == before[key]
    assert [row["Target"] for row in after["targets"]] == [
        row["Target"] for row in before["targets"]
    ]


def test_an_instance_in_standby_leaves_it_again(emulator: Emulator, custodian: Custodian) -> None:
    suspect = Suspect(emulator)
    custodian(suspect.policy(detach={"asg": "standby", "replace": False}))
    assert [row["LifecycleState"] for row in suspect.state()["asg"]] == ["Standby"]
    custodian(release(suspect.scene, reattach={"asg": True}))
    assert [row["LifecycleState"] for row in suspect.state()["asg"]] == ["InService"]


def test_only_what_is_listed_is_restored(emulator: Emulator, custodian: Custodian) -> None:
    suspect = Suspect(emulator)
    before = prior_state(suspect)
    custodian(suspect.policy())
    custodian(release(suspect.scene, restore=["groups"]))
    after = prior_state(suspect)
    assert {key for key in before if after[key] == before[key]} == {"interfaces"}


def test_without_a_ledger_nothing_is_done(emulator: Emulator, custodian: Custodian) -> None:
    scene = Scene(emulator).build()
    (name,) = scene.launch(tags={"c7n-secops:case": CASE, "c7n-secops:state": "contained"})
    groups = scene.interfaces(name)
    emulator.clear_calls()
    result = refused(custodian, release(scene), name)
    assert (result["outcome"], result["code"]) == ("failed", "NoLedger")
    assert scene.interfaces(name) == groups
    assert scene.objects(name) == []
    assert scene.tags(name)["c7n-secops:state"] == "contained"


def test_where_a_group_is_gone_its_interface_stays_contained(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    first, second = suspect.before
    custodian(suspect.policy())
    (gone,) = suspect.before[second]
    scene.ec2.delete_security_group(GroupId=gone)
    contained = scene.interfaces(suspect.id)

    result = refused(custodian, release(scene, reattach={"elb": True}), suspect.id)
    assert result["outcome"] == "partial"
    assert f"{second}: its security group {gone} is gone" in result["reason"]
    assert result["steps"]["restore-groups"] == "failed"
    assert result["steps"]["reattach-elb"] == "skipped"
    assert scene.interfaces(suspect.id) == {
        first: suspect.before[first],
        second: contained[second],
    }
    assert scene.tags(suspect.id)["c7n-secops:state"] == "partial"
    emulator.clear_calls()
    assert refused(custodian, release(scene), suspect.id)["outcome"] == "partial"
    assert emulator.calls("ec2", "ModifyNetworkInterfaceAttribute") == []


def test_what_was_never_changed_is_not_touched(emulator: Emulator, custodian: Custodian) -> None:
    suspect = Suspect(emulator)
    before = prior_state(suspect)
    custodian(
        suspect.policy(protect=["volumes"], detach={"asg": "none", "eip": False}, imds="keep")
    )
    emulator.clear_calls()
    result = by_instance(custodian(release(suspect.scene)), "release-instance")[suspect.id]
    assert result["outcome"] == "released"
    assert prior_state(suspect) == before
    assert len(emulator.calls("ec2", "ModifyInstanceAttribute")) == 1
    assert not emulator.calls("ec2", "AssociateAddress")
    assert not emulator.calls("ec2", "ModifyInstanceMetadataOptions")


def test_an_address_that_is_used_elsewhere_by_now_is_not_taken_back(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    (other,) = scene.launch()
    interface = next(iter(scene.interfaces(other)))
    scene.ec2.associate_address(AllocationId=suspect.address, NetworkInterfaceId=interface)
    result = refused(
        custodian, {**release(scene), "filters": [{"InstanceId": suspect.id}]}, suspect.id
    )
    assert result["steps"]["restore-eip"] == "failed"
    assert result["steps"]["restore-groups"] == "done"
    (address,) = scene.ec2.describe_addresses(AllocationIds=[suspect.address])["Addresses"]
    assert address["NetworkInterfaceId"] == interface


def test_a_case_that_does_not_have_the_instance_cannot_release_it(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    data = release(scene)
    data["actions"][0]["case-id"] = "INC-2"
    assert refused(custodian, data, suspect.id)["code"] == "OtherCase"
    assert scene.is_contained(suspect.id)


def test_a_released_case_is_closed_and_a_new_one_contains_again(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    custodian(release(scene))
    again = by_instance(custodian(release(scene)), "release-instance")[suspect.id]
    assert (again["outcome"], again["code"]) == ("skipped", "Released")

    with pytest.raises(PolicyExecutionError, match="use a new case-id"):
        custodian(suspect.policy())
    assert scene.interfaces(suspect.id) == suspect.before
    assert scene.tags(suspect.id)["c7n-secops:state"] == "released"

    custodian(suspect.policy(**{"case-id": "INC-2"}))
    assert scene.is_contained(suspect.id)
    assert scene.tags(suspect.id)["c7n-secops:case"] == "INC-2"


def test_a_release_that_was_cut_short_goes_on(
    emulator: Emulator, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    suspect = Suspect(emulator)
    before = prior_state(suspect)
    custodian(suspect.policy())
    emulator.fault("ec2", "AssociateIamInstanceProfile", kind="crash", times=None)
    emulator.fault("ec2", "ModifyNetworkInterfaceAttribute", after=1, kind="crash", times=None)
    refused(custodian, release(suspect.scene), suspect.id)
    emulator.clear_faults()
    assert suspect.scene.tags(suspect.id)["c7n-secops:state"] == "partial"
    result = by_instance(custodian(release(suspect.scene)), "release-instance")[suspect.id]
    assert result["outcome"] == "released"
    assert prior_state(suspect) == before


def test_a_dry_run_releases_nothing_and_says_what_it_would_restore(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    custodian(suspect.policy())
    run = custodian(release(suspect.scene), dryrun=True)
    assert suspect.scene.is_contained(suspect.id)
    assert '"restore"' in (run.output / "plan.json").read_text()
