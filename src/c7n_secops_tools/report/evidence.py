"""What a matched resource shows: its id and name, its findings, and other evidence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import jmespath

from c7n_secops_tools.report.tree import Row

FINDINGS = "c7n:InspectorFindings"
RANKED = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNTRIAGED")
"""Inspector's severities, the gravest first."""
LIKELY_IDS = ("InstanceId", "FunctionName", "imageDigest", "Arn", "arn", "Id", "id", "Name", "name")
AGENT = """"c7n:SsmAgent".PingStatus || ("c7n:SsmAgent".absent && 'absent')"""
FACTS = tuple(
    (label, jmespath.compile(path))
    for label, path in (
        ("Inspector coverage:", '"c7n:InspectorCoverage"[].scanStatus.reason'),
        ("last scanned", '"c7n:InspectorCoverage"[].lastScannedAt | [0]'),
        ("SSM agent", AGENT),
        ("version", '"c7n:SsmAgent".AgentVersion'),
        ("last ping", '"c7n:SsmAgent".LastPingDateTime'),
        ("patches missing:", '"c7n:SsmPatchState".MissingCount'),
        ("failed:", '"c7n:SsmPatchState".FailedCount'),
        ("reboot pending for:", '"c7n:SsmPatchState".InstalledPendingRebootCount'),
    )
)
"""Evidence that other filters annotate: how it is called, and where it is."""


class Finding(NamedTuple):
    """The part of an Inspector finding that a reader decides by; empty where it says nothing.

    ``epss`` is a probability from 0 to 1, or None. ``link`` is an https address or empty.
    """

    arn: str
    title: str
    cve: str
    severity: str
    packages: str
    fixed_in: str
    epss: float | None
    exploit: bool
    link: str

    @property
    def key(self) -> str:
        """Tells it from the other findings of its resource."""
        return self.arn or self.title

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts the gravest first."""
        return RANKED.index(self.severity), -(self.epss or 0.0)


def findings(resource: Row) -> Iterator[Finding]:
    """The Inspector findings that ``inspector-finding`` put on a resource."""
    for finding in _objects(resource.get(FINDINGS)):
        details = _object(finding.get("packageVulnerabilityDetails"))
        packages = list(_objects(details.get("vulnerablePackages")))
        score = _object(finding.get("epss")).get("score")
        severity, link = _text(finding.get("severity")), _text(details.get("sourceUrl"))
        yield Finding(
            arn=_text(finding.get("findingArn")),
            title=_text(finding.get("title")),
            cve=_text(details.get("vulnerabilityId")),
            severity=severity if severity in RANKED else "UNTRIAGED",
            packages=_listed(f"{_text(p.get('name'))} {_text(p.get('version'))}" for p in packages),
            fixed_in=_listed(_text(p.get("fixedInVersion")) for p in packages),
            epss=float(score) if isinstance(score, int | float) else None,
            exploit=finding.get("exploitAvailable") == "YES",
            link=link if link.startswith("https://") else "",
        )


def other(resource: Row) -> str:
    """What other filters of ours found, in one line."""
    facts = []
    for label, path in FACTS:
        value = path.search(resource)
        values = value if isinstance(value, list) else [value]
        said = _listed(str(value) for value in values if isinstance(value, str | int | float))
        if said:
            facts.append(f"{label} {said}")
        elif value == []:
            facts.append(f"{label} none")
    return "; ".join(facts)


def identity(resource: Row, kind: str) -> str:
    """The id by which Custodian knows a resource of this kind (``aws.ec2``).

    Where the kind is not known (a run that was stopped does not say it), a likely id, or else a
    digest of the whole resource, so that two resources are never taken for one.
    """
    for key in (id_key(kind), *LIKELY_IDS):
        if resource.get(key):
            return str(resource[key])
    digest = hashlib.sha256(json.dumps(resource, sort_keys=True, default=str).encode())
    return f"id unknown ({digest.hexdigest()[:12]})"


def name(resource: Row) -> str:
    """The value of the ``Name`` tag, or nothing."""
    tags = _objects(resource.get("Tags"))
    return next((_text(tag.get("Value")) for tag in tags if tag.get("Key") == "Name"), "")


@cache
def id_key(kind: str) -> str:
    """The key of the id in resources of a kind; empty where Custodian does not know the kind."""
    from c7n.provider import clouds  # loads Custodian's resource classes, only once they are asked
    from c7n.resources import load_resources

    provider, _, resource = kind.partition(".")
    if provider != "aws" or load_resources((kind,)):
        return ""
    return str(clouds["aws"].resources[resource].resource_type.id)


def _object(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[Row]:
    return (row for row in value if isinstance(row, dict)) if isinstance(value, list) else iter(())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _listed(values: Iterator[str] | list[str]) -> str:
    return ", ".join(dict.fromkeys(value.strip() for value in values if value.strip()))
