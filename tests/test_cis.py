"""The CIS pack on two seeded accounts: every planted violation is found, and nothing else."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from c7n_secops_compliance import peering
from c7n_secops_tools.testing.runs import Run
from tests.cis_scene import (
    ADMIN,
    ASSUME,
    BROKEN,
    READ,
    SOUND,
    Scene,
    ago,
    alarms,
    policies,
    put_alarm,
)
from tests.emulator import Emulator
from tests.harness import REGION, Custodian

SUPPORT = "arn:aws:iam::aws:policy/AWSSupportAccess"
SHELL = "arn:aws:iam::aws:policy/AWSCloudShellFullAccess"
IMAGE = "ami-12c6146b"
METADATA = (
    '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp">'
    '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
    '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" '
    'Location="https://idp/sso"/></IDPSSODescriptor></EntityDescriptor>'
).ljust(1024)
BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
ALL_BLOCKED = dict.fromkeys(BLOCKS, True)


def statement(bucket: str, effect: str, condition: dict[str, Any]) -> str:
    rule = {
        "Effect": effect,
        "Principal": {"AWS": "*"} if bucket.startswith("logs-") else "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": condition,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [rule]})


def in_other_words(resource: str) -> str:
    """One statement, not in a list, that denies old versions of TLS by a bare number."""
    rule = {
        "Effect": "Deny",
        "Principal": {"AWS": ["*"]},
        "Action": "*",
        "Resource": resource,
        "Condition": {"NumericLessThan": {"s3:TlsVersion": 1.3}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": rule})


def bucket(scene: Scene, name: str, *, sound: bool = True, tls: str = "aws:SecureTransport") -> str:
    s3 = scene.s3
    s3.create_bucket(Bucket=name)
    if not sound:
        return name
    conditions = {
        "aws:SecureTransport": {"Bool": {"aws:SecureTransport": "false"}},
        "s3:TlsVersion": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=statement(name, "Deny", conditions[tls]))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=ALL_BLOCKED)
    scene.seed("s3", "mfa_delete", [name])
    return name


def database(scene: Scene, name: str, **change: Any) -> str:
    given = {
        "Engine": "postgres",
        "DBInstanceClass": "db.m5.large",
        "AllocatedStorage": 20,
        "MasterUsername": "owner",
        "MasterUserPassword": "long-enough",
        "StorageEncrypted": True,
        "AutoMinorVersionUpgrade": True,
        "PubliclyAccessible": False,
        "MultiAZ": True,
        **change,
    }
    scene.rds.create_db_instance(DBInstanceIdentifier=name, **given)
    return name


def cluster(scene: Scene, name: str, zones: tuple[str, ...]) -> str:
    """A cluster with a member in each of these zones, none of them in several by itself."""
    scene.rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="owner",
        MasterUserPassword="long-enough",
        StorageEncrypted=True,
    )
    for number, zone in enumerate(zones):
        scene.rds.create_db_instance(
            DBInstanceIdentifier=f"{name}-{number}",
            DBClusterIdentifier=name,
            DBInstanceClass="db.r5.large",
            Engine="aurora-postgresql",
            AvailabilityZone=zone,
            StorageEncrypted=True,
            AutoMinorVersionUpgrade=True,
            PubliclyAccessible=False,
            MultiAZ=False,
        )
    return name


def instance(scene: Scene, tokens: str = "required", profile: bool = True) -> str:
    ec2 = scene.ec2
    more = {"IamInstanceProfile": {"Name": "server"}} if profile else {}
    made = ec2.run_instances(
        ImageId=IMAGE, MinCount=1, MaxCount=1, MetadataOptions={"HttpTokens": tokens}, **more
    )
    return str(made["Instances"][0]["InstanceId"])


def group(
    scene: Scene, vpc: str, name: str, protocol: str, ports: tuple[int, int], **to: str
) -> str:
    ec2 = scene.ec2
    made = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
    rule: dict[str, Any] = {"IpProtocol": protocol, "FromPort": ports[0], "ToPort": ports[1]}
    if "v4" in to:
        rule["IpRanges"] = [{"CidrIp": to["v4"]}]
    if "v6" in to:
        rule["Ipv6Ranges"] = [{"CidrIpv6": to["v6"]}]
    ec2.authorize_security_group_ingress(GroupId=made, IpPermissions=[rule])
    return str(made)


def acl(scene: Scene, vpc: str, ports: tuple[int, int], block: str = "0.0.0.0/0") -> str:
    ec2 = scene.ec2
    made = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    ec2.create_network_acl_entry(
        NetworkAclId=made,
        RuleNumber=100,
        Protocol="6",
        RuleAction="allow",
        Egress=False,
        CidrBlock=block,
        PortRange={"From": ports[0], "To": ports[1]},
    )
    return str(made)


def close_defaults(scene: Scene, vpc: str) -> None:
    """Take the rules off a network's default group and narrow its default list."""
    ec2 = scene.ec2
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    for each in ec2.describe_security_groups(Filters=here)["SecurityGroups"]:
        if each["GroupName"] == "default":
            for rules, revoke in (
                ("IpPermissions", ec2.revoke_security_group_ingress),
                ("IpPermissionsEgress", ec2.revoke_security_group_egress),
            ):
                if each[rules]:
                    revoke(GroupId=each["GroupId"], IpPermissions=each[rules])
    for each in ec2.describe_network_acls(Filters=here)["NetworkAcls"]:
        ec2.replace_network_acl_entry(
            NetworkAclId=each["NetworkAclId"],
            RuleNumber=100,
            Protocol="-1",
            RuleAction="allow",
            Egress=False,
            CidrBlock="10.0.0.0/8",
        )


def network(scene: Scene, block: str, *, logged: bool = True) -> str:
    ec2 = scene.ec2
    vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    if logged:
        log_network(scene, vpc)
    return str(vpc)


def log_network(scene: Scene, vpc: str) -> None:
    logs_to = "b-sound" if scene.account == BROKEN else f"logs-{SOUND}"
    scene.ec2.create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{logs_to}",
    )


def default_vpc(scene: Scene) -> str:
    found = scene.ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])
    return str(found["Vpcs"][0]["VpcId"])


def certificate(scene: Scene, name: str) -> None:
    scene.iam.upload_server_certificate(
        ServerCertificateName=name, CertificateBody="body", PrivateKey="key"
    )


def make_sound(scene: Scene, *, advanced: bool = False) -> None:
    """An account that meets every control."""
    iam = scene.iam
    for kind in ("BILLING", "OPERATIONS", "SECURITY"):
        scene.account_client.put_alternate_contact(
            AlternateContactType=kind,
            Name="Team",
            Title="Team",
            EmailAddress="a@example.com",
            PhoneNumber="+441234567",
        )
    scene.seed("iam", "root", {"AccountMFAEnabled": 1})
    iam.update_account_password_policy(MinimumPasswordLength=14, PasswordReusePrevention=24)
    iam.create_role(RoleName="support", AssumeRolePolicyDocument=ASSUME)
    iam.attach_role_policy(RoleName="support", PolicyArn=SUPPORT)
    iam.create_saml_provider(Name="people", SAMLMetadataDocument=METADATA)
    analyzer = {
        "arn": f"arn:aws:access-analyzer:{REGION}:{scene.account}:analyzer/a",
        "name": "a",
        "type": "ACCOUNT",
        "status": "ACTIVE",
        "createdAt": ago(1),
    }
    scene.seed("ec2", "analyzers", [analyzer], REGION)
    scene.macie2.enable_macie()
    scene.s3control.put_public_access_block(
        AccountId=scene.account, PublicAccessBlockConfiguration=ALL_BLOCKED
    )
    scene.securityhub.enable_security_hub()
    scene.ec2.enable_ebs_encryption_by_default()
    record_everything(scene)
    trail(scene, advanced=advanced)


def record_everything(scene: Scene) -> None:
    config = scene.config
    config.put_configuration_recorder(
        ConfigurationRecorder={
            "name": "default",
            "roleARN": f"arn:aws:iam::{scene.account}:role/config",
            "recordingGroup": {"allSupported": True, "includeGlobalResourceTypes": True},
        }
    )
    config.put_delivery_channel(
        DeliveryChannel={"name": "default", "s3BucketName": bucket(scene, f"cfg-{scene.account}")}
    )
    config.start_configuration_recorder(ConfigurationRecorderName="default")


ADVANCED = [
    {
        "Name": "management",
        "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}],
    },
    {
        "Name": "objects",
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ],
    },
]
BASIC = [
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
    }
]


def trail(scene: Scene, *, advanced: bool = False) -> None:
    files, logs = bucket(scene, f"trail-{scene.account}"), bucket(scene, f"logs-{scene.account}")
    grants = [
        {
            "Grantee": {
                "Type": "Group",
                "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery",
            },
            "Permission": permission,
        }
        for permission in ("WRITE", "READ_ACP")
    ]
    owner = scene.s3.get_bucket_acl(Bucket=logs)["Owner"]
    scene.s3.put_bucket_acl(Bucket=logs, AccessControlPolicy={"Grants": grants, "Owner": owner})
    scene.s3.put_bucket_logging(
        Bucket=files,
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": logs, "TargetPrefix": ""}},
    )
    scene.logs.create_log_group(logGroupName="trail")
    group_arn = f"arn:aws:logs:{REGION}:{scene.account}:log-group:trail:*"
    scene.cloudtrail.create_trail(
        Name="all",
        S3BucketName=files,
        IsMultiRegionTrail=True,
        EnableLogFileValidation=True,
        KmsKeyId="alias/trail",
        CloudWatchLogsLogGroupArn=group_arn,
        CloudWatchLogsRoleArn=f"arn:aws:iam::{scene.account}:role/trail",
    )
    scene.cloudtrail.start_logging(Name="all")
    select(
        scene, **({"AdvancedEventSelectors": ADVANCED} if advanced else {"EventSelectors": BASIC})
    )
    topic = scene.sns.create_topic(Name="alarms")["TopicArn"]
    scene.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:1:q")
    for name, pattern in alarms().items():
        put_alarm(scene, name, pattern, topic=topic)


def select(scene: Scene, **selectors: Any) -> None:
    scene.cloudtrail.put_event_selectors(TrailName="all", **selectors)


def found(run: Run, policy: dict[str, Any]) -> set[str]:
    names = {
        "aws.account": "account_id",
        "aws.iam-user": "UserName",
        "aws.iam-policy": "PolicyName",
        "aws.ec2": "InstanceId",
        "aws.iam-certificate": "ServerCertificateName",
        "aws.s3": "Name",
        "aws.rds": "DBInstanceIdentifier",
        "aws.rds-cluster": "DBClusterIdentifier",
        "aws.efs": "FileSystemId",
        "aws.cloudtrail": "Name",
        "aws.kms-key": "KeyId",
        "aws.vpc": "VpcId",
        "aws.security-group": "GroupId",
        "aws.network-acl": "NetworkAclId",
        "aws.route-table": "RouteTableId",
    }
    return {str(resource[names[policy["resource"]]]) for resource in run.resources}


def run_pack(custodian: Custodian, account: str) -> dict[str, set[str]]:
    return {
        policy["name"]: found(custodian(policy, account=account), policy) for policy in policies()
    }


@pytest.fixture(autouse=True)
def _every_prefix_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 Control puts the account before the host's name, where ours is an address."""
    resolve = socket.getaddrinfo

    def here(host: str, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host.endswith(".127.0.0.1") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)


def test_a_sound_account_matches_nothing(emulator: Emulator, custodian: Custodian) -> None:
    scene = Scene(emulator, SOUND)
    make_sound(scene)
    vpc = default_vpc(scene)
    log_network(scene, vpc)
    close_defaults(scene, vpc)
    scene.iam.generate_credential_report()
    assert {name: ids for name, ids in run_pack(custodian, SOUND).items() if ids} == {}


def plant(scene: Scene) -> dict[str, set[str]]:
    """Break every control in one account, beside near misses; what each policy must find."""
    planted: dict[str, set[str]] = {}
    for policy in policies():
        if policy["resource"] == "aws.account":
            planted[policy["name"]] = {BROKEN}
    planted["cis-root-hardware-mfa"] = {BROKEN}
    iam, ec2 = scene.iam, scene.ec2
    root = {"password_last_used": ago(29)}
    scene.seed("iam", "credential_report", {"<root_account>": root})
    scene.seed("iam", "root", {"AccountAccessKeysPresent": 1})
    scene.account_client.put_alternate_contact(
        AlternateContactType="BILLING",
        Name="T",
        Title="T",
        EmailAddress="a@example.com",
        PhoneNumber="+441234567",
    )
    iam.update_account_password_policy(MinimumPasswordLength=13, PasswordReusePrevention=23)
    scene.s3control.put_public_access_block(
        AccountId=BROKEN, PublicAccessBlockConfiguration={**ALL_BLOCKED, "IgnorePublicAcls": False}
    )
    scene.macie2.enable_macie(status="PAUSED")
    planted |= plant_users(scene) | plant_policies(scene) | plant_buckets(scene)
    planted |= plant_network(scene)

    planted["cis-rds-unencrypted"] = {database(scene, "plain", StorageEncrypted=False)}
    planted["cis-rds-minor-upgrade"] = {database(scene, "old", AutoMinorVersionUpgrade=False)}
    planted["cis-rds-public"] = {database(scene, "public", PubliclyAccessible=True)}
    planted["cis-rds-single-zone"] = {database(scene, "single", MultiAZ=False)}
    database(scene, "sound")
    cluster(scene, "spread", ("us-east-1a", "us-east-1b"))
    planted["cis-rds-cluster-single-zone"] = {cluster(scene, "together", ("us-east-1a",) * 2)}
    efs = scene.efs
    efs.create_file_system(CreationToken="sound", Encrypted=True)
    plain = efs.create_file_system(CreationToken="plain", Encrypted=False)["FileSystemId"]
    planted["cis-efs-unencrypted"] = {plain}

    iam.create_instance_profile(InstanceProfileName="server")
    instance(scene)
    planted["cis-imdsv1"] = {instance(scene, tokens="optional")}
    planted["cis-instance-without-role"] = {instance(scene, profile=False)}
    gone = instance(scene, tokens="optional", profile=False)
    ec2.terminate_instances(InstanceIds=[gone])

    kms = scene.kms
    still = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.enable_key_rotation(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    kms.disable_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    planted["cis-key-no-rotation"] = {still}
    return planted


def plant_users(scene: Scene) -> dict[str, set[str]]:
    recent = {"password_last_used": ago(1)}
    key_used = {"access_key_1_last_used_date": ago(1)}
    scene.user("sound", password=True, mfa=True, keys=(30,), **recent, **key_used)
    scene.user("no-mfa", password=True, **recent)
    scene.user("no-console", keys=(0.5,), made=0.5)
    scene.user("initial", made=20, keys=(20,), password=True, mfa=True, **recent, **key_used)
    scene.user("idle-44", password=True, mfa=True, password_last_used=ago(44))
    scene.user("idle", password=True, mfa=True, password_last_used=ago(46))
    scene.user("never-in", password=True, mfa=True, made=50)
    scene.user("idle-key", keys=(60,), access_key_1_last_used_date=ago(46))
    scene.user("unused-key", keys=(46,))
    scene.user("old-key", keys=(91,), **key_used)
    scene.user("two-keys", keys=(10, 11), **key_used)
    _, off = scene.user("one-off", keys=(10, 95), access_key_2_last_used_date=ago(90), **key_used)
    scene.iam.update_access_key(UserName="one-off", AccessKeyId=off, Status="Inactive")
    scene.user("inline")
    scene.iam.put_user_policy(UserName="inline", PolicyName="own", PolicyDocument=READ)
    return {
        "cis-user-mfa": {"no-mfa"},
        "cis-user-initial-key": {"initial"},
        "cis-user-unused-password": {"idle", "never-in"},
        "cis-user-unused-key": {"idle-key"},
        "cis-user-never-used-key": {"unused-key"},
        "cis-user-two-keys": {"two-keys"},
        "cis-user-old-key": {"old-key"},
        "cis-user-direct-policy": {"inline"},
    }


def plant_policies(scene: Scene) -> dict[str, set[str]]:
    iam = scene.iam
    iam.create_role(RoleName="anybody", AssumeRolePolicyDocument=ASSUME)
    for name, document, attach in (
        ("everything", ADMIN, True),
        ("everything-in-two-parts", ADMIN.replace('"Action": "*"', '"Action": ["*:*"]'), True),
        ("everything-unused", ADMIN, False),
        ("reader", READ, True),
    ):
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
        if attach:
            iam.attach_role_policy(RoleName="anybody", PolicyArn=arn)
    iam.attach_role_policy(RoleName="anybody", PolicyArn=SHELL)
    certificate(scene, "expired")
    certificate(scene, "current")
    scene.seed("iam", "certificates", {"expired": ago(0.5), "current": ago(-0.5)})
    return {
        "cis-policy-full-admin": {"everything", "everything-in-two-parts"},
        "cis-cloudshell-full-access": {"AWSCloudShellFullAccess"},
        "cis-expired-certificate": {"expired"},
    }


def plant_buckets(scene: Scene) -> dict[str, set[str]]:
    s3 = scene.s3
    bucket(scene, "b-sound", tls="s3:TlsVersion")
    bare = bucket(scene, "b-bare", sound=False)
    allows = bucket(scene, "b-allows")
    s3.put_bucket_policy(
        Bucket=allows, Policy=statement(allows, "Allow", {"Bool": {"aws:SecureTransport": "true"}})
    )
    words = bucket(scene, "b-other-words")
    s3.put_bucket_policy(Bucket=words, Policy=in_other_words("*"))
    objects = bucket(scene, "b-objects")
    s3.put_bucket_policy(Bucket=objects, Policy=in_other_words(f"arn:aws:s3:::{objects}/*"))
    half = bucket(scene, "b-half")
    s3.put_public_access_block(
        Bucket=half,
        PublicAccessBlockConfiguration={**ALL_BLOCKED, "RestrictPublicBuckets": False},
    )
    files = bucket(scene, "b-trail")
    scene.cloudtrail.create_trail(Name="weak", S3BucketName=files, IsMultiRegionTrail=False)
    scene.cloudtrail.start_logging(Name="weak")
    return {
        "cis-bucket-plain-http": {bare, allows, objects},
        "cis-bucket-mfa-delete": {bare},
        "cis-bucket-public-block": {bare, half},
        "cis-trail-bucket-unlogged": {files},
        "cis-trail-no-validation": {"weak"},
        "cis-trail-no-key": {"weak"},
    }


def plant_network(scene: Scene) -> dict[str, set[str]]:
    ec2 = scene.ec2
    first = default_vpc(scene)
    close_defaults(scene, first)
    log_network(scene, first)
    quiet = network(scene, "10.1.0.0/16", logged=False)
    peer = network(scene, "10.2.0.0/16")
    close_defaults(scene, quiet)
    close_defaults(scene, peer)
    open_default = network(scene, "10.3.0.0/16")
    here = [{"Name": "vpc-id", "Values": [open_default]}]
    default = ec2.describe_security_groups(Filters=here)["SecurityGroups"][0]["GroupId"]
    default_acl = ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]["NetworkAclId"]
    ssh = group(scene, first, "ssh", "tcp", (0, 1000), v4="0.0.0.0/0")
    rdp6 = group(scene, first, "rdp6", "tcp", (3389, 3389), v6="::/0")
    cifs = group(scene, first, "cifs", "tcp", (445, 445), v6="::/0")
    group(scene, first, "office", "tcp", (22, 22), v4="203.0.113.0/24")
    group(scene, first, "web", "tcp", (443, 443), v4="0.0.0.0/0")
    group(scene, first, "ping", "icmp", (8, -1), v4="0.0.0.0/0")
    acls = {acl(scene, first, (22, 22)), default_acl}
    acl(scene, first, (443, 443))
    acl(scene, first, (22, 22), "203.0.113.0/24")
    link = ec2.create_vpc_peering_connection(VpcId=quiet, PeerVpcId=peer)
    link = link["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=link)
    tables = {}
    for name, block in (("wide", "10.0.0.0/8"), ("exact", "10.2.0.0/16"), ("part", "10.2.7.0/24")):
        table = ec2.create_route_table(VpcId=quiet)["RouteTable"]["RouteTableId"]
        ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=block, VpcPeeringConnectionId=link
        )
        tables[name] = table
    return {
        "cis-vpc-no-flow-log": {quiet},
        "cis-default-group-open": {default},
        "cis-group-open-admin": {ssh},
        "cis-group-open-admin-ipv6": {rdp6},
        "cis-group-open-cifs": {ssh, cifs},
        "cis-acl-open-admin": acls,
        "cis-peering-route-wide": {tables["wide"], tables["exact"]},
    }


def test_every_planted_violation_is_found_and_nothing_else(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, BROKEN)
    planted = {policy["name"]: set() for policy in policies()} | plant(scene)
    scene.iam.generate_credential_report()
    result = run_pack(custodian, BROKEN)
    assert {n: (ids, planted[n]) for n, ids in result.items() if ids != planted[n]} == {}


def test_a_refused_read_is_reported_not_passed(emulator: Emulator, custodian: Custodian) -> None:
    emulator.fault("account", "GetAlternateContact", code="AccessDeniedException", times=None)
    run = custodian("cis-account-security-contact", account=SOUND)
    assert run.resources == []
    assert [record["code"] for record in run.not_evaluated] == ["AccessDeniedException"]


def test_keys_that_cannot_be_listed_are_reported_not_passed(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, SOUND)
    scene.user("initial", made=20, keys=(20,), password=True)
    scene.iam.generate_credential_report()
    emulator.fault("iam", "ListAccessKeys", code="AccessDenied", times=None)
    run = custodian("cis-user-initial-key", account=SOUND)
    assert (run.resources, [r["resource"] for r in run.not_evaluated]) == ([], ["initial"])


OBJECTS = ("cis-object-writes-unlogged", "cis-object-reads-unlogged")
WRITES, READS = ({name} for name in OBJECTS)


def advanced(**more: Any) -> dict[str, Any]:
    fields = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        *({"Field": field, **by} for field, by in more.items()),
    ]
    return {"AdvancedEventSelectors": [{"Name": "objects", "FieldSelectors": fields}]}


def basic(kind: str = "All", bucket: str = "arn:aws:s3") -> dict[str, Any]:
    chosen = {"Type": "AWS::S3::Object", "Values": [bucket]}
    return {"EventSelectors": [{"ReadWriteType": kind, "DataResources": [chosen]}]}


def test_only_a_selector_of_all_buckets_logs_reads_or_writes(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, SOUND)
    trail(scene)
    selectors: list[tuple[dict[str, Any], set[str]]] = [
        (basic("WriteOnly"), READS),
        (basic(bucket="arn:aws:s3:::one/"), READS | WRITES),
        (advanced(readOnly={"Equals": ["false"]}), READS),
        (advanced(readOnly={"Equals": ["true"]}), WRITES),
        (advanced(**{"resources.ARN": {"StartsWith": ["arn:aws:s3:::one/"]}}), READS | WRITES),
    ]
    for chosen, missing in selectors:
        select(scene, **chosen)
        assert {name for name in OBJECTS if custodian(name, account=SOUND).resources} == missing


def test_an_alarm_counts_only_whole_and_with_a_reader(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, SOUND)
    trail(scene)
    logs, alarm = scene.logs, scene.cloudwatch
    logs.delete_metric_filter(logGroupName="trail", filterName="cis-alarm-root-use")
    alarm.delete_alarms(AlarmNames=["cis-alarm-iam-changes"])
    lame = alarms()["cis-alarm-trail-changes"].replace("DeleteTrail", "DescribeTrails")
    logs.delete_metric_filter(logGroupName="trail", filterName="cis-alarm-trail-changes")
    put_alarm(scene, "cis-alarm-trail-changes", lame)
    topics = {name: scene.sns.create_topic(Name=name)["TopicArn"] for name in ("mail", "empty")}
    scene.sns.subscribe(TopicArn=topics["mail"], Protocol="email", Endpoint="a@example.com")
    for name, topic in (("vpc", "mail"), ("route", "empty")):
        name = f"cis-alarm-{name}-changes"
        put_alarm(scene, name, alarms()[name], topic=topics[topic])
    lacking = {f"cis-alarm-{each}-changes" for each in ("iam", "trail", "vpc", "route")}
    lacking.add("cis-alarm-root-use")
    asked = [*lacking, "cis-alarm-gateway-changes"]
    assert {name for name in asked if custodian(name, account=SOUND).resources} == lacking


def peered(scene: Scene) -> tuple[str, str]:
    """A VPC's route table, and its connection to another VPC that has IPv6 too."""
    ec2 = scene.ec2
    own = ec2.create_vpc(CidrBlock="10.6.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_vpc(CidrBlock="10.7.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    link = ec2.create_vpc_peering_connection(VpcId=own, PeerVpcId=other["VpcId"])
    link = link["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=link)
    return ec2.create_route_table(VpcId=own)["RouteTable"]["RouteTableId"], link


def test_a_peering_of_which_nothing_is_told_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, SOUND)
    table, link = peered(scene)
    made = scene.ec2.create_managed_prefix_list(
        PrefixListName="peers", AddressFamily="IPv4", MaxEntries=1
    )
    listed = made["PrefixList"]["PrefixListId"]
    scene.ec2.create_route(
        RouteTableId=table, DestinationPrefixListId=listed, VpcPeeringConnectionId=link
    )
    run = custodian("cis-peering-route-wide", account=SOUND)
    assert [(each["resource"], each["code"]) for each in run.not_evaluated] == [
        (table, "NotReported")
    ]
    emulator.fault("ec2", "DescribeVpcPeeringConnections", code="UnauthorizedOperation", times=None)
    run = custodian("cis-peering-route-wide", account=SOUND)
    assert [each["code"] for each in run.not_evaluated] == ["UnauthorizedOperation"]


@pytest.mark.parametrize(
    ("destination", "wide"),
    [("2001:db8:7::/56", True), ("::/0", True), ("2001:db8:7:0::/64", False)],
    ids=["the block", "everything", "a subnet"],
)
def test_a_route_over_ipv6_is_judged_by_the_peer_s_ipv6_block(destination: str, wide: bool) -> None:
    peer = {"VpcId": "vpc-2", "CidrBlock": "10.7.0.0/16"}
    peer["Ipv6CidrBlockSet"] = [{"Ipv6CidrBlock": "2001:db8:7::/56"}]  # type: ignore[assignment]
    blocks = peering.blocks_of_peer({"AccepterVpcInfo": peer}, "vpc-1")
    found = peering.destination_of({"DestinationIpv6CidrBlock": destination})
    assert found is not None
    assert peering.takes_whole(found, blocks) is wide


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        ("cis-bucket-plain-http", "GetBucketPolicy"),
        ("cis-bucket-mfa-delete", "GetBucketVersioning"),
        ("cis-bucket-public-block", "GetPublicAccessBlock"),
        ("cis-trail-bucket-unlogged", "GetBucketLogging"),
    ],
)
def test_a_bucket_that_cannot_be_read_is_reported_neither_sound_nor_broken(
    emulator: Emulator, custodian: Custodian, policy: str, refused: str
) -> None:
    scene = Scene(emulator, BROKEN)
    scene.s3.create_bucket(Bucket="unread")
    scene.cloudtrail.create_trail(Name="weak", S3BucketName="unread", IsMultiRegionTrail=True)
    assert [each["Name"] for each in custodian(policy, account=BROKEN).resources] == ["unread"]
    emulator.fault("s3", refused, code="AccessDenied", status=403, times=None)
    run = custodian(policy, account=BROKEN)
    assert run.resources == []
    assert [(r["resource"], r["code"]) for r in run.not_evaluated] == [("unread", "AccessDenied")]


def test_a_bucket_whose_policy_cannot_be_understood_stops_no_other(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, BROKEN)
    bucket(scene, "open", sound=False)
    bucket(scene, "garbled")
    scene.s3.put_bucket_policy(Bucket="garbled", Policy='{"Statement": ["Deny"]}')
    run = custodian("cis-bucket-plain-http", account=BROKEN)
    assert [(each["Name"], each["c7n:PlainHttp"]) for each in run.resources] == [
        ("open", ["bucket", "objects"])
    ]
    assert [(r["resource"], r["code"]) for r in run.not_evaluated] == [
        ("garbled", "MalformedPolicy")
    ]


@pytest.mark.parametrize("refused", ["GetKeyRotationStatus", "DescribeKey"])
def test_a_key_whose_rotation_aws_does_not_tell_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian, refused: str
) -> None:
    scene = Scene(emulator, BROKEN)
    key = scene.kms.create_key()["KeyMetadata"]["KeyId"]
    (found,) = custodian("cis-key-no-rotation", account=BROKEN).resources
    assert (found["KeyId"], found["c7n:KeyRotation"]["KeyRotationEnabled"]) == (key, False)
    emulator.fault("kms", refused, code="AccessDeniedException", times=None)
    run = custodian("cis-key-no-rotation", account=BROKEN)
    assert run.resources == []
    assert [(r["resource"], r["code"]) for r in run.not_evaluated] == [
        (key, "AccessDeniedException")
    ]


def test_a_policy_that_cannot_be_read_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian
) -> None:
    plant_policies(Scene(emulator, BROKEN))
    emulator.fault("iam", "GetPolicyVersion", code="AccessDenied", status=403, times=None)
    run = custodian("cis-policy-full-admin", account=BROKEN)
    assert run.resources == []
    assert len(run.not_evaluated) == 4
    assert {r["code"] for r in run.not_evaluated} == {"AccessDenied"}


def test_a_trail_that_leaves_a_service_out_does_not_record_everything(
    emulator: Emulator, custodian: Custodian
) -> None:
    scene = Scene(emulator, SOUND)
    trail(scene)
    assert custodian("cis-no-trail", account=SOUND).resources == []
    select(
        scene, EventSelectors=[{**BASIC[0], "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
    )
    (found,) = custodian("cis-no-trail", account=SOUND).resources
    assert found["account_id"] == SOUND
