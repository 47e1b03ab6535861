"""What a queue delivers → records.

A body is an EventBridge event, an Inspector Classic message, or either inside an SNS notification.
Known events that carry no finding (a scan that ends, an API call) give no record; whatever is of
no documented form raises :class:`UnknownShapeError`, which says what is wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from c7n_secops_findings.decode import classic, guardduty, inspector2, securityhub
from c7n_secops_findings.decode.node import Node, UnknownShapeError
from c7n_secops_findings.record import Finding

__all__ = ("UnknownShapeError", "attempt", "decode")

ONE_FINDING = {
    ("aws.inspector2", "Inspector2 Finding"): inspector2.decode,
    ("aws.guardduty", "GuardDuty Finding"): guardduty.decode,
}
MANY_FINDINGS = {
    ("aws.securityhub", "Security Hub Findings - Imported"),
    ("aws.securityhub", "Security Hub Findings - Custom Action"),
}
NO_FINDING = {
    "AWS API Call via CloudTrail",
    "AWS Service Event via CloudTrail",
    "GuardDuty Malware Protection Object Scan Result",
    "GuardDuty Malware Protection Resource Status Active",
    "Inspector2 Coverage",
    "Inspector2 Scan",
    "Security Hub Insight Results",
}
WRAPPINGS = 2
"""How deep notifications may be in one another: a topic subscribed to a topic's queue."""


def attempt(
    decode: Callable[[Mapping[str, Any]], Finding], finding: Mapping[str, Any]
) -> Finding | UnknownShapeError:
    """The record of a finding that a service's API returned, or why it has none."""
    try:
        return decode(finding)
    except UnknownShapeError as error:
        return error


def decode(body: str | Mapping[str, Any]) -> list[Finding]:
    """The records of one message; raises UnknownShapeError."""
    try:
        return _decode(body)
    except RecursionError as error:
        raise UnknownShapeError("the message is nested too deeply") from error


def _decode(body: str | Mapping[str, Any]) -> list[Finding]:
    event = _object(body)
    for _ in range(WRAPPINGS):
        if event.value.get("Type") != "Notification" or "Message" not in event.value:
            break
        event = _object(event.need("Message", limit=2**20))
    if "detail-type" in event.value:
        return _from_event(event)
    if classic.is_message(event):
        return classic.from_message(event)
    raise UnknownShapeError("the message is neither an EventBridge event nor one of Inspector's")


def _from_event(event: Node) -> list[Finding]:
    kind = (event.need("source"), event.need("detail-type"))
    if kind in ONE_FINDING:
        return [ONE_FINDING[kind](Node.of(event.value.get("detail"), "detail").value)]
    if kind in MANY_FINDINGS:
        detail = Node.of(event.value.get("detail"), "detail")
        findings = [
            securityhub.decode(each.value, each.path) for each in detail.children("findings")
        ]
        if not findings:
            raise UnknownShapeError("detail.findings is missing or empty")
        return findings
    if kind[0].startswith("aws.") and kind[1] in NO_FINDING:
        return []
    raise UnknownShapeError(f"no finding is known in events {kind[1]!r:.80} of {kind[0]!r:.80}")


def _object(body: str | Mapping[str, Any]) -> Node:
    if isinstance(body, str):
        try:
            body = json.loads(body, parse_constant=_finite, parse_float=_finite)
        except ValueError as error:
            raise UnknownShapeError(f"the message is not JSON: {error}") from error
    return Node.of(body, "event")


def _finite(text: str) -> float:
    """A number that JSON can hold: Python would read others too."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a number of JSON")
    return number
