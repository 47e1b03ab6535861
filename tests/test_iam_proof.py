"""Every shipped policy runs to its end under exactly the role that is generated for it.

The emulator enforces the role, and says which actions it looked up for its calls. Nothing is
refused, and what is granted is what was looked up: without any action of it a call fails. What no
run can show is in ``EXCEPTIONS``, with the reason.
"""

from __future__ import annotations

import copy
import io
import json
import socket
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from c7n_secops_edge import protected
from tests import edge_logs, guardduty_fleet, inspector_data, ssm_fleet, test_cis, waf_scene
from tests import test_edge_posture as posture
from tests import test_flow_log_deny as flows
from tests import test_http_flood as floods
from tests import test_network_acl_block as subnets
from tests import test_ssh_logon as logons
from tests.edge_scene import (
    ALLOWED,
    CACHING_OPTIMIZED,
    EVERY_METHOD,
    behavior,
    custom_domain,
    distribution,
    endpoint,
    group_rule,
    method,
    origin,
    rate_rule,
    record,
    rest_api,
    rule_group,
    web_acl,
    zone,
)
from tests.emulator import Emulator, running
from tests.emulator.organisation import create_role, trust
from tests.harness import ACCOUNT, POLICIES, REGION
from tests.iam_scene import STOCK, Proof, Prover
from tests.incident_scene import CASE, WORKLOAD, assume
from tests.test_incident_triggers import guardduty as guardduty_finding

AGAIN = "Custodian reads tags again only where a sample of the instances has none"
SERVICE_ROLE = "AWS asks for it where the call makes the service's own role"
DELEGATES = "AWS asks for it where the call delegates to the administrator"
KEY = "AWS asks for it where the bucket or the object has a key of KMS"
DELEGATION = (
    "organizations:EnableAWSServiceAccess",
    "organizations:RegisterDelegatedAdministrator",
)
EXCEPTIONS: dict[str, dict[str, str]] = {
    "account-guard": {
        "iam:GenerateCredentialReport": "called where there is no report; then Custodian waits",
        "iam:ListRoles": "a function reads the role that the event names",
        "iam:ListUsers": "a function reads the user that the event names",
        "kms:Decrypt": KEY,
    },
    "cis-aws-foundations": {
        "iam:GenerateCredentialReport": "called where there is no report; then Custodian waits",
    },
    "edge": {"ec2:DescribeTags": AGAIN, "kms:Decrypt": KEY},
    "findings": {"ec2:DescribeTags": AGAIN, "kms:GenerateDataKey": KEY},
    "guardduty": {
        "guardduty:GetMembers": "called where a member joins while it is invited",
        "iam:CreateServiceLinkedRole": SERVICE_ROLE,
        **dict.fromkeys(DELEGATION, DELEGATES),
    },
    "incident-response": {
        "ec2:DescribeTags": AGAIN,
        "ec2:RevokeSecurityGroupIngress": "called where somebody opened the quarantine group",
        "kms:Decrypt": KEY,
        "kms:GenerateDataKey": KEY,
    },
    "inspector": {
        "ec2:DescribeTags": AGAIN,
        "iam:CreateServiceLinkedRole": SERVICE_ROLE,
        **dict.fromkeys(DELEGATION, DELEGATES),
    },
    "ssm": {"ec2:DescribeTags": AGAIN},
}
"""By pack, what a role has and no run here calls for."""
GUARD = ("account-guard", "mfa", "policies", "watch")
"""The pack and those of its files that do not contain; containment is proved by incidents."""
ON_INSTANCES = (
    *("critical-findings", "unscanned", "reboot-pending", "reboot-window"),
    *("patch-critical-event", "patch-critical"),
)
ON_MEMBERS = ("associate", "enable", "members", "forward", "organization")
"""Files of the pack inspector, of which two tests have a part each."""
VARIABLES = {
    **guardduty_fleet.VARIABLES,
    **posture.VARIABLES,
    "findings_bucket": "acme-findings",
    "findings_key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
    "mailer_queue": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/c7n-mailer",
    "evidence_bucket": "acme-evidence",
    "evidence_key": f"arn:aws:kms:{REGION}:{WORKLOAD}:key/1",
    "case": CASE,
}
ADMIN, ANNA, BERT, CARA, DORA, MANAGEMENT = (
    *(guardduty_fleet.ADMIN, guardduty_fleet.ANNA, guardduty_fleet.BERT),
    *(guardduty_fleet.CARA, guardduty_fleet.DORA, guardduty_fleet.STRANGER),
)
FLOOD = edge_logs.burst("9.9.9.9", 3, [450] * 5)


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def prove(enforcing: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prover:
    enforcing.reset()
    monkeypatch.chdir(tmp_path)
    resolve = socket.getaddrinfo

    def here(host: str, *rest: Any, **more: Any) -> Any:
        """S3 Control puts the account before the host's name, where ours is an address."""
        return resolve("127.0.0.1" if host.endswith(".127.0.0.1") else host, *rest, **more)

    def nameless(address: str) -> Any:
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "getaddrinfo", here)
    monkeypatch.setattr(socket, "gethostbyaddr", nameless)
    return Prover(enforcing, tmp_path, monkeypatch, VARIABLES)


def shipped(pack: str, *files: str) -> list[dict[str, Any]]:
    """The policies of a pack, or of files of it in their order."""
    paths = [POLICIES / pack / f"{file}.yml" for file in files]
    return [
        policy
        for path in paths or sorted((POLICIES / pack).glob("*.yml"))
        for policy in yaml.safe_load(path.read_text()).get("policies", ())
    ]


def check(prove: Prover, pack: str, *files: str, never: Sequence[str] = ()) -> None:
    """Every policy of a pack was run; nothing was refused, and nothing granted is idle.

    ``never`` are the exceptions of the pack that these files of it have no part in.
    """
    proofs = {each["name"]: prove.proofs[each["name"]] for each in shipped(pack, *files)}
    excepted = EXCEPTIONS[pack].keys() - set(never)
    assert {name: proof.refused for name, proof in proofs.items() if proof.refused} == {}
    idle = {name: proof.granted - proof.needed for name, proof in proofs.items()}
    assert {name: rest - excepted for name, rest in idle.items() if rest - excepted} == {}
    assert excepted - set().union(*idle.values()) == set(), "an exception that is none"


# --- compliance ---------------------------------------------------------------------------------


def test_the_compliance_policies_run_under_exactly_their_roles(prove: Prover) -> None:
    scene = test_cis.Scene(prove.emulator, test_cis.BROKEN)
    test_cis.make_sound(scene)
    test_cis.plant(scene)
    scene.iam.generate_credential_report()
    for policy in shipped("cis-aws-foundations"):
        prove(policy, account=test_cis.BROKEN)
    check(prove, "cis-aws-foundations")


# --- the account guard ---------------------------------------------------------------------------


def test_the_account_guard_runs_under_exactly_its_roles(prove: Prover) -> None:
    emulator = prove.emulator
    scene = test_cis.Scene(emulator, ACCOUNT)
    scene.user("person", password=True)
    scene.user("new")
    scene.iam.put_user_policy(UserName="person", PolicyName="own", PolicyDocument=test_cis.READ)
    scene.iam.create_policy(PolicyName="own", PolicyDocument=test_cis.READ)
    scene.iam.create_role(RoleName="role", AssumeRolePolicyDocument=test_cis.ASSUME)
    scene.iam.put_role_policy(RoleName="role", PolicyName="own", PolicyDocument=test_cis.READ)
    scene.iam.generate_credential_report()
    test_cis.bucket(scene, "bucket")
    scene.kms.create_key()
    scene.sns.create_topic(Name="topic")
    network = flows.Network(emulator)
    _, interface, address = network.instance()
    network.put(network.flow_log(), flows.text(flows.scan(interface, address, 20)))
    group = test_cis.group(scene, network.vpc, "ssh", "tcp", (22, 22), v4="0.0.0.0/0")
    logged, *_ = inspector_data.launch(emulator, 1)
    emulator.client("logs").create_log_group(logGroupName=logons.GROUP)
    logons.log(emulator, logged, [logons.said()])
    events = {
        "iam-user-new-deny-without-mfa": ("iam", "CreateUser", {"userName": "new"}),
        "iam-role-policy-changed": ("iam", "CreateRole", {"roleName": "role"}),
        "s3-policy-changed": ("s3", "PutBucketPolicy", {"bucketName": "bucket"}),
        "security-group-opened": ("ec2", "AuthorizeSecurityGroupIngress", {"groupId": group}),
    }
    for policy in shipped(*GUARD):
        source, name, parameters = events.get(policy["name"], ("", "", {}))
        detail = {
            "eventSource": f"{source}.amazonaws.com",
            "eventName": name,
            "requestParameters": parameters,
        }
        given = {"detail-type": "AWS API Call via CloudTrail", "detail": detail}
        if policy["name"] != "sqs-policy-unsafe":  # Custodian asks AWS's own endpoint, not ours
            prove(policy, event=given if source else None)
        else:
            prove.proofs[policy["name"]] = Proof()
    emulator.client("ec2").delete_flow_logs(
        FlowLogIds=[
            each["FlowLogId"] for each in emulator.client("ec2").describe_flow_logs()["FlowLogs"]
        ]
    )
    network.flow_log(
        "",
        LogDestinationType="cloud-watch-logs",
        LogGroupName=logons.GROUP,
        DeliverLogsPermissionArn=f"arn:aws:iam::{ACCOUNT}:role/flows",
    )
    logons.log(emulator, f"{interface}-all", ["nothing"])
    for name in ("ec2-scanned", "ec2-scans-its-network"):
        prove(name)
    check(prove, *GUARD)


def test_stock_filters_run_under_exactly_their_corrected_roles(prove: Prover) -> None:
    scene = test_cis.Scene(prove.emulator, test_cis.BROKEN)
    test_cis.plant_policies(scene)
    test_cis.trail(scene)
    for policy in STOCK:
        proof = prove(policy, account=test_cis.BROKEN)
        assert (proof.refused, proof.granted - proof.needed) == (set(), set())


# --- the edge -----------------------------------------------------------------------------------


def make_distributions(emulator: Emulator) -> None:
    """One without a web ACL, one that is flooded, one with each thing that is to be corrected."""
    s3 = emulator.client("s3")
    acl = web_acl(emulator, "edge", group_rule(rule_group(emulator, rate_rule())))
    posture.deliver(emulator, distribution(emulator, tags=ALLOWED))
    logging = {**posture.LOG, "Bucket": "edge-logs.s3.amazonaws.com", "Prefix": "cdn/"}
    flooded = distribution(emulator, tags=ALLOWED, WebACLId=acl, Logging=logging)
    s3.put_object(
        Bucket="edge-logs", Key=floods.key_of(flooded["Id"]), Body=edge_logs.cloudfront(FLOOD)
    )
    distribution(
        emulator,
        origin("o.example.com", tls=["TLSv1"]),
        behavior(PathPattern="/api/*", methods=EVERY_METHOD, policy=CACHING_OPTIMIZED),
        tags=ALLOWED,
        default=behavior(viewers="allow-all"),
        ViewerCertificate={
            "CloudFrontDefaultCertificate": False,
            "ACMCertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
            "MinimumProtocolVersion": "TLSv1",
        },
    )
    api = rest_api(emulator, tags=ALLOWED)
    method(emulator, api, "GET", key=True)
    distribution(emulator, origin(endpoint(api), headers={"X-Api-Key": "k"}), WebACLId=acl)
    domain = custom_domain(emulator, "api.example.com", api)["regionalDomainName"]
    record(emulator, zone(emulator), "api.example.com", "ALIAS", domain)


def make_regional(emulator: Emulator) -> None:
    """A load balancer and a stage behind a web ACL, with logs, and a web ACL without any."""
    s3, waf = emulator.client("s3"), emulator.client("wafv2")
    acl = floods.make_web_acl(emulator)
    group = rule_group(emulator, rate_rule(), scope="REGIONAL")
    web_acl(emulator, "silent", group_rule(group), scope="REGIONAL")
    balancer = floods.make_balancer(emulator)
    tags = [{"Key": key, "Value": value} for key, value in ALLOWED.items()]
    emulator.client("elbv2").add_tags(ResourceArns=[balancer], Tags=tags)
    waf.associate_web_acl(WebACLArn=acl, ResourceArn=balancer)
    floods.make_stage(emulator, acl)
    key, body = floods.balancer_key(balancer), edge_logs.load_balancer(FLOOD)
    s3.put_object(Bucket="edge-logs", Key=key, Body=body)
    errors = edge_logs.waf(edge_logs.burst("9.9.9.9", 0, [60], status=403))
    s3.put_object(Bucket="aws-waf-logs-edge", Key=floods.web_acl_key(), Body=errors)


def test_the_edge_policies_run_under_exactly_their_roles(
    prove: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = prove.emulator
    scene = waf_scene.Scene(emulator)
    for bucket in ("logs", "edge-logs", "aws-waf-logs-edge"):
        emulator.client("s3").create_bucket(Bucket=bucket)
    make_distributions(emulator)
    make_regional(emulator)
    subnet = subnets.Subnet(emulator)
    order = ("posture", "floods", "enforce", "rate-limit", "block-floods", "block-guardduty")
    for policy in shipped("edge", *order, "block-subnets", "block-subnets", "expire-blocks"):
        monkeypatch.setattr(protected, "_fetched", {})
        if "-block-" in policy["name"]:
            policy["actions"][0]["ip-ranges"] = waf_scene.RANGES
        else:
            subnet.let_time_pass()
            scene.let_time_pass()
            scene.let_time_pass("CLOUDFRONT")
        if policy["name"] in prove.proofs:  # a mark is taken back where the entry has no room
            emulator.fault("ec2", "CreateNetworkAclEntry", code="NetworkAclEntryLimitExceeded")
        is_event = policy.get("mode", {}).get("type") == "guard-duty"
        prove(policy, event=subnets.finding(subnet.instance) if is_event else None)
    check(prove, "edge")


# --- instances and findings ---------------------------------------------------------------------


def make_instances(emulator: Emulator) -> list[str]:
    """Instances with findings and old agents; an instance, an image, a function nobody scans."""
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="ENABLED", ecr="ENABLED", lambda_="ENABLED")
    tags = {"patch-reboot": "allowed", "ssm-packages": "managed"}
    ids = ssm_fleet.launch(emulator, 3, tags, AgentVersion="2.3.900.0", PingStatus="Online")
    for name in ids:
        ssm_fleet.find(emulator, name, exploitAvailable="YES", fixAvailable="YES")
    (unlisted,) = inspector_data.launch(emulator)
    repositories = emulator.client("ecr")
    repositories.create_repository(repositoryName="app")
    repositories.put_image(
        repositoryName="app",
        imageManifest=json.dumps({"schemaVersion": 2, "layers": [], "config": {"digest": "a"}}),
        imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
        imageTag="a",
    )
    role = create_role(emulator, ACCOUNT, "function", trust(Service="lambda.amazonaws.com"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.py", "")
    emulator.client("lambda").create_function(
        FunctionName="f",
        Runtime="python3.12",
        Role=role,
        Handler="a.b",
        Code={"ZipFile": archive.getvalue()},
    )
    covered = emulator.client("inspector2", ACCOUNT, REGION).list_coverage()["coveredResources"]
    for row in covered:
        if row["resourceId"] not in ids:
            absent = {"resourceId": row["resourceId"], "scanType": row["scanType"], "absent": True}
            emulator.set_coverage(ACCOUNT, REGION, [absent])
    return [*ids, unlisted]


def make_sinks(emulator: Emulator) -> None:
    """Where findings go, and one of GuardDuty."""
    emulator.client("s3").create_bucket(Bucket="acme-findings")
    emulator.client("sqs").create_queue(QueueName="c7n-mailer")
    emulator.client("securityhub").enable_security_hub()
    emulator.client("firehose").create_delivery_stream(
        DeliveryStreamName="c7n-secops-guardduty",
        S3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/function",
            "BucketARN": "arn:aws:s3:::acme-findings",
        },
    )
    guardduty = emulator.client("guardduty")
    detector = guardduty.create_detector(Enable=True)["DetectorId"]
    guardduty.create_sample_findings(DetectorId=detector, FindingTypes=["Backdoor:EC2/Spambot"])


def closed_finding(instance: str) -> dict[str, Any]:
    sample = "inspector2-ec2-package-closed-2024.json"
    return inspector_data.sample_event(sample, instance, status="ACTIVE", severity="CRITICAL")


def test_the_policies_on_instances_run_under_exactly_their_roles(prove: Prover) -> None:
    emulator = prove.emulator
    guardduty_fleet.accounts_file(ANNA)
    *ids, unlisted = make_instances(emulator)
    before = [{"Key": "sent", "Value": "before"}]
    emulator.client("ec2", ACCOUNT, REGION).create_tags(Resources=ids[:1], Tags=before)
    make_sinks(emulator)
    waits = {"InstalledPendingRebootCount": 1}
    install = {"action": ["Install"], "name": ["AmazonCloudWatchAgent"]}
    patch: tuple[str, dict[str, Any]] = ("AWS-RunPatchBaseline", {"Operation": ["Install"]})
    by_tag = {
        "ec2-scan-after-reboot": ("AWS-RunPatchBaseline", {"Operation": ["Scan"]}),
        "ec2-patch-critical": patch,
        "ec2-patch-critical-on-finding": patch,
        "ec2-ssm-agent-update": ("AWS-UpdateSSMAgent", {}),
        "ec2-ssm-packages": ("AWS-ConfigureAWSPackage", install),
    }
    order = (*shipped("inspector", *ON_INSTANCES), *shipped("ssm"), *shipped("findings"))
    for policy in order:
        for name in ids:
            emulator.set_patch_state(ACCOUNT, REGION, name, **waits)
        if policy["name"] in by_tag:  # somebody else has sent a command to the first
            document, parameters = by_tag[policy["name"]]
            emulator.client("ssm", ACCOUNT, REGION).send_command(
                DocumentName=document,
                Targets=[{"Key": "tag:sent", "Values": ["before"]}],
                Parameters=parameters,
            )
        is_event = policy.get("mode", {}).get("type") == "inspector-finding"
        for name in (ids[2], unlisted) if is_event else (None,):
            prove(policy, event=name and closed_finding(name))
        emulator.finish_commands(ACCOUNT, REGION)
    check(prove, "ssm")
    check(prove, "findings")
    check(prove, "inspector", *ON_INSTANCES, never=[*DELEGATION, "iam:CreateServiceLinkedRole"])


# --- members ------------------------------------------------------------------------------------


def test_the_policies_on_members_run_under_exactly_their_roles(prove: Prover) -> None:
    emulator = prove.emulator
    corrected = {f"a{CARA}": {"email": "new@example.com"}}
    guardduty_fleet.accounts_file(ANNA, BERT, CARA, **corrected)
    fleet = guardduty_fleet.Fleet(emulator, None)  # type: ignore[arg-type]
    emulator.client("s3").create_bucket(Bucket="acme-findings")
    emulator.client("sns").create_topic(Name="c7n-secops-alerts")
    emulator.client("events").create_event_bus(Name="security")
    none = {"ec2": "DISABLED", "ecr": "DISABLED", "lambda_": "DISABLED"}
    for account in (ADMIN, ANNA, BERT, CARA):
        emulator.set_inspector_status(account, REGION, **none)

    prove("guardduty-enable", account=ADMIN)
    for account in (ADMIN, BERT):
        fleet.client(account).update_detector(DetectorId=fleet.detector(account), Enable=False)
    prove("guardduty-enable", account=ADMIN)
    fleet.seeded(CARA, RelationshipStatus="EmailVerificationFailed")
    prove("guardduty-invite", account=ADMIN)
    for account in (ANNA, BERT):
        prove("guardduty-accept", account=account)
    prove("guardduty-export", account=ADMIN)
    detector = fleet.detector(ADMIN)
    (there,) = fleet.client(ADMIN).list_publishing_destinations(DetectorId=detector)["Destinations"]
    fleet.client(ADMIN).update_publishing_destination(
        DetectorId=detector,
        DestinationId=there["DestinationId"],
        DestinationProperties={
            "DestinationArn": "arn:aws:s3:::acme-findings",
            "KmsKeyArn": VARIABLES["guardduty_key"],
        },
    )
    prove("guardduty-export", account=ADMIN)

    for policy in (*shipped("guardduty", "members"), *shipped("inspector", *ON_MEMBERS[:3])):
        for account in (ADMIN, ANNA):
            prove(policy, account=account)
    prove("findings-forward", account=ANNA)
    events, rule = emulator.client("events", ANNA, REGION), "c7n-secops-forward-guardduty"
    events.remove_targets(Rule=rule, Ids=["c7n-secops"])
    for name in ("findings-forward", "findings-not-forwarded"):
        prove(name, account=ANNA)

    fleet.seeded(DORA, RelationshipStatus="Resigned")
    prove("guardduty-members-watch", account=ADMIN)
    prove("guardduty-members-watch", account=ANNA)
    left = {
        "source": "aws.guardduty",
        "detail-type": "AWS API Call via CloudTrail",
        "account": DORA,
        "region": REGION,
        "detail": {
            "eventSource": "guardduty.amazonaws.com",
            "eventName": "DisassociateFromMasterAccount",
            "awsRegion": REGION,
            "recipientAccountId": DORA,
        },
    }
    prove("guardduty-member-left", account=ADMIN, event=left)
    emulator.form_organization(
        MANAGEMENT,
        [
            {"id": each, "name": each, "email": guardduty_fleet.email(each)}
            for each in (MANAGEMENT, ADMIN, ANNA)
        ],
    )
    for name in ("guardduty-organization", "inspector-organization"):
        for account in (MANAGEMENT, ADMIN):
            prove(name, account=account)
    check(prove, "guardduty")
    check(prove, "inspector", *ON_MEMBERS, never=["ec2:DescribeTags"])


# --- incidents ----------------------------------------------------------------------------------


def make_evidence(emulator: Emulator) -> None:
    s3 = emulator.client("s3", WORKLOAD, REGION)
    s3.create_bucket(Bucket="acme-evidence", ObjectLockEnabledForBucket=True)
    retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    s3.put_object_lock_configuration(
        Bucket="acme-evidence",
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention},
    )
    emulator.client("sns", WORKLOAD, REGION).create_topic(Name="c7n-secops-incident-response")


def make_suspect(emulator: Emulator, name: str) -> str:
    """An instance of a group behind a load balancer, with an address and a role, in its network."""
    ec2, iam = emulator.client("ec2", WORKLOAD, REGION), emulator.client("iam", WORKLOAD)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/16")["Subnet"]["SubnetId"]
    target = emulator.client("elbv2", WORKLOAD, REGION).create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=vpc
    )["TargetGroups"][0]["TargetGroupArn"]
    scaling = emulator.client("autoscaling", WORKLOAD, REGION)
    scaling.create_launch_configuration(
        LaunchConfigurationName=name, ImageId="ami-12345678", InstanceType="t3.micro"
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchConfigurationName=name,
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=1,
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[target],
    )
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    instance: str = group["Instances"][0]["InstanceId"]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": name})
    (interface,) = ec2.describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
    )["NetworkInterfaces"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface["NetworkInterfaceId"])
    return instance


def tag(client: Any, instance: str, **tags: str) -> None:
    marks = [
        {"Key": f"c7n-secops:{key.replace('_', '-')}", "Value": value}
        for key, value in tags.items()
    ]
    client.create_tags(Resources=[instance], Tags=marks)


def on_tag(instance: str) -> dict[str, Any]:
    """CloudTrail's event of a tag."""
    return {
        "account": WORKLOAD,
        "region": REGION,
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": "ec2.amazonaws.com",
            "eventName": "CreateTags",
            "requestParameters": {"resourcesSet": {"items": [{"resourceId": instance}]}},
        },
    }


def on_request(instance: str) -> dict[str, Any]:
    """The event of a request to the endpoint."""
    return {
        "source": "c7n-secops.incident-response",
        "detail-type": "Containment Requested",
        "account": WORKLOAD,
        "region": REGION,
        "detail": {"instance": instance, "case": CASE},
    }


def test_the_policies_on_incidents_run_under_exactly_their_roles(prove: Prover) -> None:
    emulator = prove.emulator
    make_evidence(emulator)
    names = ("named", "found", "asked", "told", "tagged")
    named, found, asked, told, tagged = (make_suspect(emulator, name) for name in names)
    ec2 = emulator.client("ec2", WORKLOAD, REGION)
    tag(ec2, found, auto_contain="allowed")
    for name in (told, tagged):
        tag(ec2, name, contain="yes", case=CASE)
    runs: list[tuple[str, str, dict[str, Any] | None]] = [
        ("ec2-contain-instance", named, None),
        ("ec2-contain-on-guardduty", found, guardduty_finding(found)),
        ("ec2-contain-on-request", asked, on_request(asked)),
        ("ec2-contain-on-tag", told, on_tag(told)),
        ("ec2-contain-tagged", tagged, None),
    ]
    for policy, instance, event in runs:
        for _ in range(2):  # the second time there is a case to go on with
            prove(policy, account=WORKLOAD, event=event, instances=[instance])
            ec2.delete_tags(Resources=[instance], Tags=[{"Key": "c7n-secops:state"}])
    for name in (named, found, tagged):
        tag(ec2, name, state="contained")

    (captured,) = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"]
    tag(ec2, captured["InstanceId"], case="INC-9", snapshots="pending")
    for _ in range(2):
        prove("ec2-finish-snapshots", account=WORKLOAD)
        tag(ec2, captured["InstanceId"], snapshots="pending")

    (bare,) = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"]
    bare = bare["InstanceId"]
    prove("ec2-contain-instance", account=WORKLOAD, instances=[bare])
    for name in (named, bare):  # somebody gave them a profile meanwhile
        ec2.associate_iam_instance_profile(InstanceId=name, IamInstanceProfile={"Name": "found"})
    ec2.modify_instance_metadata_options(InstanceId=named, HttpEndpoint="disabled")

    person = create_role(emulator, WORKLOAD, "responder", trust(AWS="*"))
    responder = assume(emulator, person).client("ec2", endpoint_url=emulator.url)
    for name in (tagged, named, bare):
        tag(responder, name, release_requested=CASE)
        tag(ec2, name, release_approved=CASE)
    for name in ("ec2-release-agreed", "ec2-release", "ec2-containment-unfinished"):
        prove(name, account=WORKLOAD)
    check(prove, "incident-response")


# --- deployment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guardduty-member-left", "guardduty-members-watch"])
def test_functions_are_deployed_and_updated_under_exactly_the_deploying_role(
    prove: Prover, name: str
) -> None:
    emulator = prove.emulator
    guardduty_fleet.accounts_file()
    emulator.client("events").create_event_bus(Name="security")
    create_role(emulator, ACCOUNT, "c7n-secops-lambda", trust(Service="lambda.amazonaws.com"))
    (policy,) = (each for each in shipped("guardduty", "watch") if each["name"] == name)
    before, after = copy.deepcopy(policy), copy.deepcopy(policy)
    before["mode"] |= {"tags": {"team": "a", "old": "b"}, "concurrency": 1}
    after["mode"] |= {"tags": {"team": "b"}, "timeout": 120}
    for version in (before, after):
        prove(version, deploy=True)
    proof = prove.proofs[name]
    assert proof.refused == set()
    assert proof.granted - proof.needed == set()


# --- and not without any of it ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["cis-key-no-rotation", "ec2-ssm-agent-absent", "inspector-enable"]
)
def test_without_any_action_of_its_role_a_call_of_the_policy_is_refused(
    prove: Prover, name: str
) -> None:
    inspector_data.launch(prove.emulator)
    prove.emulator.client("kms", ACCOUNT, REGION).create_key()

    def refused(without: str = "") -> set[str]:
        off = dict.fromkeys(("ec2", "ecr", "lambda_"), "DISABLED")
        prove.emulator.set_inspector_status(ACCOUNT, REGION, **off)
        with suppress(ClientError):
            prove(name, without=without)
        return prove.last.refused

    assert refused() == set()
    granted = prove.last.granted - {"iam:CreateServiceLinkedRole"}
    assert len(granted) > 1
    assert [action for action in sorted(granted) if not refused(action)] == []
