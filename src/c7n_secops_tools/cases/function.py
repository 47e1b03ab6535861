"""A policy's Lambda function without Lambda: the rule that starts it, and its handler."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from c7n import handler as stock
from c7n import mu
from c7n.utils import dumps

from c7n_secops import handler
from c7n_secops.event_mode import EventBridgeMode
from c7n_secops_tools.cases.policies import Place

Data = dict[str, Any]

GUARDDUTY_RESOURCES = {"ec2": "Instance", "iam-user": "AccessKey"}
"""What Custodian's deployment of mode guard-duty adds to the rule, by the policy's resource."""
LAMBDA_TIMEOUT = 900
"""Seconds that Custodian's functions have unless a policy says otherwise."""


class Context:
    """What AWS Lambda hands a function beside the event."""

    function_name = "custodian-case"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def __init__(self, seconds: float):
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        """The milliseconds that the invocation has left: at its start, all of them."""
        return int(self._seconds * 1000)


def rule_patterns(policy: Any) -> list[Data]:
    """The EventBridge patterns that start a policy's function; none where no rule does."""
    mode = policy.get_execution_mode()
    if isinstance(mode, EventBridgeMode):
        return [mode.event_pattern()]
    data = dict(policy.data["mode"])
    if data["type"] == "guard-duty" and policy.resource_manager.type in GUARDDUTY_RESOURCES:
        data["resource-filter"] = GUARDDUTY_RESOURCES[policy.resource_manager.type]
    try:
        rendered = mu.CloudWatchEventSource(data, policy.session_factory).render_event_pattern()
    except ValueError:  # another service than EventBridge starts it, such as AWS Config
        return []
    return [json.loads(rendered)] if rendered else []


def invoke(policy: Any, event: Data, place: Place, output: Path) -> None:
    """Hand an event to the Lambda handler, with the policy packed as its deployment packs it."""
    options = {**mu.get_exec_options(policy.options), "account_id": place.account}
    packed = json.loads(dumps({"execution-options": options, "policies": [policy.data]}))
    config = stock.init_config(copy.deepcopy(packed))
    kept = stock.policy_data, stock.policy_config
    stock.policy_data, stock.policy_config = packed, config.copy(output_dir=str(output))
    try:
        handler.run(
            copy.deepcopy(event), Context(policy.data["mode"].get("timeout", LAMBDA_TIMEOUT))
        )
    finally:
        stock.policy_data, stock.policy_config = kept


def as_event(event: Data) -> Data:
    """An event as it arrives: JSON, times as text."""
    found: Data = json.loads(json.dumps(event, default=lambda moment: _zulu(moment.isoformat())))
    return found


def _zulu(text: str) -> str:
    return text.replace("+00:00", "Z")
