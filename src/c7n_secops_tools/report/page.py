"""The report as one HTML file: nothing to load, safe with hostile text.

Every value is escaped by Jinja, control characters are replaced, and a content security policy
allows nothing but the page's own style sheet and, where there is a chart, its scripts, by their
hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.environment import TemplateStream
from markupsafe import Markup

from c7n_secops_tools.membership.facts import SERVICES
from c7n_secops_tools.report.charts import Style, content_security_policy, drawing, library
from c7n_secops_tools.report.evidence import RANKED
from c7n_secops_tools.report.text import NOT_SAID, clean
from c7n_secops_tools.report.totals import COLUMN, ROWS, TOP, Line, Report, label, subject

OUTCOMES = ("failed", "changed", "not evaluated", "skipped")
"""The columns of results, in the order in which their rows stand."""
BAR = 1000
"""Width of the severity bar, in its own units."""
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


class Segment(NamedTuple):
    """A part of the severity bar."""

    severity: str
    number: int
    x: float
    width: float


def write(report: Report, path: Path) -> None:
    """Write the page; a reader never sees half of it. Raises OSError where it cannot."""
    sheet = style()
    scripts = [library(), drawing()] if report.traffic else []
    stream = (
        environment(__package__)
        .get_template("page.html.j2")
        .stream(
            policy=content_security_policy([sheet, *scripts]),
            style=sheet,
            scripts=scripts,
            report=report,
            segments=_segments(report),
            changes=_changes(report),
            changed=any(line.changed or line.skipped or line.failed for line in report.lines),
            unevaluated=_unevaluated(report),
            memberships=report.memberships.lines() if report.memberships.services else [],
            services={name: SERVICES[name] for name in report.memberships.services},
            times=sorted(line.run.started for line in report.lines if line.run.started),
            now=datetime.now(timezone.utc),
            outcomes=OUTCOMES,
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


def _segments(report: Report) -> list[Segment]:
    total = report.severities.total()
    segments, x = [], 0.0
    for severity in RANKED:
        if number := report.severities[severity]:
            width = BAR * number / total
            segments.append(Segment(severity, number, round(x, 2), round(width, 2)))
            x += width
    return segments


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
