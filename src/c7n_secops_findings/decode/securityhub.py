"""AWS Security Hub: findings in the AWS Security Finding Format (ASFF)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops_findings.decode import common
from c7n_secops_findings.decode.inspector2 import FIXES, YES_NO
from c7n_secops_findings.decode.node import Node, address, addresses
from c7n_secops_findings.record import INSTANCE, Finding

LEAST = (("CRITICAL", 90), ("HIGH", 70), ("MEDIUM", 40), ("LOW", 1), ("INFORMATIONAL", 0))
LABELS = {label: label for label, _ in LEAST}


def decode(finding: Mapping[str, Any], path: str = "finding") -> Finding:
    """The record of one finding; raises UnknownShapeError."""
    node = Node.of(finding, path)
    product = common.arn(node, "ProductArn")
    name = node.need("Id")
    finding_arn = name if common.ARN.fullmatch(name) else f"{product.text}/{name}"[:2048]
    changed = common.updated(node, "UpdatedAt", "CreatedAt")
    first = node.time("FirstObservedAt") or node.time("CreatedAt")
    resource = next(node.children("Resources"), None)
    if resource is None:
        raise node.wrong("Resources", "a list of a resource")
    weaknesses = list(node.children("Vulnerabilities"))
    advice = node.child("Remediation").child("Recommendation")
    types = node.texts("Types", 512)
    severity = node.child("Severity")
    normalized = severity.number("Normalized", 0, 100)
    score = severity.number("Product", 0, 10) if normalized is None else normalized / 10
    account = node.need("AwsAccountId", common.ACCOUNT)
    return Finding(
        **common.named(finding_arn, changed),
        **common.times(first, node.time("LastObservedAt"), changed),
        **_resource(resource),
        **_network(node),
        **_vulnerabilities(weaknesses),
        source="securityhub",
        account_id=account,
        account_name=node.text("AwsAccountName", 255),
        region=_region(node, resource, product),
        partition=product.partition,
        type=types[0] if types else node.need("GeneratorId", limit=512),
        title=node.need("Title", limit=20000)[:1024],
        description=node.text("Description", 20000) or "",
        severity=severity.choice("Label", LABELS) or _label(normalized),
        severity_score=score,
        status=_status(node),
        remediation=advice.text("Text", 20000),
        references=tuple(
            dict.fromkeys(
                (
                    *filter(None, (advice.text("Url"), node.text("SourceUrl"))),
                    *(url for each in weaknesses for url in each.texts("ReferenceUrls")),
                )
            )
        ),
        raw=dict(finding),
    )


def _label(normalized: float | None) -> str:
    if normalized is None:
        return "UNTRIAGED"
    return next(label for label, least in LEAST if normalized >= least)


def _status(node: Node) -> str:
    workflow = node.child("Workflow").text("Status")
    if node.text("RecordState") == "ARCHIVED" or workflow == "RESOLVED":
        return "CLOSED"
    return "SUPPRESSED" if workflow == "SUPPRESSED" else "ACTIVE"


def _region(node: Node, resource: Node, product: common.Arn) -> str:
    for place in (node, resource):
        if place.text("Region"):
            return place.need("Region", common.REGION)
    if product.region:
        return product.region
    raise node.wrong("Region", "a region")


def _resource(resource: Node) -> dict[str, Any]:
    kind, name = resource.need("Type", limit=256), resource.need("Id")
    details = resource.child("Details").child(INSTANCE)
    private, public = addresses((*details.texts("IpV4Addresses"), *details.texts("IpV6Addresses")))
    own_arn = name if name.startswith("arn:") else None
    if kind == INSTANCE:
        name = name.rpartition("/")[2]
    return {
        "resource_id": name,
        "resource_arn": own_arn,
        "resource_type": kind,
        "resource_tags": resource.tags("Tags"),
        "image": details.text("ImageId"),
        "profile": details.text("IamInstanceProfileArn"),
        "vpc": details.text("VpcId", 255),
        "subnet": details.text("SubnetId", 255),
        "private_ips": private,
        "public_ips": public,
    }


def _network(node: Node) -> dict[str, Any]:
    network, action = node.child("Network"), node.child("Action")
    remote = action.child("NetworkConnectionAction").child("RemoteIpDetails")
    inward = network.text("Direction") == "IN"
    side = "Source" if inward else "Destination"
    return {
        "action": action.text("ActionType", 64),
        "direction": network.text("Direction", 64),
        "remote_ip": address(remote.text("IpAddressV4"))
        or address(network.text(f"{side}IpV4"))
        or address(network.text(f"{side}IpV6")),
        "remote_country": remote.child("Country").text("CountryName", 255),
        "remote_port": network.integer(f"{side}Port", 0, 65535),
    }


def _vulnerabilities(weaknesses: list[Node]) -> dict[str, Any]:
    """The vulnerabilities as one: the worst of their numbers, all of their packages."""
    scores = [score for each in weaknesses if (score := each.number("EpssScore", 0, 1)) is not None]
    exploits = [each.choice("ExploitAvailable", YES_NO) for each in weaknesses]
    fixes = [fix for each in weaknesses if (fix := each.choice("FixAvailable", FIXES))]
    return {
        "cves": tuple(dict.fromkeys(each.need("Id", limit=2048)[:128] for each in weaknesses)),
        "cwes": tuple(
            cwe
            for each in weaknesses
            for code in each.children("CodeVulnerabilities")
            for cwe in code.texts("Cwes", 128)
        ),
        "epss": max(scores, default=None),
        "exploit_available": True if True in exploits else (False if False in exploits else None),
        "fix_available": fixes[0] if len(set(fixes)) == 1 else ("PARTIAL" if fixes else None),
        "packages": tuple(
            {
                "name": package.text("Name", 1024),
                "installed": package.text("Version", 1024),
                "fixed": package.text("FixedInVersion", 1024),
                "path": package.text("FilePath", 1024),
                "manager": package.text("PackageManager", 64),
            }
            for each in weaknesses
            for package in each.children("VulnerablePackages")
        ),
    }
