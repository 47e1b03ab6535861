"""Reading events: anybody who may put one on a bus decides what it holds, and of which type."""

from __future__ import annotations

from typing import Any


def texts(value: Any) -> list[str]:
    """The texts of a list, each once and in order; [] where an event has no list there."""
    items = value if isinstance(value, list) else []
    return list(dict.fromkeys(item for item in items if isinstance(item, str)))


def read_by_id(manager: Any, ids: list[str]) -> list[dict[str, Any]]:
    """The resources of these ids that AWS knows.

    One unknown id fails the whole question, and Custodian then answers with nothing: ask again
    one by one, so that it cannot hide the others.
    """
    resources: list[dict[str, Any]] = manager.get_resources(ids)
    if resources or len(ids) < 2:
        return resources
    return [resource for name in ids for resource in manager.get_resources([name])]
