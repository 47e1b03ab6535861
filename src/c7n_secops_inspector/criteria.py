"""What an ``inspector-finding`` filter asks: what the API can decide, and what is decided here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from c7n.filters import ValueFilter

from c7n_secops.comparisons import length
from c7n_secops_inspector import VALUES_PER_KEY, Scanned, yes_no

SCAN_OF_FINDING = {
    "NETWORK_REACHABILITY": "NETWORK",
    "PACKAGE_VULNERABILITY": "PACKAGE",
    "CODE_VULNERABILITY": "CODE",
}
PACKAGE_KEYS = frozenset({"cve", "epss", "exploit-available", "fix-available"})

Finding = dict[str, Any]
Predicate = Callable[[Finding], bool]


def finding_types(data: dict[str, Any]) -> list[str]:
    """The finding types that the filter can match; empty for any."""
    asked = data.get("finding-type", [])
    types = [asked] if isinstance(asked, str) else list(asked)
    return types or (["NETWORK_REACHABILITY"] if "ports" in data else [])


def scan_types(data: dict[str, Any], kind: Scanned) -> list[str]:
    """The scans that must have run before a resource without findings is clean; empty for all."""
    types = {SCAN_OF_FINDING[name] for name in finding_types(data)}
    if not types and PACKAGE_KEYS & data.keys():
        types = {"PACKAGE"}
    return sorted(types.intersection(kind.scans))


def criteria(
    data: dict[str, Any], kind: Scanned, account: str, now: datetime
) -> dict[str, list[dict[str, Any]]]:
    """The filter as Inspector's FilterCriteria, less what :func:`predicate` decides.

    The account is always asked for: a delegated administrator sees the findings of every member.
    """
    asked = {
        "awsAccountId": [account],
        "resourceType": [kind.type],
        "findingStatus": data.get("status", ["ACTIVE"]),
        "severity": data.get("severity"),
        "findingType": finding_types(data),
        "fixAvailable": [yes_no(value) for value in data.get("fix-available", ())],
    }
    if "exploit-available" in data:
        asked["exploitAvailable"] = [yes_no(data["exploit-available"])]
    if len(data.get("cve", ())) <= VALUES_PER_KEY:
        asked["vulnerabilityId"] = data.get("cve")
    found: dict[str, list[dict[str, Any]]] = {
        key: equals(values) for key, values in asked.items() if values
    }
    if "epss" in data:
        bounds = {"gte": "lowerInclusive", "lte": "upperInclusive"}
        found["epssScore"] = [{bounds[op]: value for op, value in data["epss"].items()}]
    if "age" in data:
        edge = now - length(data["age"])
        older = data["age"].get("op", "gt") in ("gt", "gte")
        found["firstObservedAt"] = [{"endInclusive" if older else "startInclusive": edge}]
    return found


def equals(values: list[str]) -> list[dict[str, str]]:
    """FilterCriteria of a string key that may have any of the values."""
    return [{"comparison": "EQUALS", "value": value} for value in values]


def predicate(data: dict[str, Any]) -> Predicate:
    """What the API cannot decide: ports, attributes, and more CVEs than one call takes."""
    tests: list[Predicate] = [_attribute(block) for block in data.get("attrs", ())]
    if "ports" in data:
        tests.append(_opens(data["ports"]))
    if len(data.get("cve", ())) > VALUES_PER_KEY:
        wanted = frozenset(data["cve"])
        tests.append(lambda finding: not wanted.isdisjoint(vulnerability_ids(finding)))
    return lambda finding: all(test(finding) for test in tests)


def vulnerability_ids(finding: Finding) -> tuple[str, ...]:
    """The CVE, or other advisory, that a package finding is about."""
    details = finding.get("packageVulnerabilityDetails")
    return (details["vulnerabilityId"],) if details else ()


def _attribute(block: dict[str, Any]) -> Predicate:
    value_filter = ValueFilter({"type": "value", **block})
    value_filter.annotate = False
    matches: Predicate = value_filter.match
    return matches


def _opens(ports: list[int]) -> Predicate:
    def opens(finding: Finding) -> bool:
        reach = finding.get("networkReachabilityDetails", {}).get("openPortRange")
        return reach is not None and any(reach["begin"] <= port <= reach["end"] for port in ports)

    return opens
