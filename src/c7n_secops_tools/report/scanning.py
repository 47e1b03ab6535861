"""The report as SARIF: a result a matched resource, a notification where nothing can be said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from c7n_secops_tools import sarif
from c7n_secops_tools.authoring.places import Place, policies_in
from c7n_secops_tools.coverage.controls import files_of
from c7n_secops_tools.report import evidence
from c7n_secops_tools.report.totals import Line, Report, label, subject
from c7n_secops_tools.report.tree import Row, Run

UNRATED = "warning"
"""The level of a policy that does not say how bad a match is."""

Written = Mapping[str, tuple[Path, Place]]


def written_in(paths: Iterable[Path]) -> Written:
    """Where each policy stands in these files and folders; a file that is no YAML is left out."""
    return {
        name: (file, place) for file in files_of(paths) for name, place in policies_in(file).items()
    }


def as_sarif(report: Report, written: Written) -> sarif.Object:
    """``written`` says where policies stand: code scanning shows results only at a file's line."""
    rules = {line.run.policy: _rule(line.run) for line in report.lines}
    return sarif.log(
        "report",
        rules=list(rules.values()),
        results=[
            found
            for line in report.lines
            for found in _results(line.run, rules[line.run.policy], written)
        ],
        notifications=[
            *(each for line in report.lines for each in _unsaid(line, written)),
            *(
                sarif.notification("", "Unreadable", "error", str(problem))
                for problem in report.problems
            ),
        ],
        successful=not report.failures and not report.problems,
    )


def _rule(run: Run) -> sarif.Rule:
    policy = run.metadata.get("policy")
    told = policy if isinstance(policy, dict) else {}
    metadata = told.get("metadata")
    facts = metadata if isinstance(metadata, dict) else {}
    severity = _text(facts.get("severity")).lower()
    return sarif.Rule(
        id=run.policy,
        summary=_text(told.get("description")),
        level=sarif.LEVEL.get(severity, UNRATED),
        help=_text(facts.get("remediation")),
        severity=severity,
    )


def _results(run: Run, rule: sarif.Rule, written: Written) -> Iterator[sarif.Object]:
    for row in run.resources() or ():
        identity, name = evidence.identity(row, run.resource), evidence.name(row)
        named = f"{identity} ({name})" if name else identity
        facts = evidence.other(row)
        yield sarif.result(
            run.policy,
            rule.level,
            f"{named} in {_place(run)} matches {run.policy}" + (f": {facts}" if facts else ""),
            _location(run, identity, written),
            fingerprint=_fingerprint(run, identity),
        )


def _unsaid(line: Line, written: Written) -> Iterator[sarif.Object]:
    run = line.run
    if run.error:
        text = f"{run.policy} failed in {_place(run)}: {run.error}"
        yield sarif.notification(run.policy, "PolicyFailed", "error", text)
    for record in run.not_evaluated():
        yield _not_evaluated(run, record, written)
    for _, results in run.results():
        for result in results or ():
            if result["outcome"] == "not-evaluated":
                yield _not_evaluated(run, result, written)


def _not_evaluated(run: Run, record: Row, written: Written) -> sarif.Object:
    identity, reason = subject(record), _text(record.get("reason")) or "no reason given"
    return sarif.notification(
        run.policy,
        _text(record.get("code")) or "NotEvaluated",
        "warning",
        f"{identity} in {_place(run)} was not evaluated by {run.policy}: {reason}",
        _location(run, identity, written),
    )


def _location(run: Run, identity: str, written: Written) -> sarif.Object:
    found = sarif.location(*written[run.policy]) if run.policy in written else {}
    name = "/".join((run.account, run.region, identity))
    return {**found, "logicalLocations": [sarif.logical(identity, name)]}


def _place(run: Run) -> str:
    return " ".join(filter(None, (label(run), run.region)))


def _fingerprint(run: Run, identity: str) -> str:
    """The same in every run for one resource of one policy, and for no other."""
    key = json.dumps([run.policy, run.account, run.region, identity])
    return hashlib.sha256(key.encode()).hexdigest()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
