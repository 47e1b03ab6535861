"""What a dry run would have done: Custodian skips the actions then, and so their plans with them.

An action of ours with ``plan(resources)``, which returns a dict for each resource and changes
nothing, has it logged and written to ``plan.json`` beside the policy's ``resources.json``::

    [{"action": "action:quarantine-instance", "InstanceId": "i-0abc", "case": "INC-1", ...}]
"""

from __future__ import annotations

import logging
from typing import Any

from c7n.filters import Filter
from c7n.utils import dumps

FILE = "plan.json"

log = logging.getLogger("custodian.c7n_secops.plans")


class ShowPlans(Filter):
    """Stands after a policy's own filters in a dry run, and lets every resource pass."""

    type = "show-plans"
    schema = {"type": "object", "additionalProperties": False}

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        rows = [
            {"action": action.label, **row}
            for action in self.manager.actions
            if hasattr(action, "plan")
            for row in action.plan(resources)
        ]
        for row in rows:
            log.info("plan %s", dumps(row, indent=None))
        self.manager.ctx.output.write_file(FILE, dumps(rows, indent=2))
        return resources


def show_for(manager: Any) -> None:
    """Let a policy's dry run show the plans of its actions."""
    if not any(isinstance(item, ShowPlans) for item in manager.filters):
        manager.filters.append(ShowPlans({"type": "show-plans"}, manager))
