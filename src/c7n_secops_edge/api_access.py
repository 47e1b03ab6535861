"""What keeps a caller from an API when it does not come through the distribution."""

from __future__ import annotations

import json
from typing import Any

from c7n_secops.aws import calls

PAGE = 500
KEY_HEADER = "x-api-key"
PREFLIGHT = "OPTIONS"


def restricts(policy: str | None) -> bool:
    """Whether a resource policy (as API Gateway writes it) turns some callers away.

    That is so where it denies something, or allows nobody without a condition.
    """
    if not policy:
        return False
    statements = json.loads(policy.replace("\\", "")).get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    denies = any(statement["Effect"] == "Deny" for statement in statements)
    return denies or all(
        statement.get("Condition") or statement.get("Principal") not in ("*", {"AWS": "*"})
        for statement in statements
    )


def sends_key(origin: dict[str, Any]) -> bool:
    """Whether CloudFront adds an API key to what it asks this origin."""
    headers = origin.get("CustomHeaders", {}).get("Items", ())
    return any(header["HeaderName"].lower() == KEY_HEADER for header in headers)


def wants_key(apigateway: Any, api_id: str) -> bool:
    """Whether every method of an API needs a key; preflight requests cannot send one.

    Raises RefusedError.
    """
    resources = calls.pages(
        apigateway, "get_resources", "items", PAGE, restApiId=api_id, embed=["methods"]
    )
    return all(
        method.get("apiKeyRequired", False)
        for page in resources
        for resource in page
        for verb, method in resource.get("resourceMethods", {}).items()
        if verb != PREFLIGHT
    )
