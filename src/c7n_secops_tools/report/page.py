"""The report as one HTML file: nothing to load, safe with hostile text.

Every value is escaped by Jinja or is JSON that only our scripts read as text, control characters
are replaced, and a content security policy allows nothing but the page's own style sheets and
scripts, each by its hash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.environment import TemplateStream
from markupsafe import Markup

from c7n_secops_tools.membership.facts import SERVICES
from c7n_secops_tools.report import charts, tables
from c7n_secops_tools.report.charts import Chart, Style, content_security_policy, shown
from c7n_secops_tools.report.evidence import RANKED
from c7n_secops_tools.report.findings import MOST, Findings, gathered
from c7n_secops_tools.report.tables import Column, Table
from c7n_secops_tools.report.text import NOT_SAID, clean
from c7n_secops_tools.report.totals import COLUMN, ROWS, TOP, Line, Report, label, subject

OUTCOMES = ("failed", "changed", "not evaluated", "skipped")
"""The columns of results, in the order in which their rows stand."""
COLOURS = ("#c2255c", "#e8590c", "#f2a900", "#2f9e6e", "#5a86c5", "#868e96")
"""Of the severities in their order, for both schemes."""
SHOWN = 12
"""How many resources not evaluated stand in the open; the others unfold."""


class Change(NamedTuple):
    """What an action did to one resource."""

    line: Line
    action: str
    resource: str
    outcome: str
    column: str
    code: str
    reason: str
    command: str


@dataclass
class Unevaluated:
    """Resources of one run that were not evaluated for the same reason."""

    line: Line
    element: str
    code: str
    reason: str
    resources: list[str] = field(default_factory=list)


def write(report: Report, path: Path) -> None:
    """Write the page; a reader never sees half of it. Raises OSError where it cannot."""
    now = datetime.now(timezone.utc)
    styles = (tables.style(), style())
    scripts = (tables.bundle(), tables.sorting(), charts.bundle(), charts.drawing())
    with gathered(report.folders, now) as findings:
        stream = (
            environment(__package__)
            .get_template("page.html.j2")
            .stream(
                policy=content_security_policy([*styles, *scripts]),
                styles=styles,
                scripts=scripts,
                report=report,
                findings=findings,
                charts=_charts(findings) if findings.total else (),
                tables=_tables(findings),
                most=MOST,
                changes=_changes(report),
                changed=any(line.changed or line.skipped or line.failed for line in report.lines),
                unevaluated=_unevaluated(report),
                memberships=report.memberships.lines() if report.memberships.services else [],
                services={name: SERVICES[name] for name in report.memberships.services},
                times=sorted(line.run.started for line in report.lines if line.run.started),
                now=now,
                severities=RANKED,
                rows=ROWS,
                top=TOP,
                shown=SHOWN,
            )
        )
        save(stream, path)


def save(stream: TemplateStream, path: Path) -> None:
    """Write a rendered page as a whole or not at all. Raises OSError where it cannot."""
    stream.enable_buffering(64)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            stream.dump(file, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def style() -> Style:
    """The style sheet of our pages."""
    return Style((files(__package__) / "templates" / "page.css").read_text(encoding="utf-8"))


def _charts(findings: Findings) -> Iterator[tuple[str, Chart]]:
    """The title and the chart."""
    by_account, over_time = findings.by_account(), findings.over_time()
    layout = {
        "barmode": "stack",
        "margin": {"l": 10, "r": 10, "t": 10, "b": 30},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    }
    across = layout | {
        "yaxis": {"automargin": True, "type": "category"},
        "xaxis": {"automargin": True, "title": {"text": "active findings"}},
    }
    rows = len({account for account, _, _ in by_account})
    title = "Active findings by account and severity"
    yield title, Chart(_bars(by_account, "h"), across, title, height=200 + 26 * rows)
    along = layout | {
        "xaxis": {"automargin": True, "type": "date", "title": {"text": "first seen"}},
        "yaxis": {"automargin": True, "title": {"text": "findings"}},
    }
    title = "Findings by when they were first seen"
    yield title, Chart(_bars(over_time, "v"), along, title)


def _bars(rows: Sequence[tuple[str, str, int]], way: str) -> list[dict[str, Any]]:
    """A bar for each severity; ``rows`` are a place, a severity and a number."""
    bars = []
    for severity, colour in zip(RANKED, COLOURS, strict=True):
        places = [shown(place) for place, of, _ in rows if of == severity]
        numbers = [number for _, of, number in rows if of == severity]
        if places:
            bars.append(
                {
                    "type": "bar",
                    "name": severity.lower(),
                    "orientation": way,
                    "x": numbers if way == "h" else places,
                    "y": places if way == "h" else numbers,
                    "marker": {"color": colour},
                }
            )
    return bars


def _tables(findings: Findings) -> dict[str, Table]:
    """What the findings are, by the section that shows it."""
    age = Column("Days", "number")
    return {
        "attention": Table(
            "Instances that need attention now",
            (
                Column("Instance"),
                Column("Name"),
                Column("Account", "choice"),
                Column("Region", "choice"),
                Column("Owner", "choice"),
                Column("Findings", "number"),
                Column("EPSS", "number"),
                age,
                Column("Vulnerabilities", "long"),
            ),
            findings.attention(),
        ),
        "vulnerabilities": Table(
            "Vulnerabilities, the most frequent first",
            (
                Column("CVE"),
                Column("Severity", "severity"),
                Column("Findings", "number"),
                Column("Resources", "number"),
                Column("Accounts", "number"),
                Column("EPSS", "number"),
                Column("Exploit", "choice"),
                Column("Description", "long"),
                Column("Remediation", "long"),
            ),
            findings.vulnerabilities(),
        ),
        "accounts": Table(
            "Accounts, the most impacted first",
            (
                Column("Account"),
                Column("Findings", "number"),
                Column("Critical", "number"),
                Column("High", "number"),
                Column("Resources", "number"),
                Column("Days of the oldest", "number"),
            ),
            findings.accounts(),
        ),
        "listed": Table(
            "All findings, the gravest active ones first",
            (
                Column("Severity", "severity"),
                Column("Title", "long"),
                Column("Account", "choice"),
                Column("Region", "choice"),
                Column("Resource"),
                Column("Owner", "choice"),
                Column("Status", "choice"),
                age,
                Column("EPSS", "number"),
                Column("Exploit", "choice"),
                Column("Exposed", "choice"),
                Column("Packages", "long"),
                Column("Source", "choice"),
            ),
            findings.listed(),
        ),
    }


def environment(package: str) -> Environment:
    """How our pages are rendered, from the templates of a package."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters.update(account=label, time=_time, duration=_duration, size=_size)
    return made


def _shown(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _changes(report: Report) -> Iterator[Change]:
    """The results of every run, one run at a time, what failed first."""
    for line in report.lines:
        yield from sorted(
            (
                Change(
                    line=line,
                    action=action,
                    resource=subject(result),
                    outcome=str(result["outcome"]),
                    column=COLUMN.get(str(result["outcome"]), "failed"),
                    code=str(result.get("code") or ""),
                    reason=str(result.get("reason") or ""),
                    command=str(result.get("CommandId") or ""),
                )
                for action, results in line.run.results()
                for result in results or ()
            ),
            key=lambda change: (OUTCOMES.index(change.column), change.resource),
        )


def _unevaluated(report: Report) -> Iterator[Unevaluated]:
    for line in report.lines:
        groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for record in line.run.not_evaluated():
            element, code, reason = (str(record.get(k, "")) for k in ("element", "code", "reason"))
            groups[element, code, reason].append(subject(record))
        for (element, code, reason), resources in groups.items():
            yield Unevaluated(line, element, code, reason, list(dict.fromkeys(resources)))


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S") if moment else NOT_SAID


def _duration(seconds: float | None) -> str:
    return NOT_SAID if seconds is None else f"{seconds:.1f} s"


def _size(number: int | None) -> str:
    return NOT_SAID if number is None else f"{number:,}"
