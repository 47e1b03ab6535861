"""Instances and Inspector findings for tests, made in the emulator."""

from __future__ import annotations

import copy
import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from c7n.config import Config

from c7n_secops_tools.testing.runs import load_policy
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION

SAMPLES = Path(__file__).parent / "events"
NOW = datetime.now(timezone.utc)


def launch(emulator: Emulator, number: int = 1, managed: bool = True) -> list[str]:
    """Run instances; a managed one reports to Systems Manager, so that Inspector scans it."""
    answer = emulator.client("ec2", ACCOUNT, REGION).run_instances(
        ImageId="ami-12345678", MinCount=number, MaxCount=number
    )
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    for name in ids:
        emulator.set_agent(
            ACCOUNT, REGION, name, **({"PingStatus": "Online"} if managed else {"absent": True})
        )
    return ids


def finding(resource: str, number: int = 1, kind: str = "AWS_EC2_INSTANCE", **changes: Any) -> Any:
    """A package finding in the shape of ListFindings: critical, active, fixable, unless changed.

    ``cve``, ``epss``, ``package`` and ``age`` (days) are short for where they are in a finding.
    """
    cve = changes.pop("cve", f"CVE-2026-{number:05d}")
    age = timedelta(days=changes.pop("age", 1))
    digest = hashlib.sha256(f"{resource} {number}".encode()).hexdigest()[:32]
    made = {
        "awsAccountId": ACCOUNT,
        "findingArn": f"arn:aws:inspector2:{REGION}:{ACCOUNT}:finding/{digest}",
        "type": "PACKAGE_VULNERABILITY",
        "title": f"{cve} - openssl",
        "description": "A flaw.",
        "severity": "CRITICAL",
        "status": "ACTIVE",
        "fixAvailable": "YES",
        "exploitAvailable": "NO",
        "epss": {"score": changes.pop("epss", 0.01)},
        "inspectorScore": 9.8,
        "firstObservedAt": (NOW - age).isoformat(),
        "lastObservedAt": NOW.isoformat(),
        "updatedAt": NOW.isoformat(),
        "remediation": {"recommendation": {"text": "Update."}},
        "resources": [{"id": resource, "type": kind, "region": REGION, "partition": "aws"}],
        "packageVulnerabilityDetails": {
            "vulnerabilityId": cve,
            "source": "NVD",
            "vulnerablePackages": [
                {
                    "name": changes.pop("package", "openssl"),
                    "version": "1.0.0",
                    "fixedInVersion": "1.0.1",
                    "packageManager": "OS",
                }
            ],
        },
    }
    return {**made, **changes}


def reachable(resource: str, begin: int, end: int, number: int = 1) -> Any:
    """A network reachability finding for a range of open ports."""
    made = finding(resource, number, type="NETWORK_REACHABILITY", severity="MEDIUM")
    del made["packageVulnerabilityDetails"], made["fixAvailable"], made["epss"]
    made["networkReachabilityDetails"] = {
        "openPortRange": {"begin": begin, "end": end},
        "protocol": "TCP",
        "networkPath": {"steps": [{"componentId": "igw-1", "componentType": "AWS::EC2::IGW"}]},
    }
    return made


def add(emulator: Emulator, *findings: Any) -> None:
    """Give findings to the default account and region."""
    emulator.add_findings(ACCOUNT, REGION, list(findings))


def sample_event(name: str, resource: str, **changes: Any) -> dict[str, Any]:
    """A sample EventBridge event, about one of our own resources."""
    event = copy.deepcopy(json.loads((SAMPLES / name).read_text()))
    event.update(account=ACCOUNT, region=REGION, resources=[resource])
    event["detail"].update(awsAccountId=ACCOUNT, **changes)
    event["detail"]["resources"][0]["id"] = resource
    return event


def policy(*filters: Any, resource: str = "aws.ec2", **more: Any) -> dict[str, Any]:
    """A policy of a test's own."""
    return {"name": "under-test", "resource": resource, "filters": list(filters), **more}


def validate(data: dict[str, Any]) -> None:
    """Check a policy as ``custodian run`` does before it runs; raises PolicyValidationError."""
    load_policy(data, Config.empty(regions=[REGION], account_id=ACCOUNT))
