"""Findings of a made-up organisation: any number, always the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from c7n_secops_findings.record import SEVERITIES, Finding, identity

ACCOUNTS = {
    "111111111111": "sandbox",
    "222222222222": "production",
    "333333333333": "payments",
}
REGIONS = ("eu-west-1", "us-east-1")
CVES = 120
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def at(moment: datetime) -> str:
    """A time as records have it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def finding(number: int = 0, **changes: Any) -> Finding:
    """One finding by its number; ``changes`` are fields of the record."""
    chance = random.Random(number)  # noqa: S311  (data for tests)
    guarded = number % 10 == 9
    vulnerability, host = chance.randrange(CVES), chance.randrange(1 + number // 5)
    cve, instance = f"CVE-2025-{vulnerability + 1000}", f"i-{host:017x}"
    account, region = sorted(ACCOUNTS)[host % 3], REGIONS[host % 2]
    seen = NOW - timedelta(days=chance.randrange(700), hours=1)
    source = "guardduty" if guarded else "inspector2"
    kind = "Recon:EC2/PortProbeUnprotectedPort" if guarded else "PACKAGE_VULNERABILITY"
    arn = f"arn:aws:{source}:{region}:{account}:finding/{number:032x}"
    package = {
        "name": f"lib{cve[-2:]}",
        "installed": "1.2",
        "fixed": "1.3",
        "path": None,
        "manager": "OS",
    }
    fields: dict[str, Any] = {
        "id": identity(arn),
        "version": int(NOW.timestamp() * 1000),
        "source": source,
        "finding_arn": arn,
        "account_id": account,
        "account_name": ACCOUNTS[account],
        "region": region,
        "partition": "aws",
        "type": kind,
        "title": kind if guarded else f"{cve} - {package['name']}",
        "description": f"What {kind if guarded else cve} is about, at some length.",
        "severity": chance.choice(SEVERITIES),
        "status": "CLOSED" if number % 7 == 3 else "ACTIVE",
        "updated_at": at(NOW),
        "first_observed_at": at(seen),
        "last_observed_at": at(NOW),
        "age_days": (NOW - seen).days,
        "resource_id": instance,
        "resource_arn": f"arn:aws:ec2:{region}:{account}:instance/{instance}",
        "resource_type": "AwsEc2Instance",
        "resource_tags": {"Name": f"web-{instance[-3:]}"},
        "owner": ("web", "data", None)[host % 3],
        "public_ips": ("198.51.100.7",),
        "internet_exposed": host % 4 < 2,
        "raw": {"findingArn": arn, "odd": [1, {"a": None}]},
    }
    if not guarded:
        fields |= {
            "cves": (cve,),
            "epss": round(chance.random(), 4),
            "exploit_available": chance.choice((True, False)),
            "fix_available": chance.choice(("YES", "NO", "PARTIAL")),
            "packages": (package,),
            "remediation": f"Update {package['name']} to 1.3." if vulnerability % 5 else None,
        }
    return Finding(**{**fields, **changes})


def findings(number: int) -> Iterator[Finding]:
    """The first so many findings."""
    return map(finding, range(number))
