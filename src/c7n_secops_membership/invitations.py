"""The administrator's side of GuardDuty's invitations: who needs which calls, and their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops.aws.planner import batches
from c7n_secops_membership import guardduty
from c7n_secops_membership.accounts import Row
from c7n_secops_membership.members import Member

REASONS = {
    "Enabled": "is a member",
    "Invited": "is invited and has to accept",
    "EmailVerificationInProgress": "is invited, and AWS is verifying its e-mail address",
    "EmailVerificationFailed": "has another e-mail address than {origin} says; correct it there",
    "Resigned": "left its administrator; list Resigned under reinvite to invite it again",
    "Removed": "was removed by its administrator; list Removed under reinvite to invite it again",
    "Disabled": "is a member whose monitoring the administrator has stopped",
}
"""Why nothing is done about a member of each status."""


UNPROCESSED = "Unprocessed"
"""The code of an account that AWS left out of a call, and said why."""


class Need(NamedTuple):
    """The calls that a member needs, in order, or why it needs none."""

    calls: tuple[str, ...]
    code: str
    reason: str = ""


def need_of(member: Member, row: Row | None, reinvite: Iterable[str]) -> Need:
    """What it takes that a member becomes invited; ``row`` is what ListMembers says of it."""
    if row is None:
        return Need(("create_members", "invite_members"), guardduty.ABSENT)
    status = row["RelationshipStatus"]
    if status == "Created" or status in reinvite:
        return Need(("invite_members",), status)
    if status == "EmailVerificationFailed" and is_corrected(member, row):
        return Need(("delete_members", "create_members", "invite_members"), status)
    if status not in guardduty.STATUSES:
        return Need((), guardduty.UNKNOWN, f"has the status {status[:100]}, which is not known")
    return Need((), status, REASONS[status].format(origin=member.origin))


def is_corrected(member: Member, row: Row) -> bool:
    """Whether the e-mail address that failed is not the one of today."""
    return bool(member.email.lower() != row.get("Email", "").lower())


Failed = dict[str, tuple[str, str]]
"""Accounts of which a call was not made: AWS's code and reason."""


def in_batches(call: Callable[[list[str]], Row], accounts: Sequence[str]) -> Failed:
    """Make a call for at most 50 accounts at a time; returns those for which it failed.

    One account can spoil a whole call: a batch that AWS rejects is halved until that one is alone.
    """
    failed: Failed = {}
    for batch in batches(accounts, guardduty.PAGE):
        failed.update(_call(call, batch))
    return failed


def _call(call: Callable[[list[str]], Row], batch: list[str]) -> Failed:
    try:
        answer = call(batch)
    except calls.FAILURES as error:
        code, reason = calls.failure(error)
        if code != "BadRequestException" or len(batch) == 1:
            return dict.fromkeys(batch, (code, reason))
        half = len(batch) // 2
        return {**_call(call, batch[:half]), **_call(call, batch[half:])}
    return {row["AccountId"]: (UNPROCESSED, row["Result"]) for row in answer["UnprocessedAccounts"]}


class Sender:
    """Makes the calls of :class:`Need` for a detector; without one, no member needs any.

    ``joined`` are the accounts that became members without an invitation: the accounts of an
    organization do, as soon as its delegated administrator creates them.
    """

    def __init__(self, client: Any, detector: str | None, members: dict[str, Member], options: Row):
        self.client, self.detector, self.members = client, detector, members
        self.message: str | None = options.get("message")
        self.email: bool = options.get("email-notification", False)
        self.joined: set[str] = set()

    def send(self, needs: dict[str, Need]) -> Failed:
        """Make all calls, one kind after the other; who failed in one is left out of the next."""
        failed: Failed = {}
        for name in ("delete_members", "create_members", "invite_members"):
            accounts = [
                account
                for account, need in needs.items()
                if name in need.calls and account not in failed
            ]
            new = in_batches(getattr(self, f"_{name}"), accounts)
            if name == "invite_members":
                self.joined = self._enabled([a for a, why in new.items() if why[0] == UNPROCESSED])
            failed.update({a: why for a, why in new.items() if a not in self.joined})
        return failed

    def _enabled(self, accounts: list[str]) -> set[str]:
        found: set[str] = set()

        def ask(batch: list[str]) -> Row:
            answer: Row = self.client.get_members(DetectorId=self.detector, AccountIds=batch)
            rows = answer["Members"]
            found.update(r["AccountId"] for r in rows if r["RelationshipStatus"] == "Enabled")
            return answer

        in_batches(ask, accounts)
        return found

    def _delete_members(self, accounts: list[str]) -> Row:
        answer: Row = self.client.delete_members(DetectorId=self.detector, AccountIds=accounts)
        return answer

    def _create_members(self, accounts: list[str]) -> Row:
        details = [{"AccountId": a, "Email": self.members[a].email} for a in accounts]
        answer: Row = self.client.create_members(DetectorId=self.detector, AccountDetails=details)
        return answer

    def _invite_members(self, accounts: list[str]) -> Row:
        said = {"Message": self.message} if self.message else {}
        answer: Row = self.client.invite_members(
            DetectorId=self.detector,
            AccountIds=accounts,
            DisableEmailNotification=not self.email,
            **said,
        )
        return answer
