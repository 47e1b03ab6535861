"""Amazon Inspector Classic: its SNS messages, and findings as DescribeFindings returns them.

A message only names a finding. Its record says what the name says, until :mod:`~.enrich` has
asked Inspector Classic for the finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops_findings.decode import common
from c7n_secops_findings.decode.node import Node, address
from c7n_secops_findings.record import INSTANCE, Finding

SERVICE = "inspector"
REPORTED = "FINDING_REPORTED"
EVENTS = (
    "ASSESSMENT_RUN_COMPLETED",
    "ASSESSMENT_RUN_STARTED",
    "ASSESSMENT_RUN_STATE_CHANGED",
    "ENABLE_ASSESSMENT_NOTIFICATIONS",
    REPORTED,
)
SEVERITIES = {
    "High": "HIGH",
    "Medium": "MEDIUM",
    "Low": "LOW",
    "Informational": "INFORMATIONAL",
    "Undefined": "UNTRIAGED",
}


def is_message(node: Node) -> bool:
    """Whether an object is one of Inspector Classic's messages."""
    return node.value.get("event") in EVENTS


def from_message(node: Node) -> list[Finding]:
    """The record that a message's own words make; none for a message that names no finding."""
    if node.need("event") != REPORTED:
        return []
    arn = _arn(node, "finding")
    changed = common.updated(node, "time")
    return [
        Finding(
            **{**common.named(arn.text, changed), "version": 0},
            **common.times(None, changed, changed),
            source=SERVICE,
            account_id=arn.account,
            region=arn.region,
            partition=arn.partition,
            type=SERVICE,
            title="Inspector Classic finding",
            description="",
            severity="UNTRIAGED",
            status="ACTIVE",
            resource_id=node.text("target") or arn.text,
            resource_type="AwsInspectorTarget",
            raw=dict(node.value),
        )
    ]


def is_named_only(finding: Finding) -> bool:
    """Whether a record holds no more than a message said."""
    return finding.source == SERVICE and "event" in finding.raw


def decode(finding: Mapping[str, Any]) -> Finding:
    """The record of one finding of DescribeFindings; raises UnknownShapeError."""
    node = Node.of(finding, "finding")
    arn = _arn(node, "arn")
    asset = node.child("assetAttributes")
    interfaces = list(asset.children("networkInterfaces"))
    attributes = node.tags("attributes")
    changed = common.updated(node, "updatedAt", "createdAt")
    name = asset.text("agentId") or arn.text
    public = [address(each.text("publicIp")) for each in interfaces]
    is_instance = bool(common.INSTANCE_ID.fullmatch(name))
    cve = attributes.get("CVE_ID", "")[:128]
    return Finding(
        **common.named(arn.text, changed),
        **common.times(node.time("createdAt"), changed, changed),
        source=SERVICE,
        account_id=arn.account,
        region=arn.region,
        partition=arn.partition,
        type=node.child("serviceAttributes").text("rulesPackageArn", 512) or SERVICE,
        title=node.text("title", 1024) or node.text("id") or SERVICE,
        description=node.text("description", 20000) or "",
        severity=node.choice("severity", SEVERITIES) or "UNTRIAGED",
        severity_score=node.number("numericSeverity", 0, 10),
        status="ACTIVE",
        cves=(cve,) if cve else (),
        remediation=node.text("recommendation", 20000),
        resource_id=name,
        resource_arn=common.instance_arn(arn.partition, arn.region, arn.account, name)
        if is_instance
        else None,
        resource_type=INSTANCE if is_instance else "AwsInspectorTarget",
        resource_tags=asset.tags("tags"),
        image=asset.text("amiId"),
        vpc=next((vpc for each in interfaces if (vpc := each.text("vpcId", 255))), None),
        subnet=next((net for each in interfaces if (net := each.text("subnetId", 255))), None),
        private_ips=tuple(ip for text in asset.texts("ipv4Addresses") if (ip := address(text))),
        public_ips=tuple(ip for ip in public if ip),
        internet_exposed=True if any(public) else None,
        raw=dict(finding),
    )


def _arn(node: Node, key: str) -> common.Arn:
    arn = common.arn(node, key)
    if not (arn.account and arn.region):
        raise node.wrong(key, "an ARN with an account and a region")
    return arn
