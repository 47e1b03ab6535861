"""A sweep: every policy in every account and region, and one outcome for each of them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from c7n_org.cli import comma_expand

from c7n_secops_tools.exit_codes import FAIL_ON, FAILED
from c7n_secops_tools.fleet import outcome, unit
from c7n_secops_tools.fleet.accounts import Account
from c7n_secops_tools.fleet.ledger import Ledger
from c7n_secops_tools.fleet.local import Answers, Died, Function, Item, Tick
from c7n_secops_tools.fleet.outcome import Outcome, Why
from c7n_secops_tools.fleet.policies import Data
from c7n_secops_tools.fleet.unit import ALL, Options, Work
from c7n_secops_tools.report.evidence import RANKED

FILE = "sweep.json"
DEFAULT_REGIONS = ("us-east-1", "us-west-2")
"""Where c7n-org runs for an account without regions."""
DELIVERIES = 3
"""How often work is handed out whose workers died before they began with a policy."""


class Executor(Protocol):
    """Where work is done."""

    def deliver(self, function: Function, pending: deque[Item], tick: Tick) -> Answers[Item]:
        """Yield each work with its answer, or Died; more may be added to ``pending`` meanwhile."""


class Progress(Protocol):
    """Who is told how far a sweep is."""

    def total(self, number: int) -> None:
        """There are so many units."""

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        """These units have their outcome."""

    def tick(self) -> None:
        """Time went by."""


@dataclass
class Sweep:
    """Policies over accounts; :meth:`run` fills ``outcomes``, one for each unit.

    With ``resume`` a unit that an earlier sweep finished with the same policy keeps its outcome.
    """

    accounts: Sequence[Account]
    policies: Sequence[Data]
    regions: Sequence[str]
    options: Options
    ledger: Ledger
    executor: Callable[[], Executor]
    progress: Progress
    resume: bool = False
    outcomes: list[Outcome] = field(default_factory=list)
    kept: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def run(self) -> None:
        """Run what is to be run; afterwards every unit has an outcome, come what may."""
        works = [
            Work(account, region, tuple(self.policies), self.options, self.ledger)
            for account in self.accounts
            for region in regions_of(account, self.regions)
        ]
        try:
            works = self._resolved(works)
            self._sweep(works)
        finally:
            self._settle(works)

    def _resolved(self, works: list[Work]) -> list[Work]:
        """The works, with the regions that the account has in the place of ``all``."""
        found, unknown = resolved(works, self.executor, self.progress.tick)
        for work, why in unknown:
            self.outcomes += [work.blank(data, outcome.FAILED, why) for data in work.policies]
        return found

    def _sweep(self, works: list[Work]) -> None:
        known = {found.unit for found in self.outcomes}
        self.progress.total(sum(len(work.policies) for work in works))
        self.progress.ended(self.outcomes)
        pending: deque[Work] = deque()
        for work in works:
            todo, done = [], []
            for data, name in zip(work.policies, work.units, strict=True):
                found = self._finished(work, data) if self.resume else None
                if found:
                    done.append(found)
                elif name not in known:
                    todo.append(data)
            self.kept += len(done)
            self._add(done)
            if todo:
                pending.append(replace(work, policies=tuple(todo)))
        if not pending:
            return
        for work, answer in self.executor().deliver(unit.run, pending, self.progress.tick):
            if isinstance(answer, Died):
                pending.extend(self._lost(work, answer))
            else:
                self._add(answer)

    def _finished(self, work: Work, data: Data) -> Outcome | None:
        blank = work.blank(data, outcome.RAN)
        found = self.ledger.outcome(blank.unit)
        return found if found and found.well and found.digest == blank.digest else None

    def _lost(self, work: Work, died: Died) -> Iterator[Work]:
        """Settle what a dead worker had: what it did not begin with is handed out again."""
        left = []
        for data, name in zip(work.policies, work.units, strict=True):
            if self.ledger.claimant(name) is None:
                left.append(data)
                continue
            lost = work.blank(data, outcome.LOST, Why(outcome.WORKER, "", died.reason))
            self._add([self.ledger.outcome(name) or lost])
        begun = len(left) < len(work.policies)
        deliveries = 0 if begun else work.deliveries + 1
        if left and deliveries < DELIVERIES:
            yield replace(work, policies=tuple(left), deliveries=deliveries)
        else:
            why = Why(outcome.WORKER, "", died.reason)
            self._add([work.blank(data, outcome.LOST, why) for data in left])

    def _add(self, found: Sequence[Outcome]) -> None:
        self.outcomes += found
        self.progress.ended(found)

    def _settle(self, works: list[Work]) -> None:
        """Give every unit without an outcome the one that the ledger knows of."""
        known = {found.unit for found in self.outcomes}
        for work in works:
            for data, name in zip(work.policies, work.units, strict=True):
                if name in known:
                    continue
                claimant = self.ledger.claimant(name)
                if claimant is None:
                    why = Why(outcome.NOT_STARTED, "", "the sweep was ended before it")
                    self.outcomes.append(work.blank(data, outcome.NOT_RUN, why))
                    continue
                why = Why(outcome.WORKER, "", f"{claimant} did not say how it ended")
                lost = work.blank(data, outcome.LOST, why)
                self.outcomes.append(self.ledger.outcome(name) or lost)
        self.outcomes.sort(key=lambda found: found.unit)

    @property
    def unwell(self) -> list[Outcome]:
        """The units that did not finish, or in which an action failed on a resource."""
        return [found for found in self.outcomes if not found.well]

    def exit_code(self, fail_on: str | None) -> int:
        """0 all well, 2 something failed, 3 something matched of this severity or a graver one."""
        if self.unwell:
            return FAILED
        grave = RANKED[: RANKED.index(fail_on.upper()) + 1] if fail_on else ()
        return FAIL_ON if any(found.severity in grave for found in self.outcomes) else 0

    def as_json(self) -> dict[str, Any]:
        """The sweep as ``sweep.json`` has it."""
        states = [found.state for found in self.outcomes]
        return {
            "started": self.started.isoformat(timespec="seconds"),
            "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "dryrun": self.options.dryrun,
            "kept": self.kept,
            "states": {state: states.count(state) for state in sorted(set(states))},
            "units": [found.as_json() for found in self.outcomes],
        }

    def write(self, folder: Path) -> Path:
        """Write ``sweep.json``."""
        path = folder / FILE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")
        return part.replace(path)


def regions_of(account: Account, regions: Sequence[str]) -> list[str]:
    """Where an account's policies run: these regions, or else those that it names."""
    named: list[str] = comma_expand(regions or account.get("regions") or DEFAULT_REGIONS)
    return named


def resolved(
    places: Sequence[Item], executor: Callable[[], Executor], tick: Tick
) -> tuple[list[Item], list[tuple[Item, Why]]]:
    """The places, with the regions that an account has in the place of ``all``.

    Those of accounts that do not say which they have stay as they are, and come with why as well.
    """
    asked = {place.account["name"]: place for place in places if place.region == ALL}
    if not asked:
        return list(places), []
    found: dict[str, list[Item]] = {}
    unknown = []
    for place, answer in executor().deliver(unit.regions, deque(asked.values()), tick):
        if isinstance(answer, list):
            found[place.account["name"]] = [replace(place, region=region) for region in answer]
            continue
        why = Why(outcome.WORKER, "", answer.reason) if isinstance(answer, Died) else answer
        found[place.account["name"]] = [place]
        unknown.append((place, why))
    places_of: dict[str, list[Item]] = {}
    for place in places:
        places_of.setdefault(place.account["name"], []).append(place)
    return [each for name, own in places_of.items() for each in found.get(name, own)], unknown
