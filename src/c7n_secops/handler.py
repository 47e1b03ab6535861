"""The Lambda entry point of policies that use our elements: ``c7n_secops.handler.run``."""

from __future__ import annotations

from typing import Any

from c7n_secops import deadline
from c7n_secops.registration import register

register()

from c7n import handler  # noqa: E402  (its import loads no resource, ours must come first)


def run(event: dict[str, Any], context: Any) -> Any:
    """Run the archive's policy on one event; a failure is raised, so that Lambda retries it."""
    with deadline.of_lambda(context):
        return handler.dispatch_event(event, context)
