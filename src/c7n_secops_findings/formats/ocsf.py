"""The Open Cybersecurity Schema Framework, version 1.3.0, with its profile ``cloud``.

A finding that names vulnerabilities is a Vulnerability Finding (class 2002), any other a Detection
Finding (class 2004).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from c7n_secops_findings.decode.node import milliseconds, moment
from c7n_secops_findings.record import Finding

VERSION = "1.3.0"
VULNERABILITY, DETECTION = 2002, 2004
NAMES = {VULNERABILITY: "Vulnerability Finding", DETECTION: "Detection Finding"}
SEVERITIES = {
    "UNTRIAGED": (0, "Unknown"),
    "INFORMATIONAL": (1, "Informational"),
    "LOW": (2, "Low"),
    "MEDIUM": (3, "Medium"),
    "HIGH": (4, "High"),
    "CRITICAL": (5, "Critical"),
}
STATUSES = {"ACTIVE": (1, "New"), "SUPPRESSED": (3, "Suppressed"), "CLOSED": (4, "Resolved")}
ACTIVITIES = {"CLOSED": (3, "Close")}
UPDATE = (2, "Update")
PRODUCTS = {
    "inspector2": "Inspector",
    "inspector": "Inspector Classic",
    "guardduty": "GuardDuty",
    "securityhub": "Security Hub",
}


def event_of(record: Finding) -> dict[str, Any]:
    """One event."""
    kind = VULNERABILITY if record.cves else DETECTION
    activity, activity_name = ACTIVITIES.get(record.status, UPDATE)
    severity_id, severity = SEVERITIES[record.severity]
    status_id, status = STATUSES[record.status]
    made: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": kind,
        "class_name": NAMES[kind],
        "type_uid": kind * 100 + activity,
        "type_name": f"{NAMES[kind]}: {activity_name}",
        "time": _at(record.updated_at),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "message": record.title,
        "count": record.count,
        "metadata": {
            "version": VERSION,
            "uid": record.id,
            "sequence": record.version,
            "profiles": ["cloud"],
            "product": {"name": PRODUCTS[record.source], "vendor_name": "AWS"},
        },
        "cloud": {
            "provider": "AWS",
            "region": record.region,
            "account": {"uid": record.account_id, "name": record.account_name},
            "org": {"ou_name": record.ou} if record.ou else None,
        },
        "finding_info": {
            "uid": record.finding_arn,
            "title": record.title,
            "desc": record.description or None,
            "types": [record.type],
            "first_seen_time": _at(record.first_observed_at),
            "last_seen_time": _at(record.last_observed_at),
            "modified_time": _at(record.updated_at),
        },
        "resources": [_resource(record)],
        "vulnerabilities": [_vulnerability(record, cve) for cve in record.cves] or None,
        "unmapped": {
            "enrichment_status": record.enrichment_status,
            "internet_exposed": record.internet_exposed,
            "remote_ip": record.remote_ip,
            "security_groups": list(record.security_groups),
            "private_ips": list(record.private_ips),
            "public_ips": list(record.public_ips),
        },
    }
    event: dict[str, Any] = _without_null(made)
    return event


def _resource(record: Finding) -> dict[str, Any]:
    return {
        "uid": record.resource_arn or record.resource_id,
        "name": record.resource_id,
        "type": record.resource_type,
        "labels": [f"{key}={value}" for key, value in record.resource_tags.items()],
        "owner": {"name": record.owner} if record.owner else None,
    }


def _vulnerability(record: Finding, cve: str) -> dict[str, Any]:
    score = record.inspector_score
    cvss = {"base_score": score, "version": "3.1", "vector_string": record.inspector_vector}
    return {
        "cve": {
            "uid": cve,
            "epss": {"score": str(record.epss)} if record.epss is not None else None,
            "cvss": [cvss] if score is not None else None,
        },
        "title": record.title,
        "desc": record.description or None,
        "severity": record.severity,
        "references": list(record.references),
        "is_exploit_available": record.exploit_available,
        "is_fix_available": record.fix_available in ("YES", "PARTIAL")
        if record.fix_available
        else None,
        "first_seen_time": _at(record.first_observed_at),
        "last_seen_time": _at(record.last_observed_at),
        "remediation": {"desc": record.remediation} if record.remediation else None,
        "affected_packages": [
            {
                "name": package["name"],
                "version": package["installed"],
                "fixed_in_version": package["fixed"],
                "path": package["path"],
                "package_manager": package["manager"],
            }
            for package in record.packages
            if package["name"] and package["installed"]
        ],
    }


def _at(text: str | None) -> int | None:
    if text is None:
        return None
    at: datetime = moment(text)
    return milliseconds(at)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value
