"""AWS CloudTrail: the event history of who changed which EC2 tags and GuardDuty memberships.

Only the operations in ``RECORDED`` are, also where they are refused; LookupEvents narrows by one
attribute, as on AWS. State of one account and region: ``events`` (a list of the rows of
LookupEvents, oldest first; seed it for events that the emulator cannot make) and ``settings``:
with ``{"silent": True}`` nothing is recorded any more, as before CloudTrail delivers, and with
``{"trail": True}`` each event goes to EventBridge's default bus too.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qs

from tests.emulator import events
from tests.emulator.clock import iso, now, to_datetime
from tests.emulator.identity import Caller
from tests.emulator.kit import Context, fail, fingerprint, operation, page, state, without_none
from tests.emulator.wire import Asked, parameters

SERVICE = "cloudtrail"
RECORDED = {
    "ec2": ("CreateTags", "DeleteTags"),
    "guardduty": (
        "DeleteMembers",
        "DisassociateFromAdministratorAccount",
        "DisassociateFromMasterAccount",
        "DisassociateMembers",
        "StopMonitoringMembers",
    ),
}


def record(asked: Asked, caller: Any, error_code: str) -> None:
    """Adds a call that was answered to the event history of its account and region."""
    recorded = asked.operation in RECORDED.get(asked.service, ())
    if not recorded or not isinstance(caller, Caller):
        return
    settings = state(SERVICE, asked.account, asked.region, "settings")
    if settings.get("silent"):
        return
    request, ids = REQUESTS[asked.service](asked)
    event = without_none(
        eventVersion="1.10",
        eventID=str(uuid.uuid4()),
        eventTime=iso(),
        eventSource=f"{asked.service}.amazonaws.com",
        eventName=asked.operation,
        awsRegion=asked.region,
        recipientAccountId=asked.account,
        readOnly=False,
        managementEvent=True,
        userIdentity=identity(caller),
        requestParameters=request,
        errorCode=(CODE_PREFIX.get(asked.service, "") + error_code) if error_code else None,
    )
    row = {
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": "false",
        "EventTime": now().replace(microsecond=0),
        "EventSource": event["eventSource"],
        "Username": caller.arn.rsplit("/", 1)[-1],
        "Resources": [{"ResourceName": each} for each in ids],
        "CloudTrailEvent": json.dumps(event),
    }
    state(SERVICE, asked.account, asked.region, "events", list).append(row)
    if settings.get("trail"):
        seen = {
            "source": f"aws.{asked.service}",
            "detail-type": "AWS API Call via CloudTrail",
            "detail": event,
        }
        events.deliver(asked.account, asked.region, seen)


def tagging(asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """The request of a change of tags, and the resources that it names."""
    query = parse_qs(asked.body.decode(), keep_blank_values=True)
    ids = numbered(query, "ResourceId.{}")
    tags = [
        without_none(key=key, value=first(query, f"Tag.{number}.Value"))
        for number, key in enumerate(numbered(query, "Tag.{}.Key"), 1)
    ]
    resources = {"items": [{"resourceId": each} for each in ids]}
    return {"resourcesSet": resources, "tagSet": {"items": tags}}, ids


def membership(asked: Asked) -> tuple[dict[str, Any], list[str]]:
    """The request of a change of memberships, which names a detector in its path."""
    detector = asked.environ["PATH_INFO"].split("/")[2]
    return {"detectorId": detector, **parameters(asked)}, [detector]


CODE_PREFIX = {"ec2": "Client."}
REQUESTS = {"ec2": tagging, "guardduty": membership}


def first(query: dict[str, list[str]], name: str) -> str | None:
    return query.get(name, [None])[0]  # type: ignore[list-item]


def numbered(query: dict[str, list[str]], name: str) -> list[str]:
    found = []
    while (value := first(query, name.format(len(found) + 1))) is not None:
        found.append(value)
    return found


def identity(caller: Caller) -> dict[str, Any]:
    """The ``userIdentity`` of an event."""
    if caller.kind != "role":
        return {
            "type": "IAMUser",
            "arn": caller.arn,
            "accountId": caller.account,
            "userName": caller.arn.rsplit("/", 1)[-1],
        }
    role = caller.session.role_arn
    issuer = {"type": "Role", "arn": role, "userName": role.rsplit("/", 1)[-1]}
    return {
        "type": "AssumedRole",
        "arn": caller.arn,
        "accountId": caller.account,
        "sessionContext": {"sessionIssuer": issuer},
    }


ATTRIBUTES = {
    "EventId": lambda row: [row["EventId"]],
    "EventName": lambda row: [row["EventName"]],
    "EventSource": lambda row: [row["EventSource"]],
    "ResourceName": lambda row: [each["ResourceName"] for each in row.get("Resources", ())],
    "Username": lambda row: [row.get("Username")],
}


@operation(SERVICE, "LookupEvents")
def lookup_events(
    context: Context,
    LookupAttributes: list[dict[str, str]] | None = None,
    StartTime: Any = None,
    EndTime: Any = None,
    MaxResults: int = 50,
    NextToken: str = "",
    **_: Any,
) -> dict[str, Any]:
    attributes = LookupAttributes or []
    if len(attributes) > 1:
        fail("InvalidLookupAttributesException", "You may only specify one lookup attribute.")
    for each in attributes:
        if each["AttributeKey"] not in ATTRIBUTES:
            fail("InvalidLookupAttributesException", "the emulator does not know this attribute")
    start = to_datetime(StartTime) if StartTime is not None else None
    end = to_datetime(EndTime) if EndTime is not None else None
    if start and end and start > end:
        fail("InvalidTimeRangeException", "The end time must be after the start time.")
    rows = [
        row
        for row in reversed(context.state("events", list))
        if all(a["AttributeValue"] in ATTRIBUTES[a["AttributeKey"]](row) for a in attributes)
        and (start is None or to_datetime(row["EventTime"]) >= start)
        and (end is None or to_datetime(row["EventTime"]) <= end)
    ]
    query = fingerprint(attributes, str(start), str(end))
    shown, token = page(rows, NextToken, MaxResults, query, "InvalidNextTokenException")
    return without_none(Events=list(shown), NextToken=token)
