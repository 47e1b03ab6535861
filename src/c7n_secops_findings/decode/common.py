"""What the decoders share: identity, times and the places that an ARN names."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from c7n_secops_findings.decode.node import Node, UnknownShapeError, iso, milliseconds
from c7n_secops_findings.record import identity

ACCOUNT = r"\d{12}"
REGION = r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}"
ARN = re.compile(
    rf"arn:(aws[a-z-]{{0,20}}):([a-z0-9-]{{1,63}}):({REGION})?:({ACCOUNT})?:\S.{{0,1900}}"
)
INSTANCE_ID = re.compile(r"\bi-(?:[0-9a-f]{17}|[0-9a-f]{8})\b")


class Arn(NamedTuple):
    """The places that an ARN names; region and account are empty in some."""

    text: str
    partition: str
    service: str
    region: str
    account: str


def arn(node: Node, key: str) -> Arn:
    """An ARN that must be there."""
    text = node.need(key)
    found = ARN.fullmatch(text)
    if not found:
        raise node.wrong(key, "an ARN")
    partition, service, region, account = found.groups()
    return Arn(text, partition, service, region or "", account or "")


def updated(node: Node, *keys: str) -> datetime:
    """The first of these times that is there; one must be."""
    for key in keys:
        at = node.time(key)
        if at is not None:
            return at
    raise UnknownShapeError(f"{node.path}.{keys[0]} is missing")


def times(first: datetime | None, last: datetime | None, changed: datetime) -> dict[str, Any]:
    """The fields of a record that tell when."""
    age = max((changed - first).days, 0) if first else None
    return {
        "first_observed_at": first and iso(first),
        "last_observed_at": last and iso(last),
        "updated_at": iso(changed),
        "age_days": age,
    }


def named(finding_arn: str, changed: datetime, extra: int = 0) -> dict[str, Any]:
    """The fields of a record that identify and order it."""
    return {
        "id": identity(finding_arn),
        "version": max(milliseconds(changed), 0) + extra,
        "finding_arn": finding_arn,
    }


def instance_arn(partition: str, region: str, account: str, name: str) -> str:
    """The ARN of an EC2 instance."""
    return f"arn:{partition}:ec2:{region}:{account}:instance/{name}"
