"""Findings for tests: the sample events, and any finding that botocore's models allow."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import botocore.session
from hypothesis import strategies as st

from c7n_secops_findings.decode import inspector2
from c7n_secops_findings.record import Finding
from tests.harness import ACCOUNT, REGION
from tests.inspector_data import SAMPLES

ARN_ENDS = st.text("0123456789abcdef", min_size=32, max_size=32)
ACCOUNTS = st.sampled_from([ACCOUNT, "222222222222", "000000000001"])
REGIONS = st.sampled_from([REGION, "eu-central-1", "us-gov-west-1", "ap-southeast-4"])
MOMENTS = st.integers(1_400_000_000_000, 2_100_000_000_000).map(
    lambda ms: datetime.fromtimestamp(ms // 1000, timezone.utc) + timedelta(milliseconds=ms % 1000)
)


def in_english(at: datetime) -> str:
    """Mar 20, 2023, 6:08:05 PM"""
    return f"{at:%b} {at.day}, {at.year}, {at.hour % 12 or 12}:{at:%M:%S} {at:%p}"


def in_unix(at: datetime) -> str:
    """Wed Sep 04 16:59:44.356 UTC 2024"""
    return f"{at:%a %b %d %H:%M:%S}.{at.microsecond // 1000:03} UTC {at.year}"


def in_iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


FORMS = (datetime.timestamp, in_iso, in_english, in_unix)
ISO_TIMES = MOMENTS.map(lambda at: in_iso(at).replace("+00:00", "Z"))
TIMES = st.builds(lambda at, form: form(at), MOMENTS, st.sampled_from(FORMS))


@cache
def model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


Given = Mapping[str, Any]


def of_shape(shape: Any, given: Given, wire: bool, path: str = "") -> Any:
    """Any value of a shape, named as in events where ``wire``; ``given`` replaces, by path."""
    if path in given:
        return given[path]
    kind = shape.type_name
    if kind == "structure":
        required, optional = {}, {}
        for name, member in shape.members.items():
            inner = f"{path}.{name}".lstrip(".")
            if given.get(inner) is None and inner in given:
                continue
            shown = member.serialization.get("name", name) if wire else name
            home = required if name in shape.required_members or inner in given else optional
            home[shown] = of_shape(member, given, wire, inner)
        return st.fixed_dictionaries(required, optional=optional)
    if kind == "list":
        least = min(int(shape.metadata.get("min", 0)), 2)
        return st.lists(of_shape(shape.member, given, wire, path), min_size=least, max_size=2)
    if kind == "map":
        return st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2)
    if kind == "string":
        if shape.metadata.get("enum"):
            return st.sampled_from(shape.metadata["enum"])
        return st.text(min_size=int(shape.metadata.get("min", 0)) and 1, max_size=12)
    if kind == "timestamp":
        return TIMES
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        return st.integers(-(2**31), 2**31)
    return st.floats(allow_nan=False, allow_infinity=False, width=32)


def arns(service: str, kind: str = "finding/") -> Any:
    return st.builds(
        lambda region, account, end: f"arn:aws:{service}:{region}:{account}:{kind}{end}",
        REGIONS,
        ACCOUNTS,
        ARN_ENDS,
    )


def inspector_findings() -> Any:
    given = {
        "findingArn": arns("inspector2"),
        "awsAccountId": ACCOUNTS,
        "resources": st.lists(
            of_shape(model("inspector2").shape_for("Resource"), {"region": REGIONS}, True),
            min_size=1,
            max_size=2,
        ),
    }
    return of_shape(model("inspector2").shape_for("Finding"), given, True)


def guardduty_findings(wire: bool) -> Any:
    given = {
        "Arn": arns("guardduty", "detector/1/finding/"),
        "AccountId": ACCOUNTS,
        "Region": REGIONS,
        "Partition": st.just("aws"),
        "CreatedAt": ISO_TIMES,
        "UpdatedAt": ISO_TIMES,
        "Service.EventFirstSeen": ISO_TIMES,
        "Service.EventLastSeen": ISO_TIMES,
        "Type": st.just("Backdoor:EC2/Spambot"),
        "Resource.InstanceDetails.Tags": st.lists(
            st.fixed_dictionaries(
                {"key" if wire else "Key": st.text(min_size=1, max_size=5)},
                optional={"value" if wire else "Value": st.text(max_size=5)},
            ),
            max_size=2,
        ),
        # large, and of no interest to a record
        "Service.Detection": None,
        "Service.EbsVolumeScanDetails": None,
        "Service.MalwareScanDetails": None,
        "Service.RuntimeDetails": None,
        "Service.Evidence": None,
        "Resource.KubernetesDetails": None,
        "Resource.EcsClusterDetails": None,
    }
    return of_shape(model("guardduty").shape_for("Finding"), given, wire)


def securityhub_findings() -> Any:
    shape = model("securityhub").shape_for("AwsSecurityFinding")
    read = {
        *("SchemaVersion", "Id", "ProductArn", "Region", "GeneratorId", "AwsAccountId", "Types"),
        *("FirstObservedAt", "LastObservedAt", "CreatedAt", "UpdatedAt", "Severity", "Title"),
        *("Description", "Remediation", "SourceUrl", "Network", "Resources", "WorkflowState"),
        *("Workflow", "RecordState", "Vulnerabilities", "Action", "AwsAccountName"),
    }
    details = model("securityhub").shape_for("AwsEc2InstanceDetails")
    given: dict[str, Any] = {name: None for name in shape.members if name not in read}
    given |= dict.fromkeys(
        ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"), ISO_TIMES
    )
    given |= {
        "Id": arns("guardduty", "detector/1/finding/") | st.text(min_size=1, max_size=30),
        "ProductArn": arns("securityhub", "product/aws/"),
        "AwsAccountId": ACCOUNTS,
        "Region": REGIONS,
        "GeneratorId": st.text(min_size=1, max_size=9),
        "Title": st.text(min_size=1, max_size=9),
        "Resources.Id": arns("ec2", "instance/i-"),
        "Resources.Type": st.sampled_from(["AwsEc2Instance", "AwsS3Bucket"]),
        "Resources.Region": REGIONS,
        "Vulnerabilities.Id": st.text(min_size=1, max_size=9),
        "Resources.DataClassification": None,
        "Resources.Details": st.fixed_dictionaries(
            {}, optional={"AwsEc2Instance": of_shape(details, {}, True)}
        ),
    }
    resource = model("securityhub").shape_for("Resource")
    inner = {name[10:]: value for name, value in given.items() if name.startswith("Resources.")}
    given["Resources"] = st.lists(of_shape(resource, inner, True), min_size=1, max_size=2)
    return of_shape(shape, given, True)


def classic_findings() -> Any:
    given = {
        "arn": arns("inspector", "target/0-a/template/0-b/run/0-c/finding/"),
        "attributes.key": st.text(min_size=1, max_size=9),
        "assetAttributes.tags.key": st.text(min_size=1, max_size=9),
    }
    return of_shape(model("inspector").shape_for("Finding"), given, True)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def event(number: int = 1, account: str = ACCOUNT, region: str = REGION, **changes: Any) -> Any:
    """An EventBridge event of an Inspector finding, critical and active unless changed."""
    made = copy.deepcopy(sample("inspector2-ec2-package-closed-2024"))
    made.update(account=account, region=region)
    made["detail"] |= {
        "awsAccountId": account,
        "findingArn": f"arn:aws:inspector2:{region}:{account}:finding/{number:032x}",
        "severity": "CRITICAL",
        "status": "ACTIVE",
        "exploitAvailable": "YES",
    }
    resource = changes.pop("resource", None)
    if resource:
        made["detail"]["resources"][0]["id"] = resource
    made["detail"] |= changes
    return made


def record(number: int = 1, **changes: Any) -> Finding:
    return inspector2.decode(event(number, **changes)["detail"])
