"""Amazon Inspector's coverage of a whole account: what it scans, what it does not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c7n_secops.aws.calls import client, pages
from c7n_secops_inspector.criteria import equals
from c7n_secops_membership.inspector import states

OF_RESOURCES = ("absent", "last-scanned")
"""Keys of inspector-coverage that say something of one resource only."""

PERMISSIONS = ("inspector2:BatchGetAccountStatus", "inspector2:ListCoverageStatistics")


class NotAnsweredError(Exception):
    """Inspector says nothing of the account; ``code`` is why, in AWS's words."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def summary(element: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """``Scans``, ``Statuses`` and ``Reasons`` of the element's account and region.

    ``options`` narrow what is counted by ``scan-type`` and ``status``. Raises RefusedError, and
    :class:`NotAnsweredError`.
    """
    account = element.manager.config.account_id
    inspector = client(element, "inspector2")
    answer = states(inspector, [account])
    if account not in answer.scans:
        raise NotAnsweredError(
            *answer.failed.get(account, ("NotAnswered", "Inspector says nothing of the account"))
        )
    scans = answer.scans[account]
    criteria = {"accountId": equals([account])}
    for key, name in (("scan-type", "scanType"), ("status", "scanStatusCode")):
        if key in options:
            criteria[name] = equals(options[key])
    on = any(status != "DISABLED" for status in scans.values())
    return {
        "Scans": scans,
        "Statuses": _counts(inspector, criteria, "SCAN_STATUS_CODE") if on else {},
        "Reasons": _counts(inspector, criteria, "SCAN_STATUS_REASON") if on else {},
    }


def _counts(inspector: Any, criteria: dict[str, Any], group: str) -> dict[str, int]:
    """How many scans of resources are in each group."""
    paginator = pages(
        inspector,
        "list_coverage_statistics",
        "countsByGroup",
        None,
        filterCriteria=criteria,
        groupBy=group,
    )
    return {row["groupKey"]: row["count"] for page in paginator for row in page}


def meets(found: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether a :func:`summary` is as the keys of the filter say; without a key it always is."""
    conditions = []
    if "switched-off" in options:
        conditions.append(
            any(found["Scans"][scan] != "ENABLED" for scan in options["switched-off"])
        )
    if "status" in options:
        conditions.append(bool(found["Statuses"]))
    if "reason" in options:
        conditions.append(not found["Reasons"].keys().isdisjoint(options["reason"]))
    return all(conditions)
