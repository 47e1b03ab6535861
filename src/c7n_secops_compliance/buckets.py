"""What Custodian could read of a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DENIED = "c7n:DeniedMethods"
METHODS = {
    "Policy": "get_bucket_policy",
    "Versioning": "get_bucket_versioning",
    "Logging": "get_bucket_logging",
}
"""The keys of a bucket, and the read that each is from."""


def unread(bucket: Mapping[str, Any], key: str) -> tuple[str, str] | None:
    """Why a part of a bucket is not known, as code and reason; None where it was read.

    Custodian goes on without what it may not read, and what is absent then looks like nothing.
    """
    method = METHODS[key]
    if method in bucket.get(DENIED, ()):
        return "AccessDenied", f"{method} was refused"
    if key not in bucket:
        return "NotRead", f"{method} was not answered, or augment-keys leaves {key} out"
    return None
