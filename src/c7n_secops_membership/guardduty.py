"""Amazon GuardDuty: the detector of a region, its features, and the two sides of a membership."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops_membership.steps import Step, StepsAction

Row = dict[str, Any]

PAGE = 50
"""The most that GuardDuty lists, and takes, at a time."""

MOST_BY_INVITATION = 5000
"""The most members that an administrator can have by invitation."""

STATUSES = (
    "Created",
    "Invited",
    "Enabled",
    "EmailVerificationInProgress",
    "EmailVerificationFailed",
    "Resigned",
    "Removed",
    "Disabled",
)
"""What GuardDuty says of a member, as far as it is known here."""
ABSENT = "absent"
NO_DETECTOR = "no-detector"
OTHER_ADMINISTRATOR = "other-administrator"
UNKNOWN = "unknown"
STATES = (*STATUSES, ABSENT, NO_DETECTOR, OTHER_ADMINISTRATOR, UNKNOWN)
LEFT = ("Resigned", "Removed")
"""The statuses of those who were members."""

ORGANIZATION_FEATURES = (
    "S3_DATA_EVENTS",
    "EKS_AUDIT_LOGS",
    "EBS_MALWARE_PROTECTION",
    "RDS_LOGIN_EVENTS",
    "LAMBDA_NETWORK_LOGS",
    "EKS_RUNTIME_MONITORING",
    "RUNTIME_MONITORING",
    "AI_PROTECTION",
)
FEATURES = (*ORGANIZATION_FEATURES, "AI_ANALYST")
AGENTS = ("EKS_ADDON_MANAGEMENT", "ECS_FARGATE_AGENT_MANAGEMENT", "EC2_AGENT_MANAGEMENT")
RUNTIME, EKS_RUNTIME = "RUNTIME_MONITORING", "EKS_RUNTIME_MONITORING"
FREQUENCIES = ("FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS")


def features_schema(names: Iterable[str], settings: Iterable[str]) -> dict[str, Any]:
    """The schema of ``{NAME: setting}``."""
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"enum": list(names)},
        "additionalProperties": {"enum": list(settings)},
    }


SETTINGS = ("ENABLED", "DISABLED")
DETECTOR_SCHEMA: dict[str, Any] = {
    "features": features_schema(FEATURES, SETTINGS),
    "runtime-agents": features_schema(AGENTS, SETTINGS),
    "publishing-frequency": {"enum": list(FREQUENCIES)},
}
DETECTOR_DOC = """\
``features`` and ``runtime-agents`` (the agents that GuardDuty manages for RUNTIME_MONITORING)
    give each a setting, ENABLED or DISABLED; what they do not name stays as it is, and is AWS's
    default in a new detector. ``publishing-frequency`` is how often updated findings are
    published; in a member account GuardDuty takes it from the administrator."""
DETECTOR_PERMISSIONS = (
    "guardduty:CreateDetector",
    "guardduty:GetDetector",
    "guardduty:ListDetectors",
    "guardduty:UpdateDetector",
    "iam:CreateServiceLinkedRole",
)


def detector_id(client: Any) -> str | None:
    """The detector of the region, of which there is at most one. Raises RefusedError."""
    for page in calls.pages(client, "list_detectors", "DetectorIds", PAGE):
        for name in page:
            return str(name)
    return None


def members(client: Any, detector: str) -> dict[str, Row]:
    """All members of an administrator, those who left and those not invited yet too, by account.

    Raises RefusedError.
    """
    pages = calls.pages(
        client, "list_members", "Members", PAGE, DetectorId=detector, OnlyAssociated="false"
    )
    return {row["AccountId"]: row for page in pages for row in page}


def invitations(client: Any) -> list[Row]:
    """The invitations that the account has got. Raises RefusedError."""
    pages = calls.pages(client, "list_invitations", "Invitations", PAGE)
    return [row for page in pages for row in page]


def administrator(client: Any, detector: str) -> Row:
    """The administrator of the account, or {} without one. Raises RefusedError."""
    answer = calls.read(client.get_administrator_account, DetectorId=detector)
    found: Row = answer.get("Administrator") or {}
    joined = found.get("AccountId") and found.get("RelationshipStatus") not in LEFT
    return found if joined else {}


def configuration(
    features: Mapping[str, str], agents: Mapping[str, str], setting: str = "Status"
) -> list[Row]:
    """The features as GuardDuty takes them; the name of ``setting`` differs between operations."""
    rows: list[Row] = [{"Name": name, setting: value} for name, value in features.items()]
    for row in rows:
        if row["Name"] == RUNTIME and agents:
            row["AdditionalConfiguration"] = [
                {"Name": name, setting: value} for name, value in agents.items()
            ]
    return rows


def differing(wanted: list[Row], there: Iterable[Row], setting: str = "Status") -> list[Row]:
    """The rows of a :func:`configuration` that are not set like that yet."""
    now = {row["Name"]: row for row in there}

    def is_set(row: Row) -> bool:
        found = now.get(row["Name"], {})
        agents = {a["Name"]: a.get(setting) for a in found.get("AdditionalConfiguration", ())}
        return found.get(setting) == row[setting] and all(
            agents.get(agent["Name"]) == agent[setting]
            for agent in row.get("AdditionalConfiguration", ())
        )

    return [row for row in wanted if not is_set(row)]


class FeaturesAction(StepsAction):
    """An action with the keys ``features`` and ``runtime-agents``."""

    def validate(self) -> Any:
        super().validate()
        features = self.data.get("features", {})
        if "runtime-agents" in self.data and RUNTIME not in features:
            raise self.invalid(f"runtime-agents belong to {RUNTIME}; set it in features")
        if {RUNTIME, EKS_RUNTIME} <= features.keys():
            raise self.invalid(f"features cannot have both {RUNTIME} and {EKS_RUNTIME}; remove one")
        return self


class Detector(NamedTuple):
    """The detector of a region, None where it has none, and the step that makes it as wanted."""

    id: str | None
    steps: tuple[Step, ...]


def wanted_detector(client: Any, options: Mapping[str, Any]) -> Detector:
    """The detector, and what the keys of :data:`DETECTOR_SCHEMA` change. Raises RefusedError."""
    features = configuration(options.get("features", {}), options.get("runtime-agents", {}))
    frequency = options.get("publishing-frequency")
    found = detector_id(client)
    if found is None:
        changes: Row = {"Enable": True}
        if features:
            changes["Features"] = features
        if frequency:
            changes["FindingPublishingFrequency"] = frequency
        return Detector(None, (Step("create_detector", changes),))
    now = calls.read(client.get_detector, DetectorId=found)
    changes = {}
    if now["Status"] != "ENABLED":
        changes["Enable"] = True
    if different := differing(features, now.get("Features", ())):
        changes["Features"] = different
    if frequency and now.get("FindingPublishingFrequency") != frequency:
        changes["FindingPublishingFrequency"] = frequency
    steps = (Step("update_detector", {"DetectorId": found, **changes}),) if changes else ()
    return Detector(found, steps)
