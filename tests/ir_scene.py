"""A suspect instance in a workload account, and an evidence bucket in a forensics account."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from tests.emulator import Emulator
from tests.emulator.organisation import IMAGE, create_role, trust
from tests.harness import Custodian

WORKLOAD, FORENSICS = "111111111111", "222222222222"
REGION = "us-east-1"
BUCKET = "ir-evidence"
WRITER = "evidence-writer"
CASE = "INC-1"
GROUP = "c7n-quarantine"


@dataclass
class Scene:
    """The two accounts, and what a test asks of them."""

    emulator: Emulator
    workload: str = WORKLOAD
    forensics: str = FORENSICS
    bucket: str = BUCKET

    @property
    def ec2(self) -> Any:
        return self.emulator.client("ec2", self.workload, REGION)

    @property
    def s3(self) -> Any:
        return self.emulator.client("s3", self.forensics, REGION)

    def client(self, service: str) -> Any:
        return self.emulator.client(service, self.workload, REGION)

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{self.forensics}:role/{WRITER}"

    @property
    def store(self) -> dict[str, Any]:
        """The keys of the evidence bucket, as a policy has them."""
        return {
            "bucket": self.bucket,
            "role": self.role,
            "kms-key": f"arn:aws:kms:{REGION}:{self.forensics}:alias/evidence",
            "retention": {"mode": "GOVERNANCE", "days": 30},
        }

    # --- building

    def build(self, object_lock: bool = True) -> Scene:
        """The bucket and the role that writes to it."""
        self.s3.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=object_lock)
        create_role(self.emulator, self.forensics, WRITER, trust(AWS="*"))
        return self

    def vpc(self, cidr: str = "10.7.0.0/16") -> tuple[str, str]:
        """A VPC and its subnet."""
        vpc = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        return vpc, subnet

    def group(self, vpc: str, name: str) -> str:
        return str(
            self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        )

    def launch(
        self, number: int = 1, *, tags: dict[str, str] | None = None, **request: Any
    ) -> list[str]:
        """Instances, in the default VPC unless the request says otherwise."""
        marks = [{"Key": key, "Value": value} for key, value in (tags or {"Name": "host"}).items()]
        answer = self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType=request.pop("InstanceType", "t3.micro"),
            MinCount=number,
            MaxCount=number,
            TagSpecifications=[{"ResourceType": "instance", "Tags": marks}],
            **request,
        )
        return [row["InstanceId"] for row in answer["Instances"]]

    def attach_interface(self, instance: str, subnet: str, groups: list[str], index: int) -> str:
        interface = self.ec2.create_network_interface(SubnetId=subnet, Groups=groups)
        name = str(interface["NetworkInterface"]["NetworkInterfaceId"])
        self.ec2.attach_network_interface(
            NetworkInterfaceId=name, InstanceId=instance, DeviceIndex=index
        )
        return name

    def profile(self, name: str = "web", path: str = "/") -> str:
        """An instance profile with a role of another name; its ARN."""
        iam = self.client("iam")
        iam.create_role(
            RoleName=f"{name}-role",
            Path=path,
            AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"),
        )
        made = iam.create_instance_profile(InstanceProfileName=name, Path=path)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=f"{name}-role")
        return str(made["InstanceProfile"]["Arn"])

    # --- looking

    def instance(self, name: str) -> dict[str, Any]:
        answer = self.ec2.describe_instances(InstanceIds=[name])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def tags(self, name: str) -> dict[str, str]:
        return {mark["Key"]: mark["Value"] for mark in self.instance(name).get("Tags", ())}

    def interfaces(self, instance: str) -> dict[str, list[str]]:
        """The security groups of each interface."""
        rows = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
        )["NetworkInterfaces"]
        return {
            row["NetworkInterfaceId"]: sorted(group["GroupId"] for group in row["Groups"])
            for row in rows
        }

    def quarantine_groups(self) -> dict[str, str]:
        """The quarantine group of each VPC that has one."""
        rows = self.ec2.describe_security_groups(
            Filters=[{"Name": "group-name", "Values": [GROUP]}]
        )["SecurityGroups"]
        return {row["VpcId"]: row["GroupId"] for row in rows}

    def rules(self, group: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ec2.describe_security_group_rules(
            Filters=[{"Name": "group-id", "Values": [group]}]
        )["SecurityGroupRules"]
        return rows

    def is_contained(self, instance: str) -> bool:
        """Whether every interface has a quarantine group only, and that has no rule."""
        groups = set(self.quarantine_groups().values())
        held = self.interfaces(instance).values()
        return (
            bool(held)
            and all(len(names) == 1 and names[0] in groups for names in held)
            and not any(self.rules(group) for group in groups)
        )

    def attribute(self, instance: str, name: str) -> Any:
        answer = self.ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)
        return answer[name[0].upper() + name[1:]].get("Value")

    def snapshots(self, case: str = CASE) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ec2.describe_snapshots(
            Filters=[{"Name": "tag:c7n-secops:case", "Values": [case]}]
        )["Snapshots"]
        return rows

    def folder(self, instance: str, case: str = CASE) -> str:
        return f"cases/{case}/{self.workload}/{REGION}/{instance}"

    def objects(self, instance: str, case: str = CASE) -> list[str]:
        """The names of the case's objects on an instance."""
        start = f"{self.folder(instance, case)}/"
        rows = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=start).get("Contents", ())
        return [row["Key"].removeprefix(start) for row in rows]

    def read(self, instance: str, name: str, case: str = CASE) -> Any:
        answer = self.s3.get_object(Bucket=self.bucket, Key=f"{self.folder(instance, case)}/{name}")
        return json.loads(answer["Body"].read())

    def ledger(self, instance: str, case: str = CASE) -> dict[str, str]:
        """The status of each step that the ledger has an object for."""
        return ledger_in(self.contents(instance, case))

    def contents(self, instance: str, case: str = CASE) -> dict[str, bytes]:
        """The case's objects on an instance, by name."""
        start = self.folder(instance, case)
        return {
            name: self.s3.get_object(Bucket=self.bucket, Key=f"{start}/{name}")["Body"].read()
            for name in self.objects(instance, case)
        }

    def check_manifest(self, instance: str, case: str = CASE) -> dict[str, Any]:
        """The manifest, all of whose hashes were compared with the objects."""
        manifest: dict[str, Any] = self.read(instance, "manifest.json", case)
        for row in manifest["objects"]:
            answer = self.s3.get_object(
                Bucket=self.bucket, Key=row["key"], VersionId=row["version"]
            )
            body = answer["Body"].read()
            assert hashlib.sha256(body).hexdigest() == row["sha256"], row["key"]
            assert len(body) == row["size"]
        listed = {
            row["key"].removeprefix(f"{self.folder(instance, case)}/")
            for row in manifest["objects"]
        }
        assert listed == set(self.objects(instance, case)) - {"manifest.json"}
        return manifest

    def expire_lock(self, instance: str, case: str = CASE) -> None:
        """Let the time pass after which a run that died keeps nobody out."""
        held = self.read(instance, "lock.json", case)
        held["expires"] = datetime(2020, 1, 1, tzinfo=timezone.utc).isoformat()
        self.s3.put_object(
            Bucket=self.bucket,
            Key=f"{self.folder(instance, case)}/lock.json",
            Body=json.dumps(held).encode(),
        )


def ledger_in(contents: dict[str, bytes]) -> dict[str, str]:
    """The status of each step in the ledger among a case's objects."""
    records = [
        json.loads(body)
        for name, body in contents.items()
        if name.startswith("ledger/") and name != "ledger/10-prior.json"
    ]
    return {record["step"]: record["status"] for record in records}


def check_hashes(contents: dict[str, bytes]) -> None:
    """The manifest lists every other object with its hash."""
    manifest = json.loads(contents["manifest.json"])
    listed = {row["key"].split("/", 5)[-1]: row["sha256"] for row in manifest["objects"]}
    assert listed == {
        name: hashlib.sha256(body).hexdigest()
        for name, body in contents.items()
        if name != "manifest.json"
    }


def policy(action: dict[str, Any], *filters: Any, **more: Any) -> dict[str, Any]:
    """A policy on instances with one action."""
    return {
        "name": "ir",
        "resource": "aws.ec2",
        "filters": list(filters),
        "actions": [action],
        **more,
    }


def wait_for(emulator: Emulator, operation: str, seconds: float = 30) -> None:
    """Wait until a run calls an operation of EC2; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not emulator.calls("ec2", operation):
        if time.monotonic() > end:
            raise TimeoutError(f"{operation} was not called in {seconds} s")
        time.sleep(0.01)


def by_instance(run: Any, action: str) -> dict[str, dict[str, Any]]:
    """The results of an action, by instance."""
    return {row["InstanceId"]: row for row in run.action(action)["results"]}


class Suspect:
    """An instance that has everything that containment changes."""

    def __init__(self, emulator: Emulator):
        self.scene = Scene(emulator).build()
        scene = self.scene
        self.vpc, subnet = scene.vpc()
        other, other_subnet = scene.vpc("10.8.0.0/16")
        groups = [scene.group(self.vpc, name) for name in ("web", "ssh")]
        self.profile = scene.profile("web", "/team/")
        (self.id,) = scene.launch(
            SubnetId=subnet, SecurityGroupIds=groups, IamInstanceProfile={"Arn": self.profile}
        )
        first = next(iter(scene.interfaces(self.id)))
        scene.attach_interface(self.id, other_subnet, [scene.group(other, "db")], 1)
        self.address = scene.ec2.allocate_address(Domain="vpc")["AllocationId"]
        scene.ec2.associate_address(AllocationId=self.address, NetworkInterfaceId=first)
        self.target_group = scene.client("elbv2").create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="instance"
        )["TargetGroups"][0]["TargetGroupArn"]
        scene.client("elbv2").register_targets(
            TargetGroupArn=self.target_group, Targets=[{"Id": self.id, "Port": 8080}]
        )
        self._join_group(subnet)
        scene.ec2.modify_instance_attribute(
            InstanceId=self.id, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
        )
        self.before = scene.interfaces(self.id)
        self.volumes = [
            row["Ebs"]["VolumeId"] for row in scene.instance(self.id)["BlockDeviceMappings"]
        ]
        self.emulator = emulator
        emulator.clear_calls()

    def _join_group(self, subnet: str) -> None:
        scaling = self.scene.client("autoscaling")
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="web",
            InstanceId=self.id,
            MinSize=0,
            MaxSize=5,
            DesiredCapacity=0,
            VPCZoneIdentifier=subnet,
        )
        scaling.attach_instances(AutoScalingGroupName="web", InstanceIds=[self.id])

    def policy(self, **keys: Any) -> dict[str, Any]:
        action = {
            "type": "quarantine-instance",
            "case-id": CASE,
            "evidence": self.scene.store,
            "detach": {"asg": "detach", "replace": False},
            "imds": "disable",
            **keys,
        }
        return policy(action, {"InstanceId": self.id})

    def state(self) -> dict[str, Any]:
        """All that a run changes, in words that are the same for each instance like this one."""
        scene = self.scene
        instance = scene.instance(self.id)
        tags = {mark["Key"]: mark["Value"] for mark in instance.get("Tags", ())}
        contents = scene.contents(self.id)
        if "manifest.json" in contents:
            check_hashes(contents)
        groups = scene.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[self.id])[
            "AutoScalingInstances"
        ]
        targets = scene.client("elbv2").describe_target_health(TargetGroupArn=self.target_group)
        (address,) = scene.ec2.describe_addresses(AllocationIds=[self.address])["Addresses"]
        return {
            "contained": scene.is_contained(self.id),
            "tags": {key: tags.get(f"c7n-secops:{key}") for key in ("case", "state", "snapshots")},
            "termination": scene.attribute(self.id, "disableApiTermination"),
            "stop": scene.attribute(self.id, "disableApiStop"),
            "shutdown": scene.attribute(self.id, "instanceInitiatedShutdownBehavior"),
            "volumes": [
                row["Ebs"]["DeleteOnTermination"] for row in instance["BlockDeviceMappings"]
            ],
            "imds": instance["MetadataOptions"]["HttpEndpoint"],
            "profile": instance.get("IamInstanceProfile"),
            "asg": groups,
            "targets": targets["TargetHealthDescriptions"],
            "address": address.get("AssociationId"),
            "role policies": scene.client("iam").list_role_policies(RoleName="web-role")[
                "PolicyNames"
            ],
            "snapshots": Counter(row["VolumeId"] for row in scene.snapshots())
            == Counter(self.volumes),
            "groups": len(scene.quarantine_groups()),
            "objects": sorted(contents),
            "ledger": ledger_in(contents),
        }

    def check_promises(self, custodian: Custodian) -> None:
        """What must hold at any time: contained is said only of what is contained."""
        scene = self.scene
        instance = scene.instance(self.id)
        contained = all(held == [group] for held, group in self._held_and_wanted())
        said = {mark["Value"] for mark in instance["Tags"] if mark["Key"] == "c7n-secops:state"}
        run = custodian.last
        if run is not None and run.action("quarantine-instance"):
            said.add(by_instance(run, "quarantine-instance")[self.id]["outcome"])
        objects = scene.objects(self.id)
        if "manifest.json" in objects:
            said.add(scene.read(self.id, "manifest.json")["outcome"])
        if "ledger/70-contain.json" in objects:
            said.add(
                {"done": "contained"}.get(scene.read(self.id, "ledger/70-contain.json")["status"])
            )
        assert contained or "contained" not in said
        if scene.interfaces(self.id) != self.before or "IamInstanceProfile" not in instance:
            self.check_prior()

    def _held_and_wanted(self) -> Iterator[tuple[list[str], str | None]]:
        groups = self.scene.quarantine_groups()
        rows = self.scene.ec2.describe_network_interfaces(
            Filters=[{"Name": "attachment.instance-id", "Values": [self.id]}]
        )["NetworkInterfaces"]
        for row in rows:
            yield [group["GroupId"] for group in row["Groups"]], groups.get(row["VpcId"])

    def check_prior(self) -> None:
        """The prior state in the ledger is the one before the first run, whatever happened."""
        prior = self.scene.read(self.id, "ledger/10-prior.json")
        assert {name: row["groups"] for name, row in prior["interfaces"].items()} == self.before
        if "attributes" in prior:
            assert prior["attributes"] == {
                "DisableApiTermination": False,
                "DisableApiStop": False,
                "InstanceInitiatedShutdownBehavior": "terminate",
            }
        assert prior.get("profile", {"arn": self.profile}) == {"arn": self.profile}

    def check_evidence_is_single(self) -> None:
        versions = self.scene.s3.list_object_versions(Bucket=self.scene.bucket)["Versions"]
        pieces = Counter(row["Key"] for row in versions if "/evidence/" in row["Key"])
        assert set(pieces.values()) == {1}, pieces
