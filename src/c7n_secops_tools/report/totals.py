"""The sums of a report: what every run counts, and the gravest resources of all.

One run's resources are in memory at a time; what is kept are the counts, a number a resource and
a finding (to count each once), and at most ``2 * ROWS`` resources cut down to what is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c7n_secops_tools.membership.facts import Memberships
from c7n_secops_tools.report import evidence
from c7n_secops_tools.report.evidence import RANKED, Finding
from c7n_secops_tools.report.traffic import Traffic
from c7n_secops_tools.report.tree import Row, Run, UnreadableError, find

ROWS = 500
"""How many matched resources a report shows, the gravest."""
TOP = 5
"""How many findings it shows for each."""

CHARTS = 20
"""How many resources' traffic a report draws, those with the most requests of offenders."""

COLUMN = {
    "sent": "changed",
    "succeeded": "changed",
    "running": "changed",
    "changed": "changed",
    "exported": "changed",
    "captured": "changed",
    "contained": "changed",
    "released": "changed",
    "blocked": "changed",
    "counted": "changed",
    "expired": "changed",
    "invited": "changed",
    "accepted": "changed",
    "partial": "failed",
    "skipped": "skipped",
    "failed": "failed",
    "not-evaluated": "not evaluated",
}
"""In which column a result's ``outcome`` counts; one that is not here counts as failed."""


@dataclass
class Line:
    """One run, counted.

    ``matched`` is None where the run has no resources.json, because it failed or only deployed
    its policy; ``changed`` is None where its actions do not say what they changed.
    ``reasons`` counts the resources not evaluated by (element, code, reason).
    """

    run: Run
    matched: int | None = None
    changed: int | None = 0
    skipped: int = 0
    failed: int = 0
    not_evaluated: int = 0
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass
class Resource:
    """A matched resource as it is shown, with what all policies found on it.

    ``severities`` counts its findings, ``findings`` are the ``TOP`` gravest of them.
    """

    id: str
    name: str
    kind: str
    account: str
    region: str
    policies: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    severities: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def add(self, run: Run, facts: str, found: list[Finding]) -> None:
        """Take in what one run says of the resource."""
        self.account = max(self.account, label(run), key=len)  # only c7n-org tells the name
        self.policies = list(dict.fromkeys([*self.policies, run.policy]))
        self.evidence = list(dict.fromkeys(filter(None, [*self.evidence, facts])))
        new = [finding for finding in found if hash(finding.key) not in self.seen]
        self.seen.update(hash(finding.key) for finding in new)
        self.severities.update(finding.severity for finding in new)
        self.findings = sorted([*self.findings, *new], key=lambda finding: finding.rank)[:TOP]

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts the gravest first: by critical findings, then high ones, and so on, then EPSS."""
        epss = max((finding.epss or 0.0 for finding in self.findings), default=0.0)
        return (*(-self.severities[severity] for severity in RANKED), -epss, self.region, self.id)

    @property
    def gravest(self) -> str:
        """The severity of its gravest finding; empty without one."""
        return next((severity for severity in RANKED if self.severities[severity]), "")


class Report:
    """Reads every run under the folders once and adds it up.

    ``folders`` are these, ``lines`` has one a run in the order of the tree, ``severities`` the
    findings, each counted once however many policies matched it, ``gravest`` the resources to
    show, ``matched`` how many resources there are in all, ``traffic`` the resources whose
    requests are drawn, ``memberships`` the accounts and regions that are watched over.
    """

    def __init__(self, folders: Iterable[Path]):
        self.folders = tuple(folders)
        self.lines: list[Line] = []
        self.severities: Counter[str] = Counter()
        self.traffic: list[Traffic] = []
        self.memberships = Memberships()
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._seen: set[int] = set()
        self._findings: set[int] = set()
        for run in find(self.folders):
            self.lines.append(self._line(run))

    @property
    def matched(self) -> int:
        """How many resources matched, each counted once."""
        return len(self._seen)

    @property
    def gravest(self) -> list[Resource]:
        """The ``ROWS`` gravest resources, in that order."""
        return sorted(self._resources.values(), key=lambda resource: resource.rank)[:ROWS]

    @property
    def problems(self) -> list[UnreadableError]:
        """Files that could not be read."""
        return [problem for line in self.lines for problem in line.run.problems.values()]

    @property
    def failures(self) -> list[Line]:
        """Runs that failed."""
        return [line for line in self.lines if line.run.error]

    def total(self, column: str) -> int:
        """The sum of a column of :class:`Line`; runs that do not say count as 0."""
        return sum(getattr(line, column) or 0 for line in self.lines)

    def _line(self, run: Run) -> Line:
        line = Line(run)
        self.traffic = sorted([*self.traffic, *run.traffic()], key=lambda each: -each.of_offenders)[
            :CHARTS
        ]
        matched = run.resources()
        if matched is not None:
            line.matched = len(matched)
            for resource in matched:
                self._add(run, resource)
        counted = list(run.results())
        outcomes: Counter[str] = Counter()
        unsaid = set()
        for _, results in counted:
            for result in results or ():
                outcomes[COLUMN.get(str(result["outcome"]), "failed")] += 1
                if result["outcome"] == "not-evaluated":
                    unsaid.add(str(subject(result)))
        line.changed, line.skipped, line.failed = (
            outcomes["changed"],
            outcomes["skipped"],
            outcomes["failed"],
        )
        silent = len(run.actions) > sum(results is not None for _, results in counted)
        if line.matched and silent and not run.dry and not outcomes:
            line.changed = None
        records = run.not_evaluated()
        for record in records:
            unsaid.add(str(record.get("resource")))
            line.reasons[_why(record)] += 1
        self.memberships.take(run, matched, records)
        line.not_evaluated = len(unsaid)
        return line

    def _add(self, run: Run, row: Row) -> None:
        key = (run.account, run.region, evidence.identity(row, run.resource))
        found = list(evidence.findings(row))
        self._seen.add(hash(key))
        for finding in found:
            number = hash((key, finding.key))
            if number not in self._findings:
                self._findings.add(number)
                self.severities[finding.severity] += 1
        if key not in self._resources:
            name = evidence.name(row)
            self._resources[key] = Resource(key[2], name, run.resource, label(run), run.region)
        self._resources[key].add(run, evidence.other(row), found)
        if len(self._resources) >= 2 * ROWS:
            by_rank = sorted(self._resources.items(), key=lambda item: item[1].rank)
            self._resources = dict(by_rank[:ROWS])


def _why(record: Row) -> tuple[str, str, str]:
    element, code, reason = (str(record.get(key, "")) for key in ("element", "code", "reason"))
    return element, code, reason


def subject(result: Row) -> str:
    """The id of the resource that a result or a record is of."""
    keys = ("InstanceId", "AccountId", "resource", "id")
    return next((str(result[key]) for key in keys if result.get(key)), "id unknown")


def label(run: Run) -> str:
    """How a run's account is shown: ``production 222222222222``."""
    names = dict.fromkeys(filter(None, (run.account_name, run.account)))
    return " ".join(names) or "account unknown"
