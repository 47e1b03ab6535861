"""Instances to contain, and the way that contains them one at a time."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.runs import ACCOUNT, REGION
from tests.ir_scene import Scene

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:incidents"


def policy(scene: Scene, case: str) -> dict[str, Any]:
    """The basic case: evidence, protection, containment, one notification."""
    return {
        "name": "quarantine",
        "resource": "aws.ec2",
        "filters": [{"tag:fleet": case}],
        "actions": [
            {
                "type": "quarantine-instance",
                "case-id": case,
                "evidence": scene.store,
                "notify": {"topic": TOPIC},
            }
        ],
    }


def launch(scene: Scene, case: str, number: int) -> list[str]:
    """Running instances with a volume and an interface each."""
    return scene.launch(number, tags={"fleet": case})


def contain_one_at_a_time(scene: Scene, case: str, ids: list[str]) -> int:
    """The same work as event-driven samples do it: one instance after another, one call a thing.

    Returns the number of calls.
    """
    calls = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1

    clients = {name: scene.client(name) for name in SERVICES}
    clients["s3"] = scene.s3
    for client in clients.values():
        client.meta.events.register("request-created.*", count, unique_id="one-at-a-time")
    for name in ids:
        contain_one(clients, scene, case, name)
    for client in clients.values():
        client.meta.events.unregister("request-created.*", unique_id="one-at-a-time")
    return calls


SERVICES = ("autoscaling", "ec2", "elbv2", "sns", "ssm", "sts")


def contain_one(clients: dict[str, Any], scene: Scene, case: str, name: str) -> None:
    ec2, s3 = clients["ec2"], clients["s3"]
    folder = f"one-at-a-time/{case}/{name}"

    def keep(file: str, content: Any) -> None:
        body = json.dumps(content, default=str).encode()
        s3.put_object(Bucket=scene.bucket, Key=f"{folder}/{file}", Body=body)

    # preflight
    clients["sts"].get_caller_identity()
    s3.get_object_lock_configuration(Bucket=scene.bucket)
    instance = ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"][0]
    clients["ssm"].describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [name]}], MaxResults=50
    )
    by_instance = [{"Name": "instance-id", "Values": [name]}]
    ec2.describe_iam_instance_profile_associations(Filters=by_instance)
    clients["autoscaling"].describe_auto_scaling_instances(InstanceIds=[name])
    keep("case.json", {"case": case})
    # evidence
    for attribute in (
        "disableApiTermination",
        "disableApiStop",
        "instanceInitiatedShutdownBehavior",
    ):
        ec2.describe_instance_attribute(InstanceId=name, Attribute=attribute)
    keep("instance.json", instance)
    keep("console.json", ec2.get_console_output(InstanceId=name).get("Output", ""))
    keep("screenshot.json", ec2.get_console_screenshot(InstanceId=name)["ImageData"])
    attached = [{"Name": "attachment.instance-id", "Values": [name]}]
    for volume in ec2.describe_volumes(Filters=attached)["Volumes"]:
        made = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        ec2.create_tags(Resources=[made], Tags=[{"Key": "case", "Value": case}])
        ec2.describe_snapshots(SnapshotIds=[made])
    keep("snapshots.json", {})
    # protection
    ec2.modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": True})
    ec2.modify_instance_attribute(InstanceId=name, DisableApiStop={"Value": True})
    ec2.modify_instance_attribute(
        InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": "stop"}
    )
    for device in instance["BlockDeviceMappings"]:
        ec2.modify_instance_attribute(
            InstanceId=name,
            BlockDeviceMappings=[
                {"DeviceName": device["DeviceName"], "Ebs": {"DeleteOnTermination": False}}
            ],
        )
    keep("protection.json", {})
    clients["elbv2"].describe_target_groups()
    # containment
    vpc = instance["VpcId"]
    ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    group = ec2.create_security_group(GroupName=f"q-{name}", Description="q", VpcId=vpc)["GroupId"]
    of_group = [{"Name": "group-id", "Values": [group]}]
    for rule in ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]:
        ec2.revoke_security_group_egress(
            GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
        )
    ec2.describe_security_group_rules(Filters=of_group)
    for interface in ec2.describe_network_interfaces(Filters=attached)["NetworkInterfaces"]:
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[group]
        )
    ec2.describe_network_interfaces(Filters=attached)
    keep("containment.json", {})
    ec2.create_tags(Resources=[name], Tags=[{"Key": "case", "Value": case}])
    ec2.create_tags(Resources=[name], Tags=[{"Key": "state", "Value": "contained"}])
    keep("manifest.json", {})
    clients["sns"].publish(TopicArn=TOPIC, Message=case)
