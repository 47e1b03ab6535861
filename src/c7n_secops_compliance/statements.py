"""The statements of a policy document that others wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST = 100_000
"""Characters of a document; AWS's own limits are 20,480 and below."""

ONE_OR_SEVERAL = ("Action", "NotAction", "Resource", "NotResource")


def statements_of(document: Any) -> list[dict[str, Any]]:
    """The statements of a document, as text or as a mapping.

    Raises ValueError, which says what is wrong, where the document is none that AWS takes.
    """
    if isinstance(document, str):
        document = parsed(document)
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise ValueError("the document has no Statement")
    found = document["Statement"]
    statements = [found] if isinstance(found, dict) else found
    if not isinstance(statements, list) or not all(map(is_statement, statements)):
        raise ValueError("a statement of the document is not one")
    return statements


def parsed(text: str) -> Any:
    """What a text of JSON says. Raises ValueError."""
    if len(text) > LONGEST:
        raise ValueError(f"the document has {len(text)} characters")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def is_statement(statement: Any) -> bool:
    """Whether a statement has an effect, and texts or lists of texts where those belong."""
    return (
        isinstance(statement, dict)
        and statement.get("Effect") in ("Allow", "Deny")
        and isinstance(statement.get("Condition", {}), dict)
        and all(
            isinstance(text, str)
            for key in ONE_OR_SEVERAL
            for text in several(statement.get(key, []))
        )
    )


def several(value: Any) -> list[Any]:
    """A value of a document that may stand alone or in a list, as a list."""
    return value if isinstance(value, list) else [value]


def has_every_action(statement: Mapping[str, Any], *names: str) -> bool:
    """Whether the statement's actions take in all there are: ``*``, or one of the names."""
    every = {"*", "*:*", *names}
    return any(action.lower() in every for action in several(statement.get("Action", [])))


def allows_everything(statement: Mapping[str, Any]) -> bool:
    """Whether it allows every action on every resource, without a condition."""
    return (
        statement["Effect"] == "Allow"
        and has_every_action(statement)
        and "*" in several(statement.get("Resource", []))
        and not statement.get("Condition")
    )
