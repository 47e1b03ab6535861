"""The third outcome: resources of which nothing can be said, and why.

A filter returns what matched and drops what is clean. What it could not evaluate (a refused read,
an instance that is not scanned) is neither, so it is recorded here: one line a resource in the
log, a ``NotEvaluated`` metric, and ``not-evaluated.json`` beside the policy's ``resources.json``::

    [{"policy": "...", "element": "filter:inspector-finding", "resource": "i-0abc",
      "code": "AccessDeniedException", "reason": "...", "at": "2026-01-31T12:00:00+00:00"}]

In a Lambda's stock modes the filters run before Custodian opens its output, so there the log is
the record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from c7n.utils import dumps

if TYPE_CHECKING:
    from c7n_secops.element import SecOpsElement

FILE = "not-evaluated.json"
METRIC = "NotEvaluated"

log = logging.getLogger("custodian.c7n_secops.outcomes")
_records: WeakKeyDictionary[Any, dict[str | None, list[dict[str, Any]]]] = WeakKeyDictionary()


def record(
    element: SecOpsElement, resources: Iterable[dict[str, Any]], code: str, reason: str
) -> list[dict[str, Any]]:
    """Record the resources as not evaluated by this element; return the new records."""
    id_key = element.manager.get_model().id
    ids = [resource[id_key] for resource in resources]
    return record_ids(element.manager.ctx, element.label, ids, code, reason)


def record_ids(
    ctx: Any, label: str, ids: Iterable[str], code: str, reason: str
) -> list[dict[str, Any]]:
    """Record resources of which only the ids are known; ``label`` is what could not evaluate."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    new = [
        {
            "policy": ctx.policy.name,
            "element": label,
            "resource": name,
            "code": code,
            "reason": reason,
            "at": now,
        }
        for name in ids
    ]
    if not new:
        return new
    for entry in new:
        log.warning("not evaluated %s", dumps(entry, indent=None))
    ctx.metrics.put_metric(METRIC, len(new), "Count", Scope="Policy")
    run = _records.setdefault(ctx, {}).setdefault(ctx.execution_id, [])
    run.extend(new)
    if ctx.output is not None:
        ctx.output.write_file(FILE, dumps(run, indent=2))
    return new


def recorded(ctx: Any) -> list[dict[str, Any]]:
    """What the policy's last run recorded."""
    return _records.get(ctx, {}).get(ctx.execution_id, [])
