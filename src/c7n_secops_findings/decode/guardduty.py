"""Amazon GuardDuty: findings as GetFindings returns them and as its events carry them.

The API's client capitalises the names of members, the event does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops_findings.decode import common
from c7n_secops_findings.decode.node import Node, address, addresses
from c7n_secops_findings.record import INSTANCE, Finding

TYPES = {
    "AccessKey": "AwsIamAccessKey",
    "EKSCluster": "AwsEksCluster",
    "ECSCluster": "AwsEcsCluster",
    "Instance": INSTANCE,
    "Lambda": "AwsLambdaFunction",
    "RDSDBInstance": "AwsRdsDbInstance",
    "S3Bucket": "AwsS3Bucket",
}
NAMES = (
    ("instanceDetails", "instanceId"),
    ("accessKeyDetails", "accessKeyId"),
    ("lambdaDetails", "functionArn"),
    ("eksClusterDetails", "arn"),
    ("ecsClusterDetails", "arn"),
    ("rdsDbInstanceDetails", "dbInstanceArn"),
    ("rdsLimitlessDbDetails", "dbShardGroupArn"),
    ("containerDetails", "id"),
    ("ebsSnapshotDetails", "snapshotArn"),
    ("ec2ImageDetails", "imageArn"),
    ("recoveryPointDetails", "recoveryPointArn"),
)
"""Where a resource of each kind has its name, most telling first."""
ACTIONS = (
    "networkConnectionAction",
    "awsApiCallAction",
    "kubernetesApiCallAction",
    "rdsLoginAttemptAction",
)


def decode(finding: Mapping[str, Any]) -> Finding:
    """The record of one finding; raises UnknownShapeError."""
    node = Node.of(uncapitalised(finding), "finding")
    arn = common.arn(node, "arn")
    service = node.child("service")
    created = node.time("createdAt")
    changed = common.updated(node, "updatedAt", "createdAt")
    first = service.time("eventFirstSeen") or created
    account = node.need("accountId", common.ACCOUNT)
    count = service.integer("count")
    score = node.number("severity", 0, 10)
    kind = node.need("type", limit=512)
    return Finding(
        **common.named(arn.text, changed, count or 0),
        **common.times(first, service.time("eventLastSeen"), changed),
        **_resource(node.child("resource"), arn, account),
        **_action(service.child("action")),
        source="guardduty",
        account_id=account,
        region=node.need("region", common.REGION),
        partition=node.text("partition") or arn.partition,
        type=kind,
        title=node.text("title", 1024) or kind,
        description=node.text("description", 20000) or "",
        severity=severity(score),
        severity_score=score,
        status="SUPPRESSED" if service.flag("archived") else "ACTIVE",
        count=count,
        administrator_account=arn.account if arn.account not in ("", account) else None,
        raw=dict(finding),
    )


def severity(score: float | None) -> str:
    """The severity of a GuardDuty score; 9 and more is critical."""
    for label, least in (("CRITICAL", 9), ("HIGH", 7), ("MEDIUM", 4), ("LOW", 1)):
        if score is not None and score >= least:
            return label
    return "INFORMATIONAL" if score is not None else "UNTRIAGED"


def uncapitalised(value: Any) -> Any:
    """The same with the members of objects as events name them: accountId, not AccountId."""
    if isinstance(value, Mapping):
        return {
            f"{name[:1].lower()}{name[1:]}": uncapitalised(item)
            for name, item in value.items()
            if isinstance(name, str)
        }
    return [uncapitalised(item) for item in value] if isinstance(value, list) else value


def _resource(resource: Node, arn: common.Arn, account: str) -> dict[str, Any]:
    kind = resource.text("resourceType", 256) or "Other"
    instance = resource.child("instanceDetails")
    interfaces = list(instance.children("networkInterfaces"))
    private = [each.text("privateIpAddress") for each in interfaces]
    public = [address(each.text("publicIp")) for each in interfaces]
    mixed = addresses(tuple(ip for each in interfaces for ip in each.texts("ipv6Addresses")))
    name = instance.text("instanceId")
    own_arn = None
    if name:
        own_arn = common.instance_arn(arn.partition, arn.region, account, name)
    else:
        name = _name(resource) or arn.text
        own_arn = name if name.startswith("arn:") else None
    return {
        "resource_id": name,
        "resource_arn": own_arn,
        "resource_type": TYPES.get(kind, kind),
        "resource_tags": instance.tags("tags"),
        "image": instance.text("imageId"),
        "platform": instance.text("platform"),
        "profile": instance.child("iamInstanceProfile").text("arn"),
        "vpc": next((vpc for each in interfaces if (vpc := each.text("vpcId", 255))), None),
        "subnet": next((net for each in interfaces if (net := each.text("subnetId", 255))), None),
        "security_groups": tuple(
            dict.fromkeys(
                group.need("groupId", limit=255)
                for each in interfaces
                for group in each.children("securityGroups")
                if group.text("groupId")
            )
        ),
        "private_ips": tuple(
            dict.fromkeys((*(ip for text in private if (ip := address(text))), *mixed[0]))
        ),
        "public_ips": tuple(dict.fromkeys((*(ip for ip in public if ip), *mixed[1]))),
        "internet_exposed": True if any(public) else None,
    }


def _name(resource: Node) -> str | None:
    for bucket in resource.children("s3BucketDetails"):
        return bucket.text("arn") or bucket.text("name")
    for details, key in NAMES:
        name = resource.child(details).text(key)
        if name:
            return name
    return None


def _action(action: Node) -> dict[str, Any]:
    """What was done, and who the other side was."""
    probed = list(action.child("portProbeAction").children("portProbeDetails"))
    sides = [action.child(name) for name in ACTIONS if name in action.value] + probed
    remote = next((side.child("remoteIpDetails") for side in sides), Node({}, action.path))
    network = action.child("networkConnectionAction")
    ports = tuple(
        {"begin": port, "end": port, "protocol": network.text("protocol", 16)}
        for side in sides
        if (port := side.child("localPortDetails").integer("port", 0, 65535)) is not None
    )
    return {
        "action": action.text("actionType", 64),
        "direction": network.text("connectionDirection", 64),
        "remote_ip": address(remote.text("ipAddressV4")) or address(remote.text("ipAddressV6")),
        "remote_asn": remote.child("organization").text("asn", 64),
        "remote_country": remote.child("country").text("countryName", 255),
        "remote_port": network.child("remotePortDetails").integer("port", 0, 65535),
        "ports": ports,
    }
