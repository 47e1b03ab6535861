"""What a policy's resource type, filters, actions and deployment call, as IAM actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from c7n.filters import Filter

from c7n_secops_tools.iam.corrections import corrected

PULL = "pull"
BLOCKS = ("and", "not", "or")
LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
NETWORKED = (
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
)
FUNCTION = (
    "iam:PassRole",
    "lambda:AddPermission",
    "lambda:CreateFunction",
    "lambda:GetFunction",
    "lambda:GetFunctionConfiguration",
    "lambda:TagResource",
    "lambda:UntagResource",
    "lambda:UpdateFunctionCode",
    "lambda:UpdateFunctionConfiguration",
)
CONCURRENCY = ("lambda:DeleteFunctionConcurrency", "lambda:PutFunctionConcurrency")
RULE = ("events:DescribeRule", "events:ListTargetsByRule", "events:PutRule", "events:PutTargets")
CONFIG_RULE = ("config:DescribeConfigRules", "config:PutConfigRule")
SCHEDULE = (
    "iam:PassRole",
    "scheduler:CreateSchedule",
    "scheduler:GetSchedule",
    "scheduler:UpdateSchedule",
)
HUB_ACTION = (
    "securityhub:CreateActionTarget",
    "securityhub:DescribeActionTargets",
    "securityhub:UpdateActionTarget",
)
SOURCES: Mapping[str, tuple[str, ...]] = {
    "config-poll-rule": CONFIG_RULE,
    "config-rule": CONFIG_RULE,
    "hub-action": (*RULE, *HUB_ACTION),
    "schedule": SCHEDULE,
}
"""What it takes to connect the function of a mode with its events; a rule of EventBridge else."""


class Need(NamedTuple):
    """One IAM action, and the options of the element or mode that calls it."""

    action: str
    kind: str
    options: Mapping[str, Any]


def mode_of(policy: Any) -> dict[str, Any]:
    """The policy's mode block; a policy without one is pulled."""
    mode: dict[str, Any] = policy.data.get("mode") or {"type": PULL}
    return mode


def is_function(policy: Any) -> bool:
    """Whether the policy runs as a Lambda function."""
    return bool(mode_of(policy)["type"] != PULL)


def runtime(policy: Any) -> Iterator[Need]:
    """What a run of the policy calls, wherever it runs."""
    manager = policy.resource_manager
    own = manager.get_permissions()
    for action in corrected("resource", manager.type, "", own, policy.data):
        yield Need(action, "resource", policy.data)
    for element in (*manager.iter_filters(), *manager.actions):
        if element.type in BLOCKS:
            continue
        if hasattr(element, "embedded_policy"):
            yield from runtime(element.embedded_policy)
            continue
        kind = "filter" if isinstance(element, Filter) else "action"
        name = str(element.type)
        options = dict(element.data) if isinstance(element.data, dict) else {}
        if hasattr(element, "document"):  # what an action on Systems Manager sends
            options["document"] = element.document
        for action in corrected(kind, manager.type, name, element.get_permissions(), options):
            yield Need(action, f"{kind}:{name}", options)


def function(policy: Any) -> Iterator[Need]:
    """What the policy's function calls beside the policy itself."""
    mode = mode_of(policy)
    named = {**mode, "function": function_name(policy)}
    actions = [*LOGS]
    if "member-role" in mode:
        actions.append("sts:AssumeRole")
    if mode.get("subnets"):
        actions += NETWORKED
    if mode.get("tracing_config"):
        actions += ("xray:PutTelemetryRecords", "xray:PutTraceSegments")
    for action in actions:
        yield Need(action, "mode", named)


def deployment(policy: Any) -> Iterator[Need]:
    """What ``custodian run`` calls to deploy the policy's function and to update it."""
    mode = mode_of(policy)
    named = {**mode, "function": function_name(policy)}
    actions = [*FUNCTION, *SOURCES.get(mode["type"], RULE), *CONCURRENCY]
    if mode.get("layers"):
        actions.append("lambda:GetLayerVersion")
    if mode.get("subnets"):
        actions += ("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs")
    for action in actions:
        yield Need(action, "mode", named)


def function_name(policy: Any) -> str:
    """The name of the policy's function and of its rule."""
    return f"{mode_of(policy).get('function-prefix', 'custodian-')}{policy.data['name']}"
