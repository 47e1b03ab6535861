"""Amazon Inspector: findings as ListFindings returns them and as its events carry them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops_findings.decode import common
from c7n_secops_findings.decode.node import Node, addresses
from c7n_secops_findings.record import INSTANCE, SEVERITIES, STATUSES, Finding

TYPES = {
    "AWS_EC2_INSTANCE": INSTANCE,
    "AWS_ECR_CONTAINER_IMAGE": "AwsEcrContainerImage",
    "AWS_ECR_REPOSITORY": "AwsEcrRepository",
    "AWS_LAMBDA_FUNCTION": "AwsLambdaFunction",
    "CODE_REPOSITORY": "CodeRepository",
}
YES_NO = {"YES": True, "NO": False}
FIXES = {word: word for word in ("YES", "NO", "PARTIAL")}
SAME = {word: word for word in (*SEVERITIES, *STATUSES)}


def decode(finding: Mapping[str, Any]) -> Finding:
    """The record of one finding; raises UnknownShapeError."""
    node = Node.of(finding, "finding")
    arn = common.arn(node, "findingArn")
    first, last = node.time("firstObservedAt"), node.time("lastObservedAt")
    changed = common.updated(node, "updatedAt", "lastObservedAt", "firstObservedAt")
    score = node.child("inspectorScoreDetails").child("adjustedCvss")
    package = node.child("packageVulnerabilityDetails")
    code = node.child("codeVulnerabilityDetails")
    number = node.number("inspectorScore", 0, 10)
    advice = node.child("remediation").child("recommendation")
    cve = package.text("vulnerabilityId", 128)
    return Finding(
        **common.named(arn.text, changed),
        **common.times(first, last, changed),
        **_resource(node, arn),
        **_network(node.child("networkReachabilityDetails")),
        source="inspector2",
        account_id=node.need("awsAccountId", common.ACCOUNT),
        region=arn.region or _region(node),
        partition=arn.partition,
        type=node.need("type", limit=512),
        title=node.text("title", 1024) or cve or node.need("type", limit=512),
        description=node.text("description", 20000) or "",
        severity=node.choice("severity", SAME) or "UNTRIAGED",
        severity_score=number,
        status=node.choice("status", SAME) or "ACTIVE",
        cves=(cve,) if cve else (),
        cwes=code.texts("cwes", 128),
        epss=node.child("epss").number("score", 0, 1),
        inspector_score=number,
        inspector_vector=score.text("scoringVector", 512),
        exploit_available=node.choice("exploitAvailable", YES_NO),
        fix_available=node.choice("fixAvailable", FIXES),
        packages=tuple(_package(each) for each in package.children("vulnerablePackages")),
        remediation=advice.text("text", 20000),
        references=tuple(
            dict.fromkeys(
                (
                    *filter(None, (package.text("sourceUrl"), advice.text("Url"))),
                    *package.texts("referenceUrls"),
                    *code.texts("referenceUrls"),
                )
            )
        ),
        raw=dict(finding),
    )


def _region(node: Node) -> str:
    for resource in node.children("resources"):
        return resource.need("region", common.REGION)
    raise node.wrong("resources", "a list of a resource")


def _package(package: Node) -> dict[str, str | None]:
    return {
        "name": package.text("name", 1024),
        "installed": package.text("version", 1024),
        "fixed": package.text("fixedInVersion", 1024),
        "path": package.text("filePath", 1024),
        "manager": package.text("packageManager", 64),
    }


def _network(details: Node) -> dict[str, Any]:
    """A port range, and whether the path to it comes from the internet."""
    span = details.child("openPortRange")
    begin, end = span.integer("begin", 0, 65535), span.integer("end", 0, 65535)
    ports: tuple[dict[str, Any], ...] = ()
    if begin is not None and end is not None:
        ports = ({"begin": begin, "end": end, "protocol": details.text("protocol", 16)},)
    return {"ports": ports, "internet_exposed": True if details.value else None}


def _resource(node: Node, arn: common.Arn) -> dict[str, Any]:
    """The first resource: Inspector's findings are about one."""
    resource = next(node.children("resources"), None)
    if resource is None:
        raise node.wrong("resources", "a list of a resource")
    kind, name = resource.need("type", limit=256), resource.need("id")
    details = resource.child("details")
    instance = details.child("awsEc2Instance")
    function = details.child("awsLambdaFunction")
    image = details.child("awsEcrContainerImage")
    private, public = addresses(
        (*instance.texts("ipV4Addresses"), *instance.texts("ipV6Addresses"))
    )
    network = function.child("vpcConfig")
    own_arn = name if name.startswith("arn:") else None
    if kind == "AWS_EC2_INSTANCE":
        own_arn = common.instance_arn(arn.partition, arn.region, arn.account, name)
    return {
        "resource_id": name,
        "resource_arn": own_arn,
        "resource_type": TYPES.get(kind, kind),
        "resource_tags": resource.tags("tags"),
        "image": instance.text("imageId") or image.text("imageHash"),
        "platform": instance.text("platform", 1024)
        or image.text("platform", 1024)
        or function.text("runtime", 64),
        "profile": instance.text("iamInstanceProfileArn") or function.text("executionRoleArn"),
        "vpc": instance.text("vpcId", 255) or network.text("vpcId", 255),
        "subnet": instance.text("subnetId", 255)
        or next(iter(network.texts("subnetIds", 255)), None),
        "security_groups": network.texts("securityGroupIds", 255),
        "private_ips": private,
        "public_ips": public,
    }
