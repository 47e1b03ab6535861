"""AWS Security Hub: findings of one's own product, within the documented limits; custom actions.

State of one account and region is moto's, whether the hub is on and its findings, and
``action_targets``, the custom actions by their ARN.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from moto.securityhub.models import Finding

from tests.emulator.clock import to_datetime
from tests.emulator.kit import Context, fail, fingerprint, operation, page, without_none

SERVICE = "securityhub"
MOST = {"Title": 256, "Description": 1024, "GeneratorId": 512, "Id": 512}
LARGEST = 240 * 1024


@operation(SERVICE, "BatchImportFindings")
def batch_import_findings(context: Context, Findings: list[dict[str, Any]]) -> dict[str, Any]:
    check_enabled(context)
    hub = context.backend()
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


def check_enabled(context: Context) -> None:
    if not context.backend().enabled:
        fail(
            "InvalidAccessException",
            f"Account {context.account} is not subscribed to AWS Security Hub",
        )


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


@operation(SERVICE, "CreateActionTarget")
def create_action_target(context: Context, Name: str, Description: str, Id: str) -> dict[str, Any]:
    targets = action_targets(context)
    if not re.fullmatch("[A-Za-z0-9]{1,20}", Id):
        fail("InvalidInputException", "Invalid parameter 'Id'. At most 20 letters and digits")
    check_name(Name)
    arn = f"arn:aws:securityhub:{context.region}:{context.account}:action/custom/{Id}"
    if arn in targets:
        fail("ResourceConflictException", f"Action target {arn} already exists")
    targets[arn] = {"ActionTargetArn": arn, "Name": Name, "Description": Description}
    return {"ActionTargetArn": arn}


@operation(SERVICE, "UpdateActionTarget")
def update_action_target(context: Context, ActionTargetArn: str, **changes: str) -> None:
    target = existing_target(context, ActionTargetArn)
    check_name(changes.get("Name", ""))
    target.update(changes)


@operation(SERVICE, "DeleteActionTarget")
def delete_action_target(context: Context, ActionTargetArn: str) -> dict[str, Any]:
    existing_target(context, ActionTargetArn)
    del action_targets(context)[ActionTargetArn]
    return {"ActionTargetArn": ActionTargetArn}


@operation(SERVICE, "DescribeActionTargets")
def describe_action_targets(
    context: Context,
    ActionTargetArns: Sequence[str] = (),
    NextToken: str | None = None,
    MaxResults: int = 100,
) -> dict[str, Any]:
    targets = action_targets(context)
    found = [targets[arn] for arn in ActionTargetArns or sorted(targets) if arn in targets]
    shown, token = page(found, NextToken, MaxResults, fingerprint(ActionTargetArns))
    return without_none(ActionTargets=shown, NextToken=token)


def action_targets(context: Context) -> dict[str, dict[str, str]]:
    """The custom actions of an enabled hub, by their ARN."""
    check_enabled(context)
    targets: dict[str, dict[str, str]] = context.state("action_targets")
    return targets


def existing_target(context: Context, arn: str) -> dict[str, str]:
    target = action_targets(context).get(arn)
    if target is None:
        fail("ResourceNotFoundException", f"Action target {arn} does not exist")
    return target


def check_name(name: str) -> None:
    if len(name) > 20:
        fail("InvalidInputException", "Invalid parameter 'Name'. At most 20 characters")
