"""Which requests without TLS a bucket's policy refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from c7n_secops_compliance.statements import has_every_action, several, statements_of

BUCKET, OBJECTS = "bucket", "objects"
LEAST = 1.2
"""The oldest version of TLS that a condition on the version may let in."""


def unprotected(bucket: str, document: Any) -> list[str]:
    """Of ``bucket`` and ``objects``, what no statement keeps from requests without TLS.

    A statement counts that denies all actions to everybody for nothing else than the lack of TLS.
    Raises ValueError where the document is none.
    """
    denied = {
        part
        for statement in statements_of(document)
        if denies_without_tls(statement)
        for resource in several(statement.get("Resource", []))
        for part in parts_of(bucket, resource)
    }
    return [part for part in (BUCKET, OBJECTS) if part not in denied]


def denies_without_tls(statement: Mapping[str, Any]) -> bool:
    """Whether a statement denies all actions to everybody where there is no TLS."""
    return (
        statement["Effect"] == "Deny"
        and is_everybody(statement.get("Principal"))
        and has_every_action(statement, "s3:*")
        and is_about_tls_alone(statement.get("Condition", {}))
    )


def is_everybody(principal: Any) -> bool:
    """Whether a principal is ``*``, itself or as AWS accounts."""
    if isinstance(principal, dict):
        principal = principal.get("AWS")
    return "*" in several(principal)


def is_about_tls_alone(condition: Mapping[str, Any]) -> bool:
    """Whether it is one condition, on TLS: any other narrows what the statement denies."""
    keys = [
        (operator.removesuffix("IfExists"), key.lower(), texts(values))
        for operator, block in condition.items()
        for key, values in (block.items() if isinstance(block, dict) else [("", block)])
    ]
    if len(keys) != 1:
        return False
    ((operator, key, values),) = keys
    if (operator, key) == ("Bool", "aws:securetransport"):
        return "false" in values
    if (operator, key) == ("NumericLessThan", "s3:tlsversion"):
        return any(map(is_recent, values))
    return False


def texts(values: Any) -> list[str]:
    """The values of a condition, which may be texts, numbers or booleans, as texts."""
    return [str(value).lower() for value in several(values)]


def is_recent(version: str) -> bool:
    """Whether a number, as a policy has it, is that of a version of TLS that may be used."""
    return re.fullmatch(r"\d{1,4}(\.\d{1,4})?", version) is not None and float(version) >= LEAST


def parts_of(bucket: str, resource: str) -> list[str]:
    """Of ``bucket`` and ``objects``, what a resource of a statement takes in whole.

    It may end with ``*``; with another wildcard it counts for nothing.
    """
    name = re.sub(r"^arn:aws[a-z-]*:s3:::", "", resource)
    if resource == "*":
        return [BUCKET, OBJECTS]
    if name == resource:
        return []
    if not name.endswith("*"):
        return [BUCKET] if name == bucket else []
    start = name[:-1]
    return [
        part
        for part, whole in ((BUCKET, bucket), (OBJECTS, f"{bucket}/"))
        if whole.startswith(start)
    ]
