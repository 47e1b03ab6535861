"""The response role: enough for every policy of incident response, tried with it enforced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from c7n.config import Config

from c7n_secops_tools.iam import needs
from c7n_secops_tools.testing.runs import load_policy
from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, environ, run_cli
from tests.incident_scene import (
    FORENSICS,
    WORKLOAD,
    account,
    assume,
    endpoint,
    evidence,
    key_of,
    request,
)

FOLDER = POLICIES / "incident-response"
Vars = dict[str, str]


class Reader(yaml.SafeLoader):
    """Reads CloudFormation's YAML, whose functions are tags."""


Reader.add_multi_constructor("!", lambda _loader, suffix, _node: f"!{suffix}")


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def made(enforcing: Emulator) -> Vars:
    """A workload and a forensics account as the templates make them; the policies' vars."""
    enforcing.reset()
    variables = evidence(enforcing)
    account(enforcing, variables)
    return variables


def run(emulator: Emulator, folder: Path, file: str, role: str, variables: dict[str, Any]) -> Any:
    """``custodian run`` of a shipped file, by the security account in a role of the workload's."""
    given = folder / "vars.yml"
    given.write_text(yaml.safe_dump(variables))
    arn = f"arn:aws:iam::{WORKLOAD}:role/{role}"
    words = ("custodian", "run", "-s", "out", "--cache-period=0", "--region", REGION)
    return run_cli(
        *(*words, "--assume", arn, "--vars-file", given, FOLDER / file),
        cwd=folder,
        env=environ(emulator, ACCOUNT),
    )


def suspect(emulator: Emulator) -> str:
    """An instance with everything that containment touches."""
    iam = emulator.client("iam", WORKLOAD)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    ec2 = emulator.client("ec2", WORKLOAD, REGION)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/16")["Subnet"]["SubnetId"]
    scaling = emulator.client("autoscaling", WORKLOAD, REGION)
    scaling.create_launch_configuration(
        LaunchConfigurationName="web",
        ImageId="ami-12345678",
        InstanceType="t3.micro",
    )
    balancing = emulator.client("elbv2", WORKLOAD, REGION)
    group = balancing.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        LaunchConfigurationName="web",
        MinSize=0,
        MaxSize=3,
        DesiredCapacity=1,
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[arn],
    )
    (row,) = scaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    instance: str = row["InstanceId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    (interface,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["NetworkInterfaces"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface["NetworkInterfaceId"])
    ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "web"})
    return instance


def result(folder: Path, policy: str, action: str) -> dict[str, Any]:
    (row,) = json.loads((folder / "out" / policy / f"action-{action}").read_text())["results"]
    found: dict[str, Any] = row
    return found


def denied(emulator: Emulator) -> list[tuple[str, str]]:
    refused = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
    return [
        (call.service, call.operation)
        for call in emulator.calls()
        if call.error_code in refused or call.status == 403
    ]


def test_the_role_is_enough_to_contain_all_that_an_instance_has(
    enforcing: Emulator, made: Vars, tmp_path: Path
) -> None:
    instance = suspect(enforcing)
    variables = {"instances": instance, "case": "INC-42", **made}
    enforcing.clear_calls()
    done = run(
        enforcing, tmp_path, "contain-instance.yml", "c7n-secops-incident-response", variables
    )
    assert denied(enforcing) == []
    assert done.returncode == 0, done.stderr
    row = result(tmp_path, "ec2-contain-instance", "quarantine-instance")
    assert row["outcome"] == "contained", row
    assert [name for name, status in row["steps"].items() if status != "done"] == [], row["steps"]
    called = {call.operation for call in enforcing.calls()}
    assert {"DetachInstances", "DisassociateAddress", "PutRolePolicy"} <= called
    assert {"CreateSecurityGroup", "CreateSnapshots", "Publish"} <= called


def test_another_role_contains_nothing(enforcing: Emulator, made: Vars, tmp_path: Path) -> None:
    instance = suspect(enforcing)
    variables = {"instances": instance, "case": "INC-42", **made}
    done = run(enforcing, tmp_path, "contain-instance.yml", "CloudCustodian", variables)
    assert done.returncode == 2
    row = result(tmp_path, "ec2-contain-instance", "quarantine-instance")
    assert (row["outcome"], row["code"]) == ("failed", "AccessDenied")
    assert "nothing was changed" in row["reason"]


def test_the_role_of_the_function_is_enough_and_the_deploying_role_may_hand_it_over(
    enforcing: Emulator, made: Vars, tmp_path: Path
) -> None:
    instance = suspect(enforcing)
    api = endpoint(enforcing, WORKLOAD)
    enforcing.clear_calls()
    done = run(enforcing, tmp_path, "contain-request.yml", "CloudCustodian", made)
    assert done.returncode == 0, done.stderr
    status, answer = enforcing.call_api(
        api["Endpoint"],
        request(instance),
        signer=enforcing.session(ACCOUNT, REGION),
        headers=key_of(enforcing, api),
    )
    assert status == 202, answer
    (ended,) = enforcing.wait_for_lambda(WORKLOAD, REGION, "custodian-ec2-contain-on-request")
    assert ended["error"] is None, ended["log"]
    assert denied(enforcing) == []
    key = f"cases/INC-42/{WORKLOAD}/{REGION}/{instance}/manifest.json"
    found = enforcing.client("s3", FORENSICS, REGION).get_object(Bucket="acme-evidence", Key=key)
    assert json.load(found["Body"])["outcome"] == "contained"


def test_the_role_is_enough_to_release_what_two_people_agreed_to(
    enforcing: Emulator, made: Vars, tmp_path: Path
) -> None:
    instance = suspect(enforcing)
    role = "c7n-secops-incident-response"
    variables = {"instances": instance, "case": "INC-42", **made}
    run(enforcing, tmp_path, "contain-instance.yml", role, variables)
    responder = assume(enforcing, f"arn:aws:iam::{WORKLOAD}:role/{role}")
    lead = enforcing.client("ec2", WORKLOAD, REGION)
    asked = {"Key": "c7n-secops:release-requested", "Value": "INC-42"}
    agreed = {"Key": "c7n-secops:release-approved", "Value": "INC-42"}
    client = responder.client("ec2", endpoint_url=enforcing.url)
    client.create_tags(Resources=[instance], Tags=[asked])
    lead.create_tags(Resources=[instance], Tags=[agreed])
    with pytest.raises(client.exceptions.ClientError, match="UnauthorizedOperation"):
        client.create_tags(Resources=[instance], Tags=[{"Key": "Name", "Value": "x"}])
    enforcing.clear_calls()
    done = run(enforcing, tmp_path, "release.yml", role, made)
    assert denied(enforcing) == []
    assert done.returncode == 0, done.stderr
    assert result(tmp_path, "ec2-release", "release-instance")["outcome"] == "released"


def actions_of(template: str, *names: str) -> set[str]:
    """The IAM actions that a template allows under these resources."""
    parts = yaml.load((ROOT / "deploy" / template).read_text(), Reader)["Resources"]  # noqa: S506
    found: set[str] = set()
    for name in names:
        properties = parts[name]["Properties"]
        documents = [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
        documents += [row["PolicyDocument"] for row in properties.get("Policies", ())]
        for document in documents:
            for statement in document["Statement"]:
                if isinstance(statement, dict) and statement["Effect"] == "Allow":
                    listed = statement["Action"]
                    found |= {listed} if isinstance(listed, str) else set(listed)
    return found


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yml")), ids=lambda file: file.stem)
def test_the_role_has_every_permission_that_a_shipped_policy_asks_for(file: Path) -> None:
    """Copies are made by the copy role, which this one assumes."""
    parts = ("Role", "ReadPolicy", "ChangePolicy", "RevokePolicy")
    allowed = actions_of("incident-response-account.yml", *parts)
    allowed |= {"sts:AssumeRole"} | actions_of("evidence-bucket.yml", "CopyRole")
    for data in yaml.safe_load(file.read_text())["policies"]:
        config = Config.empty(regions=[REGION], account_id=WORKLOAD)
        asked = {need.action for need in needs.runtime(load_policy(data, config))}
        assert sorted(asked - allowed - {"tag:GetResources"}) == []


def test_the_role_may_not_write_policies_of_people_or_of_itself(
    enforcing: Emulator, made: Vars
) -> None:
    role = assume(enforcing, f"arn:aws:iam::{WORKLOAD}:role/c7n-secops-incident-response")
    iam = role.client("iam", endpoint_url=enforcing.url)
    for name in ("CloudCustodian", "c7n-secops-incident-response", "c7n-secops-lambda"):
        with pytest.raises(iam.exceptions.ClientError, match="AccessDenied"):
            iam.put_role_policy(RoleName=name, PolicyName="x", PolicyDocument="{}")


def test_without_the_right_to_revoke_the_rest_is_still_done(
    enforcing: Emulator, tmp_path: Path
) -> None:
    enforcing.reset()
    made = evidence(enforcing)
    account(enforcing, made, MayRevokeSessions="false")
    instance = suspect(enforcing)
    variables = {"instances": instance, "case": "INC-42", **made}
    run(enforcing, tmp_path, "contain-instance.yml", "c7n-secops-incident-response", variables)
    row = result(tmp_path, "ec2-contain-instance", "quarantine-instance")
    assert row["outcome"] == "partial"
    assert row["steps"]["contain"] == "done"
    assert [name for name, status in row["steps"].items() if status == "failed"] == ["sessions"]
