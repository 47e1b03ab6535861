"""The findings of local stores and of Custodian's output trees, and what a reader asks of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from c7n_secops_findings.decode import UnknownShapeError, attempt, inspector2
from c7n_secops_findings.enrich import with_instance
from c7n_secops_findings.record import INSTANCE, SEVERITIES, Finding
from c7n_secops_findings.store import FOLDER, Store, open_store
from c7n_secops_tools.report.evidence import FINDINGS
from c7n_secops_tools.report.tree import Row, find

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST = 20_000
"""Findings that a page lists, the gravest; the sums are over all."""
ACCOUNTS = 20
"""Accounts that the chart shows, the most impacted."""
LISTED = 500
"""Rows of a table of sums."""
TEXT = 1000
"""Characters of a description or remediation that a page shows."""
BATCH = 250
"""Findings on resources that are in memory at a time, and rows of an answer."""
DAYS = 120
"""Longer spans of time are counted by month, shorter ones by week."""
ATTENTION: dict[str, Any] = {
    "status": "ACTIVE",
    "severity": "CRITICAL",
    "exploit_available": True,
    "internet_exposed": True,
    "resource_type": INSTANCE,
}
"""An instance that anyone can reach, with a critical finding for which an exploit is known."""

RANK = f"list_position({list(SEVERITIES)}, severity)"
SHOWN = """CREATE TABLE shown AS SELECT * EXCLUDE (raw),
             trim(concat_ws(' ', max(account_name) OVER (PARTITION BY account_id), account_id))
               AS account
           FROM findings"""
"""Every finding in its newest version, and how its account is shown."""
YES = "CASE WHEN {0} THEN 'yes' WHEN NOT {0} THEN 'no' END"
AGE = "date_diff('day', {0}, ?::TIMESTAMP)"


@contextmanager
def gathered(folders: Sequence[Path], now: datetime) -> Iterator[Findings]:
    """The findings below folders: of their local stores, and on resources that matched."""
    with TemporaryDirectory(prefix="c7n-secops-") as scratch:
        unknown = _store_matched(folders, Path(scratch) / FOLDER)
        with open_store(*folders, Path(scratch)) as connection:
            connection.execute(SHOWN)
            yield Findings(connection, now.replace(tzinfo=None), unknown)


class Findings:
    """Answers with rows. ``unknown`` counts the findings on resources that had no known form."""

    def __init__(self, connection: DuckDBPyConnection, now: datetime, unknown: int = 0):
        self.connection, self.now, self.unknown = connection, now, unknown

    def _rows(self, sql: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        asked = self.connection.cursor().execute(sql, list(parameters))
        while rows := asked.fetchmany(BATCH):
            yield from rows

    @cached_property
    def total(self) -> int:
        """How many findings there are, closed ones too."""
        return int(next(self._rows("SELECT count(*) FROM shown"))[0])

    @cached_property
    def active(self) -> Counter[str]:
        """Active findings by severity."""
        sql = "SELECT severity, count(*) FROM shown WHERE status = 'ACTIVE' GROUP BY severity"
        return Counter(dict(self._rows(sql)))

    def by_account(self) -> list[tuple[str, str, int]]:
        """Account, severity and number of active findings, of the most impacted accounts."""
        return list(
            self._rows(
                f"""WITH active AS (
                      SELECT account, severity FROM shown WHERE status = 'ACTIVE')
                    SELECT account, severity, count(*) FROM active
                    JOIN (SELECT account, count(*) AS most FROM active GROUP BY ALL
                          ORDER BY most DESC, account LIMIT {ACCOUNTS}) USING (account)
                    GROUP BY account, severity, most ORDER BY most, account DESC"""  # noqa: S608
            )
        )

    def over_time(self) -> list[tuple[str, str, int]]:
        """First day of a week or a month, severity, and findings first seen then."""
        return list(
            self._rows(
                f"""WITH seen AS (
                      SELECT first_observed_at AS moment, severity FROM shown
                      WHERE first_observed_at IS NOT NULL),
                    span AS (SELECT date_diff('day', min(moment), max(moment)) AS days FROM seen)
                    SELECT strftime(date_trunc(
                        CASE WHEN days > {DAYS} THEN 'month' ELSE 'week' END, moment), '%Y-%m-%d'
                      ) AS start, severity, count(*)
                    FROM seen, span GROUP BY ALL ORDER BY start"""  # noqa: S608
            )
        )

    def accounts(self) -> Iterator[tuple[Any, ...]]:
        """Account, active findings, critical, high, resources with any, days of the oldest."""
        return self._rows(
            f"""SELECT account, count(*) AS number,
                  count(*) FILTER (severity = 'CRITICAL'), count(*) FILTER (severity = 'HIGH'),
                  count(DISTINCT resource_id), max({AGE.format("first_observed_at")})
                FROM shown WHERE status = 'ACTIVE'
                GROUP BY account ORDER BY number DESC, account LIMIT {LISTED}""",  # noqa: S608
            self.now,
        )

    def attention(self) -> Iterator[tuple[Any, ...]]:
        """Instance, name, account, region, owner, findings of :data:`ATTENTION`, worst EPSS, days
        of the oldest, their vulnerabilities.
        """
        where = " AND ".join(f"{field} = ?" for field in ATTENTION)
        return self._rows(
            f"""SELECT resource_id, any_value(resource_tags['Name']), any_value(account), region,
                  any_value(owner), count(*) AS number, max(epss),
                  max({AGE.format("first_observed_at")}) AS oldest,
                  left(array_to_string(
                    list_sort(list_distinct(flatten(list(cves)))), ', '), {TEXT})
                FROM shown WHERE {where} GROUP BY resource_id, account_id, region
                ORDER BY number DESC, oldest DESC, resource_id LIMIT {LISTED}""",  # noqa: S608
            self.now,
            *ATTENTION.values(),
        )

    def vulnerabilities(self) -> Iterator[tuple[Any, ...]]:
        """CVE, severity, active findings, resources, accounts, worst EPSS, exploit, description,
        remediation.
        """
        return self._rows(
            f"""SELECT cve, arg_min(severity, {RANK}), count(*) AS number,
                  count(DISTINCT resource_id), count(DISTINCT account_id), max(epss) AS worst,
                  {YES.format("bool_or(exploit_available)")},
                  left(max(description), {TEXT}), left(max(remediation), {TEXT})
                FROM (SELECT *, unnest(cves) AS cve FROM shown WHERE status = 'ACTIVE')
                GROUP BY cve ORDER BY number DESC, worst DESC NULLS LAST, cve
                LIMIT {LISTED}"""  # noqa: S608
        )

    def listed(self) -> Iterator[tuple[Any, ...]]:
        """Severity, title, account, region, resource, owner, status, days since it was first seen,
        EPSS, exploit, exposed, packages and their fixed versions, source.
        """
        return self._rows(
            f"""SELECT severity, title, account, region, resource_id, owner, status,
                  {AGE.format("first_observed_at")}, epss, {YES.format("exploit_available")},
                  {YES.format("internet_exposed")},
                  left(array_to_string(list_transform(packages,
                    lambda p: concat_ws(' ', p.name, p.installed, '→ ' || p.fixed)), ', '), {TEXT}),
                  source
                FROM shown ORDER BY status, {RANK}, epss DESC NULLS LAST, id
                LIMIT {MOST}""",  # noqa: S608
            self.now,
        )


def _store_matched(folders: Iterable[Path], folder: Path) -> int:
    """Store the findings on resources that matched; returns how many have no known form."""
    unknown = 0

    def decoded() -> Iterator[Finding]:
        nonlocal unknown
        for run in find(folders):
            for resource in run.resources() or ():
                found = resource.get(FINDINGS)
                for raw in found if isinstance(found, list) else ():
                    record = attempt(inspector2.decode, raw)
                    if isinstance(record, UnknownShapeError):
                        unknown += 1
                    else:
                        yield replace(
                            _enriched(record, resource), account_name=run.account_name or None
                        )

    records, store = decoded(), None
    while batch := list(islice(records, BATCH)):
        store = store or Store(folder)
        store.write(batch)
    return unknown


def _enriched(record: Finding, resource: Row) -> Finding:
    """The record with its instance's attributes, where the resource is one."""
    try:
        return with_instance(record, resource)
    except (KeyError, TypeError, AttributeError):  # no instance, or not as AWS describes one
        return record
