"""AWS Security Hub: findings of one's own product are imported within the documented limits.

State of one account and region is moto's: whether the hub is on, and its findings.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import json
from typing import Any

from moto.securityhub.models import Finding

from tests.emulator.clock import to_datetime
from tests.emulator.kit import Context, fail, operation

SERVICE = "securityhub"
MOST = {"Title": 256, "Description": 1024, "GeneratorId": 512, "Id": 512}
LARGEST = 240 * 1024


@operation(SERVICE, "BatchImportFindings")
def batch_import_findings(context: Context, Findings: list[dict[str, Any]]) -> dict[str, Any]:
    hub = context.backend()
    if not hub.enabled:
        fail(
            "InvalidAccessException",
            f"Account {context.account} is not subscribed to AWS Security Hub",
        )
    if len(Findings) > 100:
        fail("InvalidInputException", "Invalid parameter 'Findings'. At most 100 are allowed")
    known = {(each.data["ProductArn"], each.id): each for each in hub.findings}
    failed = []
    for finding in Findings:
        problem = problem_of(context, finding)
        if problem:
            code, message = problem
            failed.append({"Id": finding["Id"], "ErrorCode": code, "ErrorMessage": message})
            continue
        stored = known.get((finding["ProductArn"], finding["Id"]))
        if stored is None:
            hub.findings.append(Finding(finding["Id"], dict(finding)))
        elif to_datetime(finding["UpdatedAt"]) > to_datetime(stored.data["UpdatedAt"]):
            stored.data.update(finding)
    return {
        "FailedCount": len(failed),
        "SuccessCount": len(Findings) - len(failed),
        "FailedFindings": failed,
    }


def problem_of(context: Context, finding: dict[str, Any]) -> tuple[str, str] | None:
    """Why a finding is refused, or None."""
    own = f":securityhub:{context.region}:{context.account}:product/{context.account}/default"
    if finding["AwsAccountId"] != context.account or not finding["ProductArn"].endswith(own):
        return "InvalidAccess", "The finding is not of the account and region that imports it"
    if not finding["Resources"]:
        return "InvalidInput", "Finding must contain at least one resource"
    for key, most in MOST.items():
        if len(finding[key]) > most:
            return "InvalidInput", f"{key} should have length between 1 and {most}"
    if len(json.dumps(finding, default=str)) > LARGEST:
        return "LimitExceeded", "The finding is larger than 240 KB"
    return None
