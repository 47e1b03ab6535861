"""What Custodian says of a policy that it refuses, in a line."""

from __future__ import annotations

import re


def brief(error: str) -> str:
    """What Custodian says of a policy, without the schema that it adds; and where it stands."""
    said = " ".join(error.partition("Failed validating")[0].split())
    where = re.search(r"On instance(\S+):", error)
    return f"{said} (in {where[1]})" if where else said
