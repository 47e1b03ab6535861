"""Who set a tag, as CloudTrail's event history tells it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from c7n_secops.aws import calls

PAGE = 50
"""The most events that LookupEvents answers at a time; AWS allows two calls a second."""

IDENTITY_CENTER = "AWSReservedSSO_"
"""How the names of the roles begin through which people of IAM Identity Center act."""


class Principal(NamedTuple):
    """Who made a call.

    ``name`` is equal for what one person can easily be at once: all sessions of a role are one
    principal, since whoever assumes a role chooses the session's name. Only IAM Identity Center
    names sessions itself, after the person; there the person counts, whatever the role.
    """

    name: str
    arn: str
    source: str | None

    def is_other_than(self, other: Principal) -> bool:
        """Whether the two differ in every respect that AWS knows of both."""
        same_source = self.source is not None and self.source == other.source
        return self.name != other.name and not same_source


NOBODY = Principal("", "", None)


class Setting(NamedTuple):
    """One successful change of a tag.

    ``value`` is None where it was removed; ``by`` is :data:`NOBODY` where the record says too
    little of who did it.
    """

    value: str | None
    by: Principal
    at: datetime
    event_id: str


def changes_of_tags(
    client: Any, resource_id: str, since: datetime, until: datetime
) -> Iterator[tuple[str, Setting]]:
    """Yield (tag key, change) for each change of an EC2 resource's tags, the latest first.

    Raises :class:`c7n_secops.aws.calls.RefusedError`.
    """
    attribute = {"AttributeKey": "ResourceName", "AttributeValue": resource_id}
    pages = calls.pages(
        client,
        "lookup_events",
        "Events",
        PAGE,
        LookupAttributes=[attribute],
        StartTime=since,
        EndTime=until,
    )
    for page in pages:
        for row in page:
            yield from _changes_in(row, resource_id)


def _changes_in(row: dict[str, Any], resource_id: str) -> Iterator[tuple[str, Setting]]:
    if row.get("EventName") not in ("CreateTags", "DeleteTags"):
        return
    event = json.loads(row["CloudTrailEvent"])
    if event.get("eventSource") != "ec2.amazonaws.com" or "errorCode" in event:
        return
    request = event.get("requestParameters") or {}
    if resource_id not in (item.get("resourceId") for item in _items(request, "resourcesSet")):
        return
    removed = row["EventName"] == "DeleteTags"
    for tag in _items(request, "tagSet"):
        value = None if removed else str(tag.get("value") or "")
        by = principal(event.get("userIdentity") or {})
        yield str(tag.get("key")), Setting(value, by, row["EventTime"], row["EventId"])


def _items(request: dict[str, Any], name: str) -> Iterable[dict[str, Any]]:
    items: list[dict[str, Any]] = (request.get(name) or {}).get("items") or []
    return items


def principal(identity: dict[str, Any]) -> Principal:
    """Who a ``userIdentity`` of CloudTrail is; :data:`NOBODY` for a kind that says too little."""
    arn, kind = str(identity.get("arn") or ""), identity.get("type")
    if not arn:
        return NOBODY
    if kind in ("IAMUser", "Root"):
        return Principal(arn, arn, None)
    session = identity.get("sessionContext") or {}
    role = (session.get("sessionIssuer") or {}).get("arn")
    if kind != "AssumedRole" or not role:
        return NOBODY
    person = arn.rpartition("/")[2]
    by_identity_center = role.rpartition("/")[2].startswith(IDENTITY_CENTER)
    name = f"identity-center:{person}" if by_identity_center else role
    return Principal(name, arn, session.get("sourceIdentity"))
