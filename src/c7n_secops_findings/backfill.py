"""Reads the findings that an account's services hold, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from c7n_secops.aws.calls import pages, read
from c7n_secops.aws.planner import batches
from c7n_secops_findings.decode import attempt, guardduty, inspector2
from c7n_secops_findings.decode.node import UnknownShapeError, milliseconds
from c7n_secops_findings.record import Finding
from c7n_secops_inspector import FINDINGS_PAGE

GUARDDUTY_PAGE = 50
"""Findings that GuardDuty lists, or gives, in a call."""


def from_inspector(
    client: Any, since: datetime | None = None
) -> Iterator[Finding | UnknownShapeError]:
    """The findings of Inspector in one account and region; those that changed since then.

    A delegated administrator's come an account at a time, so that each batch is of few accounts.
    """
    criteria = {"updatedAt": [{"startInclusive": since}]} if since else {}
    for page in pages(
        client,
        "list_findings",
        "findings",
        FINDINGS_PAGE,
        filterCriteria=criteria,
        sortCriteria={"field": "AWS_ACCOUNT_ID", "sortOrder": "ASC"},
    ):
        yield from (attempt(inspector2.decode, each) for each in page)


def from_guardduty(
    client: Any, since: datetime | None = None
) -> Iterator[Finding | UnknownShapeError]:
    """The findings of GuardDuty in one account and region, archived ones too."""
    criterion = {"updatedAt": {"GreaterThanOrEqual": milliseconds(since)}} if since else {}
    for detectors in pages(client, "list_detectors", "DetectorIds", GUARDDUTY_PAGE):
        for detector in detectors:
            listed = pages(
                client,
                "list_findings",
                "FindingIds",
                GUARDDUTY_PAGE,
                DetectorId=detector,
                FindingCriteria={"Criterion": criterion},
            )
            for names in listed:
                for batch in batches(names, GUARDDUTY_PAGE):
                    answer = read(client.get_findings, DetectorId=detector, FindingIds=batch)
                    yield from (attempt(guardduty.decode, each) for each in answer["Findings"])


SOURCES = {"inspector2": from_inspector, "guardduty": from_guardduty}
"""By the service's name in boto3."""
