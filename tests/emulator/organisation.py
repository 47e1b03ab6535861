"""Builds an organisation of accounts to test against, and fleets to measure with."""

from __future__ import annotations

import datetime
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from tests.emulator.client import Emulator

IMAGE = "ami-0abcdef1234567890"
PROFILE = "ssm-managed"
LAMBDA_ROLE = "c7n-secops-lambda"
FIRST_SEEN = datetime.datetime(2024, 5, 1, 12, 0, tzinfo=datetime.timezone.utc)
SCENARIOS = ("vulnerable", "clean", "unmanaged", "offline")


@dataclass(frozen=True)
class Account:
    """An AWS account."""

    id: str
    name: str
    email: str


SECURITY = Account("111111111111", "security", "security@example.com")
PRODUCTION = Account("222222222222", "production", "production@example.com")
STAGING = Account("333333333333", "staging", "staging@example.com")
ACCOUNTS = (SECURITY, PRODUCTION, STAGING)


@dataclass(frozen=True)
class Instance:
    """An instance that was built, and its part in the scenario."""

    id: str
    account: str
    region: str
    scenario: str
    name: str
    owner: str
    findings: tuple[str, ...] = ()


@dataclass
class Organisation:
    """What was built."""

    accounts: tuple[Account, ...]
    regions: tuple[str, ...]
    role: str
    instances: list[Instance] = field(default_factory=list)

    @property
    def management(self) -> Account:
        return self.accounts[0]

    def find(
        self,
        scenario: str | None = None,
        account: str | None = None,
        region: str | None = None,
    ) -> list[Instance]:
        """Finds instances by their part in the scenario, account and region."""
        return [
            instance
            for instance in self.instances
            if scenario in (None, instance.scenario)
            and account in (None, instance.account)
            and region in (None, instance.region)
        ]

    def ids(
        self,
        scenario: str | None = None,
        account: str | None = None,
        region: str | None = None,
    ) -> list[str]:
        return [instance.id for instance in self.find(scenario, account, region)]

    def role_arn(self, account: str) -> str:
        return f"arn:aws:iam::{account}:role/{self.role}"

    def lambda_role_arn(self, account: str) -> str:
        return f"arn:aws:iam::{account}:role/{LAMBDA_ROLE}"


# --- findings ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vulnerability:
    """One CVE of the catalogue below; the numbers are made up, the form is Inspector's."""

    cve: str
    severity: str
    score: float
    epss: float
    package: str
    installed: str
    fixed: str | None
    exploit: bool = False
    manager: str = "OS"
    path: str | None = None


CATALOGUE = (
    Vulnerability("CVE-2023-44487", "HIGH", 7.5, 0.94, "nghttp2", "1.41.0", "1.41.1", True),
    Vulnerability("CVE-2024-3094", "CRITICAL", 10.0, 0.86, "xz", "5.6.0", "5.6.2", True),
    Vulnerability("CVE-2024-6387", "HIGH", 8.1, 0.61, "openssh", "8.7p1", "8.7p2", True),
    Vulnerability("CVE-2023-38545", "CRITICAL", 9.8, 0.29, "curl", "8.2.1", "8.4.0"),
    Vulnerability("CVE-2023-5363", "HIGH", 7.5, 0.02, "openssl", "3.0.8", "3.0.12"),
    Vulnerability("CVE-2024-2961", "HIGH", 8.8, 0.33, "glibc", "2.34", "2.34-2", True),
    Vulnerability("CVE-2023-4911", "HIGH", 7.8, 0.07, "glibc", "2.34", "2.34-1", True),
    Vulnerability("CVE-2023-39615", "MEDIUM", 6.5, 0.001, "libxml2", "2.9.14", "2.9.14-2"),
    Vulnerability("CVE-2024-0727", "MEDIUM", 5.5, 0.003, "openssl", "3.0.8", None),
    Vulnerability(
        "CVE-2024-35195",
        "MEDIUM",
        5.6,
        0.001,
        "requests",
        "2.31.0",
        "2.32.0",
        False,
        "PYTHONPKG",
        "/opt/app/lib/python3.11/site-packages/requests-2.31.0.dist-info/METADATA",
    ),
    Vulnerability(
        "CVE-2023-50782",
        "HIGH",
        7.5,
        0.005,
        "cryptography",
        "41.0.7",
        "42.0.0",
        False,
        "PYTHONPKG",
        "/opt/app/lib/python3.11/site-packages/cryptography-41.0.7.dist-info/METADATA",
    ),
)


def finding_arn(account: str, region: str, *parts: object) -> str:
    digest = hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()
    return f"arn:aws:inspector2:{region}:{account}:finding/{digest}"


def ec2_resource(
    account: str, region: str, instance_id: str, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    details = details or {}
    return {
        "type": "AWS_EC2_INSTANCE",
        "id": instance_id,
        "partition": "aws",
        "region": region,
        "tags": details.get("tags", {}),
        "details": {
            "awsEc2Instance": {
                "type": details.get("type", "t3.micro"),
                "imageId": IMAGE,
                "platform": "AMAZON_LINUX_2023",
                "ipV4Addresses": details.get("addresses", []),
                "ipV6Addresses": [],
                "launchedAt": FIRST_SEEN,
                **{k: details[k] for k in ("vpcId", "subnetId") if k in details},
            }
        },
    }


def package_finding(
    account: str,
    region: str,
    instance_id: str,
    vulnerability: Vulnerability = CATALOGUE[0],
    *,
    first_seen: datetime.datetime = FIRST_SEEN,
    details: dict[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Makes a package vulnerability in the shape of ListFindings; ``members`` replace."""
    v = vulnerability
    package: dict[str, Any] = {
        "name": v.package,
        "version": v.installed,
        "epoch": 0,
        "release": "1.amzn2023",
        "arch": "X86_64",
        "packageManager": v.manager,
    }
    if v.manager == "OS":
        package["remediation"] = f"dnf update {v.package}"
    if v.fixed:
        package["fixedInVersion"] = v.fixed
    if v.path:
        package["filePath"] = v.path
    return {
        "awsAccountId": account,
        "findingArn": finding_arn(account, region, instance_id, v.cve, v.package),
        "type": "PACKAGE_VULNERABILITY",
        "title": f"{v.cve} - {v.package}",
        "description": f"A flaw was found in {v.package}.",
        "severity": v.severity,
        "status": "ACTIVE",
        "firstObservedAt": first_seen,
        "lastObservedAt": first_seen + datetime.timedelta(days=10),
        "updatedAt": first_seen + datetime.timedelta(days=10),
        "inspectorScore": v.score,
        "epss": {"score": v.epss},
        "exploitAvailable": "YES" if v.exploit else "NO",
        "fixAvailable": "YES" if v.fixed else "NO",
        "remediation": {"recommendation": {"text": "None Provided"}},
        "packageVulnerabilityDetails": {
            "vulnerabilityId": v.cve,
            "source": "NVD",
            "sourceUrl": f"https://nvd.nist.gov/vuln/detail/{v.cve}",
            "vendorSeverity": v.severity,
            "vendorCreatedAt": first_seen,
            "vendorUpdatedAt": first_seen,
            "vulnerablePackages": [package],
            "referenceUrls": [f"https://nvd.nist.gov/vuln/detail/{v.cve}"],
            "relatedVulnerabilities": [],
            "cvss": [
                {
                    "baseScore": v.score,
                    "scoringVector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
                    "source": "NVD",
                    "version": "3.1",
                }
            ],
        },
        "resources": [ec2_resource(account, region, instance_id, details)],
        **members,
    }


def network_finding(
    account: str,
    region: str,
    instance_id: str,
    port: int = 22,
    *,
    first_seen: datetime.datetime = FIRST_SEEN,
    details: dict[str, Any] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """Makes a network reachability finding for one open TCP port."""
    return {
        "awsAccountId": account,
        "findingArn": finding_arn(account, region, instance_id, "port", port),
        "type": "NETWORK_REACHABILITY",
        "title": f"Port {port} is reachable from an Internet Gateway - TCP",
        "description": f"On the instance {instance_id}, the port range {port}-{port} is "
        "reachable from the InternetGateway.",
        "severity": "MEDIUM",
        "status": "ACTIVE",
        "firstObservedAt": first_seen,
        "lastObservedAt": first_seen + datetime.timedelta(days=10),
        "updatedAt": first_seen + datetime.timedelta(days=10),
        "remediation": {
            "recommendation": {
                "text": "You can restrict access to your instance by modifying the Security "
                "Groups or ACLs in the network path."
            }
        },
        "networkReachabilityDetails": {
            "openPortRange": {"begin": port, "end": port},
            "protocol": "TCP",
            "networkPath": {
                "steps": [
                    {
                        "componentId": "igw-0123456789abcdef0",
                        "componentType": "AWS::EC2::InternetGateway",
                    },
                    {"componentId": instance_id, "componentType": "AWS::EC2::Instance"},
                ]
            },
        },
        "resources": [ec2_resource(account, region, instance_id, details)],
        **members,
    }


FindingMaker = Callable[[str, str, str, int, dict[str, Any]], list[dict[str, Any]]]


def default_findings(
    account: str, region: str, instance_id: str, number: int, details: dict[str, Any]
) -> list[dict[str, Any]]:
    """Gives a vulnerable instance four CVEs and, every other time, an open port 22.

    The choice depends on account, region and number only, so that a run repeats itself; the first
    one is always critical with a fix.
    """
    dice = random.Random(f"{account}/{region}/{number}")  # noqa: S311  repeats itself
    criticals = [v for v in CATALOGUE if v.severity == "CRITICAL"]
    os_packages = [v for v in CATALOGUE if v.manager == "OS" and v.severity != "CRITICAL"]
    python_packages = [v for v in CATALOGUE if v.manager == "PYTHONPKG"]
    chosen = [dice.choice(criticals), *dice.sample(os_packages, 2), dice.choice(python_packages)]
    findings = [
        package_finding(
            account,
            region,
            instance_id,
            v,
            first_seen=FIRST_SEEN + datetime.timedelta(days=dice.randrange(60)),
            details=details,
        )
        for v in chosen
    ]
    if number % 2 == 0:
        findings.append(network_finding(account, region, instance_id, details=details))
    return findings


# --- building ------------------------------------------------------------------------------------

ADMINISTRATOR = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


def trust(**principal: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
        }
    )


def create_role(
    emulator: Emulator,
    account: str,
    name: str,
    trust_policy: str,
    policy: dict[str, Any] | None = None,
) -> str:
    """Creates a role with one inline policy; returns its ARN."""
    iam = emulator.client("iam", account)
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy)
    iam.put_role_policy(
        RoleName=name, PolicyName="permissions", PolicyDocument=json.dumps(policy or ADMINISTRATOR)
    )
    return str(role["Role"]["Arn"])


def create_profile(emulator: Emulator, account: str, name: str = PROFILE) -> None:
    """Creates the instance profile that makes instances managed."""
    iam = emulator.client("iam", account)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(Service="ec2.amazonaws.com"))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def create_network(emulator: Emulator, account: str, region: str, cidr: str) -> dict[str, str]:
    ec2 = emulator.client("ec2", account, region)
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
    return {"vpcId": vpc, "subnetId": subnet}


def scenario_of(number: int, instances: int, vulnerable: int | None) -> str:
    """The last three instances are clean, unmanaged and offline; the others are vulnerable."""
    if vulnerable is not None:
        return "vulnerable" if number < vulnerable else "clean"
    special = {instances - 3: "clean", instances - 2: "unmanaged", instances - 1: "offline"}
    return "vulnerable" if number == 0 else special.get(number, "vulnerable")


def build(
    emulator: Emulator,
    accounts: Sequence[Account] = ACCOUNTS,
    regions: Sequence[str] = ("us-east-1",),
    instances: int = 4,
    role: str = "CloudCustodian",
    findings: FindingMaker | None = default_findings,
    scenarios: Sequence[str] | None = None,
) -> Organisation:
    """Creates roles, networks, instances and findings in every account and region.

    The first account is the management account, which every ``role`` trusts.  Of the instances
    in a region the last three are ``clean`` (managed, no finding), ``unmanaged`` (no instance
    profile, with findings) and ``offline`` (agent without connection, with findings); the others
    are ``vulnerable``.  ``scenarios`` names the part of each instance instead.
    """
    parts = list(scenarios or (scenario_of(n, instances, None) for n in range(instances)))
    unknown = set(parts) - set(SCENARIOS)
    if unknown:
        raise ValueError(f"unknown scenarios {sorted(unknown)}; there are {SCENARIOS}")
    made = Organisation(tuple(accounts), tuple(regions), role)
    for number, account in enumerate(accounts):
        manager = f"arn:aws:iam::{accounts[0].id}:root"
        create_role(emulator, account.id, role, trust(AWS=manager))
        create_role(emulator, account.id, LAMBDA_ROLE, trust(Service="lambda.amazonaws.com"))
        create_profile(emulator, account.id)
        for region in regions:
            network = create_network(emulator, account.id, region, f"10.{number}.0.0/16")
            made.instances += build_region(emulator, account, region, parts, network, findings)
    return made


def build_region(
    emulator: Emulator,
    account: Account,
    region: str,
    parts: list[str],
    network: dict[str, str],
    findings: FindingMaker | None,
) -> list[Instance]:
    ec2 = emulator.client("ec2", account.id, region)
    built, batch = [], []
    for number, scenario in enumerate(parts):
        name, owner = f"{account.name}-{scenario}-{number}", f"{account.name}-team"
        tags = {"Name": name, "owner": owner}
        request: dict[str, Any] = {
            "ImageId": IMAGE,
            "InstanceType": "t3.micro",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": network["subnetId"],
            "TagSpecifications": [
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
                }
            ],
        }
        if scenario != "unmanaged":
            request["IamInstanceProfile"] = {"Name": PROFILE}
        instance = ec2.run_instances(**request)["Instances"][0]
        details = {**network, "tags": tags, "addresses": [instance["PrivateIpAddress"]]}
        made: list[dict[str, Any]] = []
        if scenario != "clean" and findings:
            made = findings(account.id, region, instance["InstanceId"], number, details)
        batch += made
        if scenario == "offline":
            emulator.set_agent(
                account.id, region, instance["InstanceId"], PingStatus="ConnectionLost"
            )
        built.append(
            Instance(
                id=instance["InstanceId"],
                account=account.id,
                region=region,
                scenario=scenario,
                name=name,
                owner=owner,
                findings=tuple(finding["findingArn"] for finding in made),
            )
        )
    emulator.add_findings(account.id, region, batch)
    return built


def another(number: int) -> Vulnerability:
    """Makes a vulnerability beyond the catalogue, like one in it but for its CVE."""
    like = CATALOGUE[number % len(CATALOGUE)]
    return replace(like, cve=f"CVE-2026-{number:05d}")


def populate(
    emulator: Emulator,
    account: str,
    region: str,
    instances: int,
    findings_per_instance: int = 5,
    role: str | None = "CloudCustodian",
) -> list[str]:
    """Creates a large fleet quickly, for benchmarks; returns the instance ids.

    All instances are managed and alike; each gets the first ``findings_per_instance`` CVEs of the
    catalogue, and more like them beyond it.  The role is created where the account lacks it.
    """
    iam = emulator.client("iam", account)
    names = {each["RoleName"] for each in iam.list_roles()["Roles"]}
    if PROFILE not in names:
        create_profile(emulator, account)
    if role and role not in names:
        create_role(emulator, account, role, trust(AWS="*"))
    network = create_network(emulator, account, region, "10.200.0.0/16")
    ids = [
        instance["InstanceId"]
        for instance in emulator.client("ec2", account, region).run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=instances,
            MaxCount=instances,
            SubnetId=network["subnetId"],
            IamInstanceProfile={"Name": PROFILE},
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "Name", "Value": "fleet"},
                        {"Key": "owner", "Value": "fleet-team"},
                    ],
                }
            ],
        )["Instances"]
    ]
    if findings_per_instance:
        chosen = [
            CATALOGUE[n] if n < len(CATALOGUE) else another(n) for n in range(findings_per_instance)
        ]
        emulator.add_findings(
            account,
            region,
            [
                package_finding(account, region, instance_id, v, details=network)
                for instance_id in ids
                for v in chosen
            ],
        )
    return ids


def populate_all(
    emulator: Emulator,
    accounts: Sequence[str],
    regions: Sequence[str],
    instances: int,
    findings_per_instance: int = 5,
) -> dict[tuple[str, str], list[str]]:
    """Populates many accounts and regions; returns the ids by (account, region)."""
    made = {}
    with ThreadPoolExecutor(4) as pool:
        for account in accounts:
            first, *rest = regions
            made[account, first] = populate(
                emulator, account, first, instances, findings_per_instance
            )
            jobs = {
                region: pool.submit(
                    populate, emulator, account, region, instances, findings_per_instance
                )
                for region in rest
            }
            made.update({(account, region): job.result() for region, job in jobs.items()})
    return made
