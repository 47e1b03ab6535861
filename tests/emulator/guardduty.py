"""Amazon GuardDuty: one detector a region, and its findings.

State of one account and region: moto's ``detectors``, whose ``features`` are in the shape of
GetDetector here, and ``findings`` (id -> finding in the shape of GetFindings). Memberships are in
``guardduty_members``.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from tests.emulator.clock import iso, to_epoch
from tests.emulator.kit import Context, fail, fingerprint, operation, page, state, without_none

SERVICE = "guardduty"
BAD = "BadRequestException"
ALWAYS_ON = ("CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS")
ON_BY_DEFAULT = (
    "S3_DATA_EVENTS",
    "EKS_AUDIT_LOGS",
    "EBS_MALWARE_PROTECTION",
    "RDS_LOGIN_EVENTS",
    "LAMBDA_NETWORK_LOGS",
)
RUNTIME = ("RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING")


def timestamp() -> str:
    return iso(timespec="milliseconds")


# --- the detector --------------------------------------------------------------------------------


def check_detector(context: Context, detector_id: str) -> Any:
    detector = context.backend().detectors.get(detector_id)
    if detector is None:
        fail(
            BAD,
            "The request is rejected because the input detectorId is not owned by the current "
            "account.",
        )
    return detector


def switch_on(context: Context, account: str = "") -> Any:
    """The enabled detector of an account in the caller's region, made if there is none."""
    backend = context.backend(account=account)
    if not backend.detectors:
        backend.create_detector(True, "SIX_HOURS", {}, {}, [])
        (made,) = backend.detectors.values()
        made.features = [{"Name": name, "Status": "ENABLED"} for name in ON_BY_DEFAULT]
        made.features.append({"Name": RUNTIME[0], "Status": "DISABLED"})
    (detector,) = backend.detectors.values()
    detector.enabled = True
    return detector


def merged(now: list[dict[str, Any]], changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The features after a change: what it does not name stays."""
    if {row["Name"] for row in changes} >= set(RUNTIME):
        fail(BAD, "The request is rejected because only one of two runtime features is allowed.")
    features = {row["Name"]: row for row in now}
    for change in changes:
        row = features.setdefault(change["Name"], {"Name": change["Name"]})
        agents = {a["Name"]: a for a in row.get("AdditionalConfiguration", ())}
        agents.update((a["Name"], dict(a)) for a in change.get("AdditionalConfiguration", ()))
        row.update(change)
        if agents:
            row["AdditionalConfiguration"] = list(agents.values())
    return list(features.values())


@operation(SERVICE, "CreateDetector")
def create_detector(
    context: Context,
    Enable: bool,
    Features: list[dict[str, Any]] | None = None,
    FindingPublishingFrequency: str = "SIX_HOURS",
    Tags: dict[str, str] | None = None,
    **_: Any,
) -> dict[str, str]:
    if context.backend().detectors:
        fail(
            BAD,
            "The request is rejected because a detector already exists for the current account.",
        )
    detector = switch_on(context)
    detector.features = merged(detector.features, Features or [])
    detector.enabled, detector.tags = Enable, Tags or {}
    detector.finding_publish_freq = FindingPublishingFrequency
    return {"DetectorId": detector.id}


@operation(SERVICE, "UpdateDetector")
def update_detector(
    context: Context,
    DetectorId: str,
    Enable: bool | None = None,
    Features: list[dict[str, Any]] | None = None,
    FindingPublishingFrequency: str = "",
    **_: Any,
) -> None:
    detector = check_detector(context, DetectorId)
    detector.features = merged(detector.features, Features or [])
    detector.enabled = detector.enabled if Enable is None else Enable
    detector.finding_publish_freq = FindingPublishingFrequency or detector.finding_publish_freq


@operation(SERVICE, "GetDetector")
def get_detector(context: Context, DetectorId: str) -> dict[str, Any]:
    detector = check_detector(context, DetectorId)
    always = [{"Name": name, "Status": "ENABLED"} for name in ALWAYS_ON]
    return {
        "CreatedAt": iso(detector.created_at, "milliseconds"),
        "UpdatedAt": iso(detector.updated_at, "milliseconds"),
        "FindingPublishingFrequency": detector.finding_publish_freq,
        "ServiceRole": detector.service_role,
        "Status": "ENABLED" if detector.enabled else "DISABLED",
        "Tags": detector.tags,
        "Features": [*always, *detector.features],
    }


# --- findings ------------------------------------------------------------------------------------


def value_at(finding: Any, path: str) -> Any:
    """Finds a value by GuardDuty's lower-camel path in a finding with upper-camel members."""
    for step in path.split("."):
        if not isinstance(finding, dict):
            return None
        finding = next((v for k, v in finding.items() if k.lower() == step.lower()), None)
    return finding


TIMES = ("createdat", "updatedat")


def comparable(finding: Any, path: str) -> Any:
    """A value as criteria name it: times are in milliseconds there, and texts in findings."""
    value = value_at(finding, path)
    return to_epoch(value) * 1000 if value and path.lower() in TIMES else value


def is_one_of(value: Any, wanted: list[str]) -> bool:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return value is not None and text in wanted


CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": is_one_of,
    "Equals": is_one_of,
    "Neq": lambda value, wanted: not is_one_of(value, wanted),
    "NotEquals": lambda value, wanted: not is_one_of(value, wanted),
    "Gt": lambda value, bound: value is not None and value > bound,
    "GreaterThan": lambda value, bound: value is not None and value > bound,
    "Gte": lambda value, bound: value is not None and value >= bound,
    "GreaterThanOrEqual": lambda value, bound: value is not None and value >= bound,
    "Lt": lambda value, bound: value is not None and value < bound,
    "LessThan": lambda value, bound: value is not None and value < bound,
    "Lte": lambda value, bound: value is not None and value <= bound,
    "LessThanOrEqual": lambda value, bound: value is not None and value <= bound,
}


@operation(SERVICE, "ListFindings")
def list_findings(
    context: Context,
    DetectorId: str,
    FindingCriteria: dict[str, Any] | None = None,
    MaxResults: int = 50,
    NextToken: str = "",
    **_: Any,
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    criteria = (FindingCriteria or {}).get("Criterion") or {}
    tests = []
    for path, conditions in criteria.items():
        for name, wanted in conditions.items():
            if wanted is None:
                continue
            if name not in CONDITIONS:
                fail(BAD, f"the emulator does not implement the condition {name}")
            tests.append((path, CONDITIONS[name], wanted))
    found = [
        finding_id
        for finding_id, finding in context.state("findings").items()
        if all(test(comparable(finding, path), wanted) for path, test, wanted in tests)
    ]
    shown, token = page(found, NextToken, int(MaxResults), fingerprint(criteria), BAD)
    return without_none(FindingIds=list(shown), NextToken=token)


@operation(SERVICE, "GetFindings")
def get_findings(
    context: Context, DetectorId: str, FindingIds: list[str], **_: Any
) -> dict[str, Any]:
    check_detector(context, DetectorId)
    findings = context.state("findings")
    return {"Findings": [findings[each] for each in FindingIds if each in findings]}


SAMPLES = ("CryptoCurrency:EC2/BitcoinTool.B!DNS", "Recon:EC2/PortProbeUnprotectedPort")


@operation(SERVICE, "CreateSampleFindings")
def create_sample_findings(
    context: Context, DetectorId: str, FindingTypes: list[str] | None = None
) -> None:
    check_detector(context, DetectorId)
    findings = state(SERVICE, context.account, context.region, "findings")
    for finding_type in FindingTypes or SAMPLES:
        finding = sample(context, DetectorId, finding_type)
        findings[finding["Id"]] = finding


def sample(context: Context, detector_id: str, finding_type: str) -> dict[str, Any]:
    finding_id, moment = uuid.uuid4().hex, timestamp()
    return {
        "AccountId": context.account,
        "Arn": f"arn:aws:guardduty:{context.region}:{context.account}:detector/{detector_id}"
        f"/finding/{finding_id}",
        "CreatedAt": moment,
        "UpdatedAt": moment,
        "Id": finding_id,
        "Region": context.region,
        "Resource": {
            "ResourceType": "Instance",
            "InstanceDetails": {"InstanceId": "i-99999999"},
        },
        "SchemaVersion": "2.0",
        "Severity": 8.0,
        "Title": f"[SAMPLE] {finding_type}",
        "Type": finding_type,
        "Service": {
            "Archived": False,
            "Count": 1,
            "DetectorId": detector_id,
            "ServiceName": "guardduty",
        },
    }
