"""One record for a finding, whichever service found it and however it came to us.

``finding.schema.json`` beside this file is the record's published form; its version is
:data:`SCHEMA_VERSION`. A record is identified by ``id``, the SHA-256 of the finding's ARN, and
ordered by ``version``: of two records with one id, the greater version is the newer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

SCHEMA_VERSION = "1.0.0"
SCHEMA_FILE = "finding.schema.json"

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNTRIAGED")
STATUSES = ("ACTIVE", "SUPPRESSED", "CLOSED")
INSTANCE = "AwsEc2Instance"
"""``resource_type`` of an EC2 instance; resource types are named as Security Hub names them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A finding; the schema says what each field means."""

    id: str
    version: int
    source: str
    finding_arn: str
    account_id: str
    region: str
    partition: str
    type: str
    title: str
    description: str
    severity: str
    status: str
    updated_at: str
    resource_id: str
    resource_type: str
    schema_version: str = SCHEMA_VERSION
    account_name: str | None = None
    ou: str | None = None
    severity_score: float | None = None
    first_observed_at: str | None = None
    last_observed_at: str | None = None
    age_days: int | None = None
    cves: tuple[str, ...] = ()
    cwes: tuple[str, ...] = ()
    epss: float | None = None
    inspector_score: float | None = None
    inspector_vector: str | None = None
    exploit_available: bool | None = None
    fix_available: str | None = None
    packages: tuple[dict[str, str | None], ...] = ()
    remediation: str | None = None
    references: tuple[str, ...] = ()
    resource_arn: str | None = None
    resource_tags: dict[str, str] = field(default_factory=dict)
    owner: str | None = None
    image: str | None = None
    platform: str | None = None
    profile: str | None = None
    vpc: str | None = None
    subnet: str | None = None
    security_groups: tuple[str, ...] = ()
    private_ips: tuple[str, ...] = ()
    public_ips: tuple[str, ...] = ()
    internet_exposed: bool | None = None
    ports: tuple[dict[str, Any], ...] = ()
    action: str | None = None
    direction: str | None = None
    remote_ip: str | None = None
    remote_asn: str | None = None
    remote_country: str | None = None
    remote_port: int | None = None
    count: int | None = None
    administrator_account: str | None = None
    enrichment_status: str = "ok"
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The record as the schema has it: every field, with null where nothing is known."""
        return {name: getattr(self, name) for name in FIELDS}

    def to_json(self) -> str:
        """The record in one line, in valid UTF-8 whatever the finding holds."""
        return to_line(self.to_dict())


FIELDS = tuple(each.name for each in fields(Finding))


@cache
def schema() -> dict[str, Any]:
    """The record's JSON schema."""
    text = files(__package__).joinpath(SCHEMA_FILE).read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_line(value: Any) -> str:
    """A value as one line of JSON; times become texts, lone surrogates question marks."""
    text = json.dumps(value, separators=(",", ":"), default=_plain, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def identity(arn: str) -> str:
    """The id of the finding with this ARN."""
    return hashlib.sha256(arn.encode(errors="surrogatepass")).hexdigest()


def newest(findings: list[Finding]) -> list[Finding]:
    """Each finding once, in its newest version; in order of first appearance."""
    kept: dict[str, Finding] = {}
    for finding in findings:
        known = kept.get(finding.id)
        if known is None or finding.version > known.version:
            kept[finding.id] = finding
    return list(kept.values())
