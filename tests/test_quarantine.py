"""Containing instances: what is done to each kind, what is said of it, and what is left alone."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from c7n.exceptions import PolicyExecutionError, PolicyValidationError

from c7n_secops import deadline
from c7n_secops_response.actions.quarantine_instance import QuarantineInstance
from tests.emulator import Emulator
from tests.harness import Cli, Custodian
from tests.ir_scene import CASE, REGION, WORKLOAD, Scene, Suspect, by_instance, policy, wait_for

ACTION = "quarantine-instance"


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator).build()


def contain(scene: Scene, *filters: Any, **keys: Any) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in keys.items()}
    evidence = {**scene.store, **named.pop("evidence", {})}
    action = {"type": ACTION, "case-id": CASE, "evidence": evidence, **named}
    return policy(action, *filters)


def result_of(custodian: Custodian, data: dict[str, Any], name: str) -> dict[str, Any]:
    return by_instance(custodian(data), ACTION)[name]


def failed(custodian: Custodian, data: dict[str, Any], name: str) -> dict[str, Any]:
    """The result of an instance in a policy that fails."""
    with pytest.raises(PolicyExecutionError):
        custodian(data)
    assert custodian.last is not None
    return by_instance(custodian.last, ACTION)[name]


def operations(emulator: Emulator, *, changing: bool = False) -> list[str]:
    """The operations on the workload account since the calls were cleared."""
    return [
        call.operation
        for call in emulator.calls(account=WORKLOAD)
        if not changing or not call.operation.startswith(("Describe", "Get", "List", "AssumeRole"))
    ]


# --- what is done -------------------------------------------------------------------------------


def test_every_interface_is_contained_in_two_accounts_end_to_end(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene, name = suspect.scene, suspect.id
    custodian(suspect.policy())
    groups = scene.quarantine_groups()
    assert len(groups) == 2
    assert sorted(scene.interfaces(name).values()) == sorted([group] for group in groups.values())
    assert [rule for group in groups.values() for rule in scene.rules(group)] == []
    assert {row["VolumeId"] for row in scene.snapshots()} == set(suspect.volumes)
    manifest = scene.check_manifest(name)
    assert manifest["outcome"] == "contained"
    assert set(scene.ledger(name)) == set(manifest["steps"])
    assert set(scene.ledger(name).values()) == {"done"}
    for row in scene.s3.list_objects_v2(Bucket=scene.bucket)["Contents"]:
        head = scene.s3.head_object(Bucket=scene.bucket, Key=row["Key"])
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert head["ServerSideEncryption"] == "aws:kms"


def test_rules_of_both_families_are_revoked_also_from_a_group_that_stands(
    scene: Scene, custodian: Custodian
) -> None:
    vpc, subnet = scene.vpc()
    scene.launch(SubnetId=subnet)
    custodian(contain(scene))
    group = scene.quarantine_groups()[vpc]
    everything = {
        "IpProtocol": "-1",
        "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
    }
    v6 = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    scene.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[everything])
    scene.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[v6])
    assert len(scene.rules(group)) == 2
    result = custodian(contain(scene)).action(ACTION)
    assert result["counts"] == {"contained": 1}
    assert scene.rules(group) == []


def test_a_rule_that_comes_back_is_seen_and_revoked(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    emulator.fault("ec2", "DescribeSecurityGroupRules", after=1, kind="timeout", seconds=1)

    def open_again() -> None:
        wait_for(emulator, "RevokeSecurityGroupEgress")
        rule = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
        scene.ec2.authorize_security_group_ingress(
            GroupId=scene.quarantine_groups()[vpc],
            IpPermissions=[{**rule, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
        )

    attacker = threading.Thread(target=open_again)
    attacker.start()
    result = result_of(custodian, contain(scene), name)
    attacker.join()
    assert result["outcome"] == "contained"
    assert scene.rules(scene.quarantine_groups()[vpc]) == []


def test_a_group_that_another_run_made_meanwhile_is_used(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    emulator.fault("ec2", "CreateSecurityGroup", kind="crash", when="after")
    assert result_of(custodian, contain(scene), name)["outcome"] == "contained"
    assert list(scene.quarantine_groups()) == [vpc]


def test_a_group_of_that_name_that_is_not_ours_is_not_emptied(
    scene: Scene, custodian: Custodian
) -> None:
    vpc, subnet = scene.vpc()
    theirs = scene.group(vpc, "c7n-quarantine")
    (name,) = scene.launch(SubnetId=subnet)
    result = failed(custodian, contain(scene), name)
    assert "is not ours" in result["reason"]
    assert result["outcome"] == "partial"
    assert len(scene.rules(theirs)) == 1


def test_what_must_stay_reachable_is_exactly_what_is_left(
    scene: Scene, custodian: Custodian
) -> None:
    _vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    allowed = [{"cidr": "10.7.9.0/24", "port": 443}]
    group = {"name": "ir-egress", "allow-egress": allowed}
    data = contain(scene, **{"security-group": group})
    assert result_of(custodian, data, name)["outcome"] == "contained"
    assert result_of(custodian, data, name)["outcome"] == "contained"
    ((held,),) = scene.interfaces(name).values()
    (rule,) = scene.rules(held)
    assert (rule["IsEgress"], rule["CidrIpv4"]) == (True, "10.7.9.0/24")
    assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (443, 443, "tcp")


def test_protection_covers_termination_stop_shutdown_and_volumes(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch(InstanceInitiatedShutdownBehavior="terminate")
    custodian(contain(scene, protect=["termination", "shutdown"]))
    assert scene.attribute(name, "disableApiTermination") is True
    assert scene.attribute(name, "instanceInitiatedShutdownBehavior") == "stop"
    assert scene.attribute(name, "disableApiStop") is False
    mappings = scene.instance(name)["BlockDeviceMappings"]
    assert [row["Ebs"]["DeleteOnTermination"] for row in mappings] == [True]


def test_parts_that_are_switched_off_are_left_alone(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    before = suspect.state()
    run = custodian(
        suspect.policy(
            detach={"asg": "none", "elb": False, "eip": False},
            **{"revoke-sessions": "never", "imds": "keep"},
        )
    )
    assert by_instance(run, ACTION)[suspect.id]["outcome"] == "contained"
    after = suspect.state()
    for key in ("asg", "address", "imds", "role policies"):
        assert after[key] == before[key]
    assert len(after["targets"]) == len(before["targets"])


def test_a_replaced_instance_keeps_the_capacity_of_its_group(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    custodian(suspect.policy(detach={"asg": "detach", "replace": True}))
    (group,) = suspect.scene.client("autoscaling").describe_auto_scaling_groups()[
        "AutoScalingGroups"
    ]
    assert group["DesiredCapacity"] == 1
    assert suspect.id not in [row["InstanceId"] for row in group["Instances"]]


# --- the kinds of instances ---------------------------------------------------------------------


def test_a_stopped_instance_is_contained_without_a_screenshot(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    scene.ec2.stop_instances(InstanceIds=[name])
    assert result_of(custodian, contain(scene), name)["outcome"] == "contained"
    assert scene.is_contained(name)
    assert "evidence/screenshot.jpg" not in scene.objects(name)
    record = scene.read(name, "ledger/20-evidence.json")
    assert record["after"]["screenshot.jpg"] == "the instance is stopped"


def test_a_terminated_instance_is_skipped_and_recorded(scene: Scene, custodian: Custodian) -> None:
    gone, there = scene.launch(2)
    scene.ec2.terminate_instances(InstanceIds=[gone])
    results = by_instance(custodian(contain(scene)), ACTION)
    assert (results[gone]["outcome"], results[gone]["code"]) == ("skipped", "Terminated")
    assert results[there]["outcome"] == "contained"
    assert scene.objects(gone) == []


def test_spot_instances_have_no_protection_to_set_and_are_contained(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch(InstanceMarketOptions={"MarketType": "spot"})
    result = result_of(custodian, contain(scene), name)
    assert result["outcome"] == "contained"
    assert "Spot instances have no termination protection" in result["reason"]
    assert scene.attribute(name, "disableApiTermination") is False


def test_instance_store_volumes_are_named_as_lost(scene: Scene, custodian: Custodian) -> None:
    (plain,) = scene.launch()
    (name,) = scene.launch(InstanceType="m5d.large")
    results = by_instance(custodian(contain(scene)), ACTION)
    assert "instance-store volumes of a m5d.large" in results[name]["reason"]
    assert "reason" not in results[plain]
    assert results[name]["outcome"] == "contained"


def test_a_requester_managed_interface_leaves_the_instance_partial(
    scene: Scene, custodian: Custodian
) -> None:
    vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    other = scene.attach_interface(name, subnet, [scene.group(vpc, "service")], 1)
    held = scene.interfaces(name)[other]
    scene.emulator.seed("ec2", WORKLOAD, REGION, "requester_managed", {other: True})
    result = failed(custodian, contain(scene), name)
    assert result["outcome"] == "partial"
    assert f"{other} (it is requester-managed" in result["reason"]
    changed = scene.emulator.calls("ec2", "ModifyNetworkInterfaceAttribute")
    assert other not in [call.params["NetworkInterfaceId"] for call in changed]
    assert scene.interfaces(name)[other] == held
    assert scene.tags(name)["c7n-secops:state"] == "partial"
    assert scene.read(name, "manifest.json")["outcome"] == "partial"


def test_an_interface_that_may_not_be_changed_is_never_called_contained(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    first = next(iter(suspect.before))
    emulator.fault(
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        code="UnauthorizedOperation",
        status=403,
        times=None,
        contains=first,
    )
    result = failed(custodian, suspect.policy(), suspect.id)
    assert result["steps"]["contain"] == "failed"
    assert f"{first} (" in result["reason"]
    assert suspect.scene.interfaces(suspect.id)[first] == suspect.before[first]
    assert suspect.scene.tags(suspect.id)["c7n-secops:state"] == "partial"


def test_an_interface_that_is_attached_meanwhile_is_contained_too(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    subnet = scene.instance(suspect.id)["SubnetId"]
    late = scene.ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    attached = threading.Event()

    def attach() -> None:
        wait_for(emulator, "CreateSnapshots")
        scene.ec2.attach_network_interface(
            NetworkInterfaceId=late["NetworkInterfaceId"], InstanceId=suspect.id, DeviceIndex=5
        )
        attached.set()

    attacker = threading.Thread(target=attach)
    attacker.start()
    result = result_of(custodian, suspect.policy(), suspect.id)
    attacker.join()
    assert attached.is_set()
    assert result["outcome"] == "contained"
    assert len(scene.interfaces(suspect.id)) == 3
    assert scene.is_contained(suspect.id)
    prior = scene.read(suspect.id, "ledger/10-prior.json")
    assert late["NetworkInterfaceId"] in prior["interfaces"]


# --- the two-step swap --------------------------------------------------------------------------


def interface_changes(emulator: Emulator, scene: Scene) -> list[str]:
    """The group of each change of an interface, by its name."""
    groups = {
        row["GroupId"]: row["GroupName"]
        for row in scene.ec2.describe_security_groups()["SecurityGroups"]
    }
    return [
        groups.get(call.params["SecurityGroupId.1"], "open")
        for call in emulator.calls("ec2", "ModifyNetworkInterfaceAttribute")
    ]


def test_two_steps_end_tracked_connections_and_leave_no_open_group(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    _vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    result = result_of(custodian, contain(scene, cut_tracked="two-step"), name)
    assert (result["outcome"], result["steps"]["cut-tracked"]) == ("contained", "done")
    assert interface_changes(emulator, scene) == ["open", "c7n-quarantine"]
    assert len(emulator.calls("ec2", "DeleteSecurityGroup")) == 1
    assert scene.is_contained(name)


@pytest.mark.parametrize("step", ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "first"])
def test_a_failure_before_the_second_step_ends_on_the_empty_group(
    scene: Scene, custodian: Custodian, emulator: Emulator, step: str
) -> None:
    _vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    custodian(contain(scene, {"InstanceId": "none"}))
    operation = "ModifyNetworkInterfaceAttribute" if step == "first" else step
    contains = "open" if step == "CreateSecurityGroup" else None
    emulator.fault("ec2", operation, code="UnauthorizedOperation", status=403, contains=contains)
    result = result_of(custodian, contain(scene, cut_tracked="two-step"), name)
    assert (result["outcome"], result["steps"]["cut-tracked"]) == ("partial", "failed")
    assert result["steps"]["contain"] == "done"
    assert scene.is_contained(name)


def test_an_interface_that_cannot_leave_the_open_group_finds_it_shut(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    _vpc, subnet = scene.vpc()
    (name,) = scene.launch(SubnetId=subnet)
    emulator.fault(
        "ec2",
        "ModifyNetworkInterfaceAttribute",
        code="UnauthorizedOperation",
        status=403,
        after=1,
        times=None,
    )
    result = failed(custodian, contain(scene, cut_tracked="two-step"), name)
    assert (result["outcome"], result["steps"]["contain"]) == ("partial", "failed")
    ((held,),) = scene.interfaces(name).values()
    assert scene.rules(held) == []
    done = operations(emulator)
    tried = len(done) - 1 - done[::-1].index("ModifyNetworkInterfaceAttribute")
    first_look = done.index(
        "DescribeNetworkInterfaces", done.index("ModifyNetworkInterfaceAttribute")
    )
    assert "RevokeSecurityGroupIngress" in done[:first_look]
    assert tried > first_look
    emulator.clear_faults()
    assert result_of(custodian, contain(scene, cut_tracked="two-step"), name)["outcome"] in (
        "contained",
        "partial",
    )
    assert scene.is_contained(name)


# --- the identity -------------------------------------------------------------------------------


def test_sessions_of_a_role_that_others_use_are_not_revoked_and_it_is_said(
    scene: Scene, custodian: Custodian
) -> None:
    arn = scene.profile("web", "/team/")
    iam = scene.client("iam")
    iam.create_instance_profile(InstanceProfileName="twin")
    iam.add_role_to_instance_profile(InstanceProfileName="twin", RoleName="web-role")
    (name,) = scene.launch(IamInstanceProfile={"Arn": arn})
    (other,) = scene.launch(IamInstanceProfile={"Name": "twin"})
    result = result_of(custodian, contain(scene, {"InstanceId": name}), name)
    assert (result["outcome"], result["steps"]["sessions"]) == ("contained", "skipped")
    assert f"1 other instances use the role: {other}" in result["reason"]
    assert iam.list_role_policies(RoleName="web-role")["PolicyNames"] == []
    assert "IamInstanceProfile" not in scene.instance(name)


def test_sessions_are_revoked_where_every_user_of_the_role_is_contained(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    arn = scene.profile("web")
    scene.launch(2, IamInstanceProfile={"Arn": arn})
    assert custodian(contain(scene)).action(ACTION)["counts"] == {"contained": 2}
    iam = scene.client("iam")
    (policy_name,) = iam.list_role_policies(RoleName="web-role")["PolicyNames"]
    document = iam.get_role_policy(RoleName="web-role", PolicyName=policy_name)["PolicyDocument"]
    (statement,) = document["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", ["*"])
    assert statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"].endswith("Z")
    assert len(emulator.calls("iam", "PutRolePolicy", WORKLOAD)) == 1


def test_always_revokes_whoever_else_uses_the_role(scene: Scene, custodian: Custodian) -> None:
    arn = scene.profile("web")
    name, _other = scene.launch(2, IamInstanceProfile={"Arn": arn})
    custodian(contain(scene, {"InstanceId": name}, revoke_sessions="always"))
    iam = scene.client("iam")
    assert len(iam.list_role_policies(RoleName="web-role")["PolicyNames"]) == 1


def test_a_final_profile_takes_the_place_of_the_old_one(scene: Scene, custodian: Custodian) -> None:
    arn, final = scene.profile("web"), scene.profile("nothing")
    (name,) = scene.launch(IamInstanceProfile={"Arn": arn})
    custodian(contain(scene, final_profile="nothing"))
    assert scene.instance(name)["IamInstanceProfile"]["Arn"] == final


def test_while_the_profile_is_still_there_its_sessions_are_not_called_revoked(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch(IamInstanceProfile={"Arn": scene.profile("web")})
    emulator.fault(
        "ec2", "DisassociateIamInstanceProfile", code="UnauthorizedOperation", status=403
    )
    result = result_of(custodian, contain(scene), name)
    assert (result["outcome"], result["steps"]["contain"]) == ("partial", "done")
    assert (result["steps"]["profile"], result["steps"]["sessions"]) == ("failed", "failed")
    assert "gives out new sessions" in result["reason"]
    assert not emulator.calls("iam", "PutRolePolicy", WORKLOAD)
    result = result_of(custodian, contain(scene), name)
    assert (result["outcome"], result["steps"]["sessions"]) == ("contained", "done")


# --- the operating system -----------------------------------------------------------------------

COMMANDS = [
    {"name": "processes", "run": "ps auxww"},
    {"name": "sockets", "run": "ss -tunap"},
    {"name": "tasks", "run": "tasklist", "platform": "Windows"},
]


def gather(**keys: Any) -> dict[str, Any]:
    return {"profile": "ir-gather", "commands": COMMANDS, "max-wait": 1, **keys}


@pytest.fixture
def managed(scene: Scene) -> str:
    """An instance that Systems Manager manages, with a profile of its own."""
    scene.profile("ir-gather")
    (name,) = scene.launch(IamInstanceProfile={"Arn": scene.profile("web")})
    return name


def test_commands_are_run_under_the_temporary_profile_before_containment(
    scene: Scene, custodian: Custodian, emulator: Emulator, managed: str
) -> None:
    data = contain(scene, gather=gather(output={"bucket": "long", "prefix": "os"}))
    result = result_of(custodian, data, managed)
    assert (result["outcome"], result["steps"]["gather"]) == ("contained", "done")
    done = operations(emulator)
    order = [
        "ReplaceIamInstanceProfileAssociation",
        "SendCommand",
        "ModifyNetworkInterfaceAttribute",
        "GetCommandInvocation",
        "DisassociateIamInstanceProfile",
    ]
    assert sorted(order, key=done.index) == order
    assert done.count("SendCommand") == 2
    assert "IamInstanceProfile" not in scene.instance(managed)
    files = [name for name in scene.objects(managed) if name.startswith("evidence/os/")]
    assert files == ["evidence/os/processes.txt", "evidence/os/sockets.txt"]
    assert scene.read(managed, "ledger/10-prior.json")["profile"]["arn"].endswith("/web")
    scene.check_manifest(managed)


@pytest.mark.parametrize(
    "agent, reason",
    [
        ({"absent": True}, "Systems Manager does not manage it"),
        ({"PingStatus": "ConnectionLost"}, "its agent is ConnectionLost"),
    ],
    ids=["unmanaged", "offline"],
)
def test_an_instance_that_cannot_be_asked_is_contained_all_the_same(
    scene: Scene,
    custodian: Custodian,
    emulator: Emulator,
    managed: str,
    agent: dict[str, Any],
    reason: str,
) -> None:
    emulator.set_agent(WORKLOAD, REGION, managed, **agent)
    result = result_of(custodian, contain(scene, gather=gather()), managed)
    assert (result["outcome"], result["steps"]["gather"]) == ("contained", "skipped")
    assert reason in result["reason"]
    assert "SendCommand" not in operations(emulator)


def test_what_is_contained_already_is_not_asked_any_more(
    scene: Scene, custodian: Custodian, emulator: Emulator, managed: str
) -> None:
    emulator.fault(
        "ec2", "DisassociateIamInstanceProfile", code="UnauthorizedOperation", status=403
    )
    custodian(contain(scene))
    result = result_of(custodian, contain(scene, gather=gather()), managed)
    assert (result["outcome"], result["steps"]["gather"]) == ("contained", "skipped")
    assert "contained already" in result["reason"]
    assert "ReplaceIamInstanceProfileAssociation" not in operations(emulator)


def test_commands_that_do_not_end_are_not_waited_for_and_the_state_is_partial(
    scene: Scene, custodian: Custodian, emulator: Emulator, managed: str
) -> None:
    emulator.set_command_behaviour(WORKLOAD, REGION, "InProgress")
    result = result_of(custodian, contain(scene, gather=gather()), managed)
    assert (result["outcome"], result["steps"]["gather"]) == ("partial", "failed")
    assert "processes: no result when the time was over" in result["reason"]
    assert scene.is_contained(managed)
    assert scene.tags(managed)["c7n-secops:state"] == "partial"

    emulator.finish_commands(WORKLOAD, REGION)
    result = result_of(custodian, contain(scene, gather=gather()), managed)
    assert (result["outcome"], result["steps"]["gather"]) == ("contained", "done")
    assert len(emulator.calls("ssm", "SendCommand")) == 2


@pytest.mark.parametrize(
    "left, evidence", [(130, "done"), (60, "failed")], ids=["polls-less", "only-contains"]
)
def test_a_lambda_that_runs_out_of_time_stops_waiting_and_contains(
    scene: Scene,
    custodian: Custodian,
    emulator: Emulator,
    managed: str,
    left: int,
    evidence: str,
) -> None:
    emulator.set_command_behaviour(WORKLOAD, REGION, "InProgress")
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: (left - 8) * 1000)
    started = time.monotonic()
    with deadline.of_lambda(context):
        result = result_of(custodian, contain(scene, gather=gather(**{"max-wait": 600})), managed)
    assert time.monotonic() - started < 30
    assert result["outcome"] == "partial"
    assert result["steps"]["evidence"] == evidence
    assert result["steps"]["gather"] == "failed"
    assert ("SendCommand" in operations(emulator)) is (evidence == "done")
    assert scene.is_contained(managed)
    assert scene.tags(managed)["c7n-secops:state"] == "partial"
    assert scene.ledger(managed)["gather"] == "failed"


# --- records that fail ---------------------------------------------------------------------------


def test_a_step_whose_record_could_not_be_put_counts_as_failed(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault("s3", "PutObject", code="AccessDenied", status=403, contains='"step": "contain"')
    result = failed(custodian, contain(scene), name)
    assert (result["outcome"], result["steps"]["contain"]) == ("partial", "failed")
    assert "contain: done, but not recorded" in result["reason"]
    assert scene.tags(name)["c7n-secops:state"] == "partial"


def test_a_final_tag_that_is_refused_is_not_claimed(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault("ec2", "CreateTags", code="UnauthorizedOperation", status=403, after=1)
    result = result_of(custodian, contain(scene), name)
    assert (result["outcome"], result["steps"]["tags"]) == ("partial", "failed")
    assert scene.tags(name)["c7n-secops:state"] == "capturing"


def test_a_step_is_not_done_twice_where_its_record_was_lost(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    emulator.fault("s3", "PutObject", code="AccessDenied", status=403, contains='"step": "asg"')
    assert result_of(custodian, suspect.policy(), suspect.id)["steps"]["asg"] == "failed"
    assert result_of(custodian, suspect.policy(), suspect.id)["steps"]["asg"] == "done"
    assert len(emulator.calls("autoscaling", "DetachInstances")) == 1


# --- evidence that fails ------------------------------------------------------------------------


def test_a_failure_of_evidence_does_not_prevent_containment(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault("ec2", "CreateSnapshots", code="UnauthorizedOperation", status=403, times=None)
    result = result_of(custodian, contain(scene), name)
    assert (result["outcome"], result["steps"]["snapshots"]) == ("partial", "failed")
    assert scene.is_contained(name)
    emulator.clear_faults()
    assert result_of(custodian, contain(scene), name)["outcome"] == "contained"
    assert len(scene.snapshots()) == 1


def test_on_error_abort_stops_before_anything_is_changed(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    groups = scene.interfaces(name)
    emulator.fault("ec2", "CreateSnapshots", code="UnauthorizedOperation", status=403, times=None)
    emulator.clear_calls()
    result = failed(custodian, contain(scene, evidence={"on-error": "abort"}), name)
    assert (result["outcome"], result["code"]) == ("failed", "Aborted")
    assert scene.interfaces(name) == groups
    assert set(operations(emulator, changing=True)) == {"CreateTags", "CreateSnapshots"}
    assert scene.tags(name)["c7n-secops:state"] == "partial"


def test_without_a_record_of_the_prior_state_nothing_is_changed(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    groups = scene.interfaces(name)
    emulator.fault("s3", "PutObject", code="AccessDenied", status=403, after=1, times=None)
    result = failed(custodian, contain(scene), name)
    assert result["outcome"] == "failed"
    assert "the prior state could not be kept" in result["reason"]
    assert scene.interfaces(name) == groups
    assert scene.attribute(name, "disableApiTermination") is False


@pytest.mark.parametrize("lock", [True, False], ids=["unreachable", "no-object-lock"])
def test_a_bucket_that_cannot_keep_evidence_fails_before_any_change(
    emulator: Emulator, custodian: Custodian, lock: bool
) -> None:
    scene = Scene(emulator).build(object_lock=lock)
    (name,) = scene.launch()
    emulator.clear_calls()
    data = contain(scene, evidence={"bucket": "elsewhere"} if lock else {})
    result = failed(custodian, data, name)
    assert result["outcome"] == "failed"
    assert result["code"] == ("NoSuchBucket" if lock else "NoObjectLock")
    assert operations(emulator, changing=True) == []
    assert not emulator.calls("s3", "PutObject")


def test_object_lock_can_be_waived(emulator: Emulator, custodian: Custodian) -> None:
    scene = Scene(emulator).build(object_lock=False)
    (name,) = scene.launch()
    evidence = {**scene.store, "require-object-lock": False}
    del evidence["retention"]
    action = {"type": ACTION, "case-id": CASE, "evidence": evidence}
    assert result_of(custodian, policy(action), name)["outcome"] == "contained"


def test_interfaces_that_cannot_be_read_are_not_evaluated(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    emulator.fault(
        "ec2", "DescribeNetworkInterfaces", code="UnauthorizedOperation", status=403, times=None
    )
    result = failed(custodian, contain(scene), name)
    assert (result["outcome"], result["code"]) == ("not-evaluated", "UnauthorizedOperation")
    assert custodian.last is not None
    assert [row["resource"] for row in custodian.last.not_evaluated] == [name]


# --- cases --------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_still_proves_containment(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    before = suspect.state()
    emulator.clear_calls()
    assert result_of(custodian, suspect.policy(), suspect.id)["outcome"] == "contained"
    assert set(operations(emulator, changing=True)) == {"CreateTags"}
    assert suspect.state() == before
    assert len(emulator.calls("ec2", "DescribeNetworkInterfaces")) >= 2
    said = [value for call in emulator.calls("ec2", "CreateTags") for value in call.params.values()]
    assert "capturing" not in said
    scene.check_manifest(suspect.id)


def test_an_interface_that_somebody_opened_again_is_contained_again(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    first = next(iter(suspect.before))
    scene.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=first, Groups=suspect.before[first]
    )
    assert result_of(custodian, suspect.policy(), suspect.id)["outcome"] == "contained"
    assert scene.is_contained(suspect.id)
    suspect.check_prior()


def test_another_case_only_takes_evidence_of_a_contained_instance(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    scene = suspect.scene
    custodian(suspect.policy())
    state = suspect.state()
    data = suspect.policy(**{"case-id": "INC-2"})
    result = result_of(custodian, data, suspect.id)
    assert result["outcome"] == "captured"
    assert "case INC-1 has contained it" in result["reason"]
    assert suspect.state() == state
    assert "evidence/instance.json" in scene.objects(suspect.id, "INC-2")
    assert "ledger/10-prior.json" not in scene.objects(suspect.id, "INC-2")
    assert len(scene.snapshots("INC-2")) == 1


def test_a_tag_that_says_contained_is_not_believed(scene: Scene, custodian: Custodian) -> None:
    (name,) = scene.launch(tags={"c7n-secops:case": "INC-0", "c7n-secops:state": "contained"})
    result = result_of(custodian, contain(scene), name)
    assert result["outcome"] == "contained"
    assert "case INC-0 left it contained" in result["reason"]
    assert scene.is_contained(name)


def test_a_case_that_died_half_way_does_not_keep_another_from_containing(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch(tags={"c7n-secops:case": "INC-0", "c7n-secops:state": "capturing"})
    result = result_of(custodian, contain(scene), name)
    assert result["outcome"] == "contained"
    assert "case INC-0 left it capturing" in result["reason"]
    assert scene.tags(name)["c7n-secops:case"] == CASE


def test_of_two_runs_at_once_one_takes_the_case_and_the_other_says_who_has_it(
    scene: Scene, custodian: Custodian, emulator: Emulator, cli: Cli, tmp_path: Any
) -> None:
    (name,) = scene.launch()
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"policies": [contain(scene)]}))
    run = ("custodian", "run", "--cache-period", "0", file, "-s")
    emulator.fault("ec2", "CreateSnapshots", kind="timeout")
    runner = threading.Thread(target=cli, args=(*run, tmp_path / "first"))
    runner.start()
    wait_for(emulator, "CreateSnapshots")
    emulator.clear_calls()
    second = cli(*run, tmp_path / "second")
    assert second.returncode == 2
    assert f"case {CASE} on {name}: run " in second.stderr
    assert "handles the case until" in second.stderr
    assert operations(emulator, changing=True) == []
    emulator.clear_faults()
    runner.join()
    results = json.loads((tmp_path / "second" / "ir" / f"action-{ACTION}").read_text())["results"]
    assert [(row["outcome"], row["code"]) for row in results] == [("failed", "CaseLocked")]
    assert scene.is_contained(name)
    assert custodian(contain(scene)).action(ACTION)["counts"] == {"contained": 1}


def test_a_live_run_of_another_case_is_left_to_contain(scene: Scene, custodian: Custodian) -> None:
    (name,) = scene.launch()
    open_groups = scene.interfaces(name)
    custodian(contain(scene, case_id="INC-0"))
    for interface, groups in open_groups.items():
        scene.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=groups)
    scene.s3.delete_object(Bucket=scene.bucket, Key=f"{scene.folder(name, 'INC-0')}/manifest.json")
    scene.ec2.create_tags(
        Resources=[name], Tags=[{"Key": "c7n-secops:state", "Value": "capturing"}]
    )
    result = result_of(custodian, contain(scene), name)
    assert result["outcome"] == "captured"
    assert "contains it for case INC-0" in result["reason"]
    scene.expire_lock(name, "INC-0")
    assert result_of(custodian, contain(scene), name)["outcome"] == "contained"


def test_a_run_holds_the_case_for_as_long_as_the_policy_says(
    scene: Scene, custodian: Custodian
) -> None:
    (name,) = scene.launch()
    for options, seconds in (({}, 900), ({"lock-timeout": 60}, 60)):
        custodian(contain(scene, **options))
        lock = scene.read(name, "lock.json")
        held = datetime.fromisoformat(lock["expires"]) - datetime.fromisoformat(lock["at"])
        assert held.total_seconds() == pytest.approx(seconds, abs=1)


@pytest.mark.parametrize(
    "case_id, why",
    [
        ("INC-{finding_id}", "needs {finding_id}"),
        ("INC-{ticket}", "has {ticket}, which nothing expanded"),
        ("INC 1/../2", "is not 1 to 64 letters"),
        ("{case}", "needs {case}"),
    ],
)
def test_a_case_id_that_cannot_be_is_a_failure_before_any_change(
    scene: Scene, custodian: Custodian, emulator: Emulator, case_id: str, why: str
) -> None:
    (name,) = scene.launch()
    emulator.clear_calls()
    result = failed(custodian, contain(scene, case_id=case_id), name)
    assert (result["outcome"], result["code"]) == ("failed", "InvalidCase")
    assert why in result["reason"]
    assert operations(emulator, changing=True) == []


def test_a_variable_that_nothing_expanded_is_a_failure_before_any_change(
    scene: Scene, custodian: Custodian, emulator: Emulator
) -> None:
    (name,) = scene.launch()
    result = failed(custodian, contain(scene, evidence={"bucket": "{evidence_bucket}"}), name)
    assert result["code"] == "NotExpanded"
    assert not emulator.calls("s3", "PutObject")


def test_exempt_instances_are_skipped(scene: Scene, custodian: Custodian) -> None:
    (usual,) = scene.launch(tags={"c7n-secops:exempt": "dns"})
    (own,) = scene.launch(tags={"keep": "yes"})
    run = custodian(contain(scene, {"InstanceId": usual}))
    assert by_instance(run, ACTION)[usual]["code"] == "Exempt"
    run = custodian(contain(scene, {"InstanceId": own}, exempt_tag="keep"))
    assert by_instance(run, ACTION)[own]["code"] == "Exempt"
    run = custodian(contain(scene, {"InstanceId": own}))
    assert by_instance(run, ACTION)[own]["outcome"] == "contained"


# --- authors, dry runs, cost --------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_shows_the_plan_of_each_instance(
    emulator: Emulator, custodian: Custodian
) -> None:
    suspect = Suspect(emulator)
    (exempt,) = suspect.scene.launch(tags={"c7n-secops:exempt": "dns"})
    emulator.clear_calls()
    data = suspect.policy(gather=gather())
    data["filters"] = []
    run = custodian(data, dryrun=True)
    assert operations(emulator) == ["DescribeInstances"]
    assert not emulator.calls("s3")
    plans = {row["InstanceId"]: row for row in json.loads((run.output / "plan.json").read_text())}
    assert plans[exempt]["skipped"] == "it has the tag c7n-secops:exempt"
    plan = plans[suspect.id]
    assert plan["action"] == f"action:{ACTION}"
    assert plan["case"] == CASE
    assert plan["snapshots"] == suspect.volumes
    assert {name: row["from"] for name, row in plan["interfaces"].items()} == suspect.before
    assert plan["interfaces"][next(iter(suspect.before))]["to"] == (
        f"c7n-quarantine in {suspect.vpc}"
    )
    assert plan["profile"] == {"from": suspect.profile, "to": "none"}
    assert plan["gather"] == ["processes", "sockets", "tasks"]
    assert f'plan {{"action": "action:{ACTION}"' in run.log


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"evidence": {"snapshots": {"copy-key": "alias/x"}, "role": None}}, "set role"),
        ({"gather": gather(commands=[COMMANDS[0], COMMANDS[0]])}, "has a name twice"),
        ({"gather": {"commands": COMMANDS}}, "'profile' is a required property"),
        ({"protecct": []}, "protecct"),
        (
            {"mode": {"type": "periodic", "schedule": "rate(1 day)", "timeout": 100}},
            "set at least 180",
        ),
    ],
    ids=["copy-key-without-role", "two-of-a-name", "no-profile", "unknown-key", "no-time"],
)
def test_a_policy_that_cannot_work_is_refused_as_it_is_read(
    scene: Scene, custodian: Custodian, keys: dict[str, Any], message: str
) -> None:
    mode = keys.pop("mode", None)
    data = contain(scene, **keys)
    evidence = data["actions"][0]["evidence"]
    data["actions"][0]["evidence"] = {k: v for k, v in evidence.items() if v is not None}
    if mode:
        data["mode"] = {"role": "arn:aws:iam::111111111111:role/x", **mode}
    with pytest.raises(PolicyValidationError, match=message):
        custodian(data, event={} if mode else None)


@pytest.mark.parametrize("number", [1, 10, 100])
def test_a_basic_case_costs_25_calls_a_run_and_20_an_instance_at_most(
    scene: Scene, custodian: Custodian, emulator: Emulator, number: int
) -> None:
    scene.launch(number)
    emulator.clear_calls()
    run = custodian(contain(scene))
    assert run.action(ACTION)["counts"] == {"contained": number}
    assert len(emulator.calls()) <= 25 + 20 * number


def test_permissions_are_listed_without_data() -> None:
    assert "ec2:ModifyNetworkInterfaceAttribute" in QuarantineInstance.permissions
