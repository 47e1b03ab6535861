"""An action on one account as a list of calls: what a dry run shows is what a run makes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops_membership.accounts import AccountAction, Row

MADE = "made by the step before"
"""Stands in a step's arguments for the detector that the step before it creates."""


class Step(NamedTuple):
    """One changing call: the name of the client's method and its arguments."""

    call: str
    arguments: Row


class Intent(NamedTuple):
    """What an action will do, and what its result says when that is done.

    The outcome is ``changed``, or ``skipped`` without steps, unless ``outcome`` says otherwise.
    """

    steps: tuple[Step, ...]
    code: str
    reason: str = ""
    outcome: str = ""
    more: Row = {}


class StepsAction(AccountAction):
    """An action on the account itself: it reads, decides on calls of one service, makes them."""

    service = "guardduty"

    @abstractmethod
    def intend(self, client: Any) -> Intent:
        """Read what there is and decide. Raises botocore's errors and RefusedError."""

    def plan(self, resources: list[Row]) -> list[Row]:
        """What would be called; the reads are made."""
        try:
            intent = self.intend(calls.client(self, self.service))
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
            return [{"AccountId": self.account, "code": code, "reason": reason}]
        would = [{"call": step.call, **step.arguments} for step in intent.steps]
        row = {"AccountId": self.account, "code": intent.code, "reason": intent.reason}
        return [{**{key: value for key, value in row.items() if value}, "would": would}]

    def process(self, resources: list[Row]) -> Row:
        self.results = []
        client = calls.client(self, self.service)
        done: list[str] = []
        try:
            intent = self.intend(client)
            made = None
            for step in intent.steps:
                arguments = {k: made if v == MADE else v for k, v in step.arguments.items()}
                made = getattr(client, step.call)(**arguments).get("DetectorId", made)
                done.append(step.call)
        except calls.RefusedError as error:
            self.refused([self.account], error.code, str(error))
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
            self.result(self.account, "failed", code, reason, done=done or None)
        else:
            outcome = intent.outcome or ("changed" if intent.steps else "skipped")
            more = {"done": done or None, **intent.more}
            self.result(self.account, outcome, intent.code, intent.reason, **more)
        return self.answer()
