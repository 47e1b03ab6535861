"""What a report of ten thousand findings takes to load in Chromium, beside one of a hundred."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.result import Result, report
from c7n_secops_findings.store import FOLDER, Store
from c7n_secops_tools.report import page
from c7n_secops_tools.report.totals import Report
from tests.browser import chromium, opened
from tests.finding_fleet import findings

FINDINGS, FEW = 10_000, 100
RUNS = 5
GOAL = 2.0
"""Seconds until tables and charts are drawn."""


def made(folder: Path, number: int) -> Path:
    """The page of so many findings."""
    Store(folder / FOLDER).write(list(findings(number)))
    path = folder / "report.html"
    page.write(Report([folder]), path)
    return path


def main() -> Result:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        pages = {number: made(Path(folder) / str(number), number) for number in (FINDINGS, FEW)}
        times: dict[int, list[tuple[float, ...]]] = {number: [] for number in pages}
        for _ in range(RUNS):
            for number, path in pages.items():
                with opened(browser, path) as found:
                    times[number].append(
                        (
                            found.load_seconds,
                            found.wait_until("tables"),
                            found.wait_until("tables", "charts"),
                        )
                    )
        sizes = {number: path.stat().st_size for number, path in pages.items()}
    (*_, whole), (*_, few) = found_medians = [
        [median(column) for column in zip(*times[number], strict=True)] for number in pages
    ]
    rows = [
        (f"{number:,} findings", f"{sizes[number] / 1e6:.1f}", *(f"{each:.2f}" for each in medians))
        for number, medians in zip(pages, found_medians, strict=True)
    ]
    return report(
        Result("report-load", round(whole, 3), round(few, 3), None, round(whole / GOAL, 3), 1.0),
        f"seconds from opening the page, medians of {RUNS}; goal: {GOAL:.0f} s until all is drawn",
        ("", "MB", "load event", "tables", "tables and charts"),
        rows,
    )


if __name__ == "__main__":
    main()
