"""Compares what a run did with what its case expects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from c7n_secops_tools.cases.answers import fits, paired, part_of, plain
from c7n_secops_tools.cases.policies import InvalidPolicyError
from c7n_secops_tools.cases.reading import Case
from c7n_secops_tools.cases.running import Outcome, run

Data = dict[str, Any]
LONGEST = 500


class Result(NamedTuple):
    """A case's result: it passed where nothing is wrong."""

    case: Case
    wrong: list[str]
    seconds: float = 0.0


def wrongs(policy: Data, case: Case) -> list[str]:
    """Run a policy on a case; what is not as the case expects, a line each."""
    try:
        outcome = run(policy, case)
    except InvalidPolicyError as error:
        return [f"the policy is not valid: {error}"]
    return list(compare(case.expect, outcome))


def compare(expect: Data, outcome: Outcome) -> Iterator[str]:
    """What is not as expected."""
    yield from dict.fromkeys(outcome.unanswered)
    yield from _error(expect.get("error"), outcome)
    if outcome.delivered != expect.get("delivered", True):
        yield (
            "the rule's pattern matches the event, and the case expects that it does not"
            if outcome.delivered
            else "the rule's pattern does not match the event: EventBridge would not deliver it"
        )
    yield from _ids("matched", expect.get("matched", []), outcome.matched)
    records = sorted({record["resource"] for record in outcome.not_evaluated})
    yield from _ids("not evaluated", expect.get("not-evaluated", []), records)
    yield from _annotations(expect.get("annotations", {}), outcome.resources)
    yield from _calls(expect.get("calls", []), outcome)


def _error(wanted: str | None, outcome: Outcome) -> Iterator[str]:
    if wanted is None and outcome.error and not outcome.unanswered:
        yield f"the policy failed: {outcome.error}"
    elif wanted is not None and wanted not in outcome.error:
        yield f"it had to fail with {wanted!r}; {outcome.error or 'it did not fail'}"


def _ids(what: str, wanted: list[str], found: list[str]) -> Iterator[str]:
    lacking = sorted(set(wanted) - set(found))
    extra = sorted(set(found) - set(wanted))
    if lacking:
        yield f"{what}: {', '.join(lacking)} was expected"
    if extra:
        yield f"{what}: {', '.join(extra)} was not expected"


def _annotations(wanted: Data, resources: Data) -> Iterator[str]:
    for name, carried in wanted.items():
        resource = resources.get(name, {})
        for key, value in carried.items():
            if key not in resource:
                yield f"{name} carries no {key}"
            elif not part_of(value, resource[key]):
                yield f"{name} carries {key} {_short(resource[key])}, not {_short(value)}"


def _calls(wanted: list[Data], outcome: Outcome) -> Iterator[str]:
    wanted = [call for each in wanted for call in [each] * each.get("times", 1)]
    pairs = paired(wanted, outcome.calls, fits)
    lacking = Counter(
        f"the call {call['call']} {_short(call.get('params', {}))} was expected"
        for number, call in enumerate(wanted)
        if number not in pairs
    )
    yield from (f"{text} ({times} times more)" for text, times in lacking.items())
    for number, made in enumerate(outcome.calls):
        if number not in pairs.values():
            yield f"the call {made} was not expected"


def _short(value: Any) -> str:
    text = str(plain(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
