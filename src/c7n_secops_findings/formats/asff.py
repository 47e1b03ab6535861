"""The AWS Security Finding Format, as BatchImportFindings takes it."""

from __future__ import annotations

from typing import Any

from c7n_secops_findings.record import Finding

TYPES = {
    "inspector2": "Software and Configuration Checks/Vulnerabilities/CVE",
    "inspector": "Software and Configuration Checks/Vulnerabilities/CVE",
    "guardduty": "TTPs",
    "securityhub": "Software and Configuration Checks",
}
SEVERITIES = {"UNTRIAGED": "INFORMATIONAL"}
RECORD_STATES = {"CLOSED": "ARCHIVED"}
WORKFLOWS = {"SUPPRESSED": "SUPPRESSED", "CLOSED": "RESOLVED"}
MOST_TAGS = 50
MOST_VULNERABILITIES = 50
MOST_PACKAGES = 20


def finding_of(record: Finding) -> dict[str, Any]:
    """One finding; its product is the default one of its own account."""
    here = f"arn:{record.partition}:securityhub:{record.region}:{record.account_id}"
    made: dict[str, Any] = _without_nothing(
        {
            "SchemaVersion": "2018-10-08",
            "Id": record.finding_arn,
            "ProductArn": f"{here}:product/{record.account_id}/default",
            "GeneratorId": f"c7n-secops/{record.source}/{record.type}"[:512],
            "AwsAccountId": record.account_id,
            "AwsAccountName": record.account_name,
            "Region": record.region,
            "Types": [TYPES[record.source]],
            "FirstObservedAt": record.first_observed_at,
            "LastObservedAt": record.last_observed_at,
            "CreatedAt": record.first_observed_at or record.updated_at,
            "UpdatedAt": record.updated_at,
            "Severity": {
                "Label": SEVERITIES.get(record.severity, record.severity),
                "Original": record.severity,
            },
            "Title": record.title[:256],
            "Description": record.description[:1024] or record.title[:256],
            "Remediation": {"Recommendation": {"Text": (record.remediation or "")[:512] or None}},
            "ProductFields": {
                "c7n-secops/id": record.id,
                "c7n-secops/owner": record.owner,
                "c7n-secops/ou": record.ou,
                "c7n-secops/enrichment": record.enrichment_status,
            },
            "Resources": [_resource(record)],
            "RecordState": RECORD_STATES.get(record.status, "ACTIVE"),
            "Workflow": {"Status": WORKFLOWS.get(record.status, "NEW")},
            "Vulnerabilities": [
                _vulnerability(record, cve) for cve in record.cves[:MOST_VULNERABILITIES]
            ],
        }
    )
    return made


def _resource(record: Finding) -> dict[str, Any]:
    details = {
        "ImageId": record.image,
        "IamInstanceProfileArn": record.profile,
        "VpcId": record.vpc,
        "SubnetId": record.subnet,
        "IpV4Addresses": [ip for ip in (*record.private_ips, *record.public_ips) if "." in ip],
        "IpV6Addresses": [ip for ip in (*record.private_ips, *record.public_ips) if ":" in ip],
    }
    return {
        "Type": record.resource_type,
        "Id": record.resource_arn or record.resource_id,
        "Partition": record.partition,
        "Region": record.region,
        "Tags": dict(list(record.resource_tags.items())[:MOST_TAGS]),
        "Details": {"AwsEc2Instance": details} if record.resource_type == "AwsEc2Instance" else {},
    }


def _vulnerability(record: Finding, cve: str) -> dict[str, Any]:
    exploit = {True: "YES", False: "NO", None: None}[record.exploit_available]
    return {
        "Id": cve,
        "EpssScore": record.epss,
        "ExploitAvailable": exploit,
        "FixAvailable": record.fix_available,
        "ReferenceUrls": list(record.references[:10]),
        "VulnerablePackages": [
            {
                "Name": package["name"],
                "Version": package["installed"],
                "FixedInVersion": package["fixed"],
                "FilePath": package["path"],
                "PackageManager": package["manager"],
            }
            for package in record.packages[:MOST_PACKAGES]
        ],
    }


def _without_nothing(value: Any) -> Any:
    """The same without members that are null, empty or hold only such."""
    if isinstance(value, dict):
        kept = {name: _without_nothing(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item not in (None, "", {}, [])}
    return [_without_nothing(item) for item in value] if isinstance(value, list) else value
