"""Amazon Inspector across accounts: what is switched on where, and who is a member.

Source of limits and enumerations: the inspector2 service model of botocore 1.43.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from c7n_secops.aws.calls import FAILURES, RefusedError, client, failure, pages, read
from c7n_secops.aws.planner import batches
from c7n_secops_membership.accounts import AccountAction, Row
from c7n_secops_membership.members import MembersElement

SCANS = {"EC2": "ec2", "ECR": "ecr", "LAMBDA": "lambda", "LAMBDA_CODE": "lambdaCode"}
"""What Inspector scans, with its name in an account's status."""

SCAN_LIST: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"enum": list(SCANS)},
}
DEFAULT_SCANS = ("EC2", "ECR", "LAMBDA")

STATUSES = (
    "CREATED",
    "INVITED",
    "DISABLED",
    "ENABLED",
    "REMOVED",
    "RESIGNED",
    "DELETED",
    "EMAIL_VERIFICATION_IN_PROGRESS",
    "EMAIL_VERIFICATION_FAILED",
    "REGION_DISABLED",
    "ACCOUNT_SUSPENDED",
    "CANNOT_CREATE_DETECTOR_IN_ORG_MASTER",
)
"""How a member stands to its delegated administrator."""

ABSENT = "absent"
"""Our word for an account that should be a member and is in no list."""

ACCOUNTS_A_CALL = 100
MEMBERS_PAGE = 50
MOST_MEMBERS = 10000
"""The most members that a delegated administrator can have."""


class States(NamedTuple):
    """The answer of BatchGetAccountStatus: scan -> status by account, code and text by account."""

    scans: dict[str, dict[str, str]]
    failed: dict[str, tuple[str, str]]


def states(inspector: Any, accounts: Sequence[str]) -> States:
    """What is switched on in the accounts, at 100 a call. Raises RefusedError."""
    answer = States({}, {})
    for batch in batches(accounts, ACCOUNTS_A_CALL):
        page = read(inspector.batch_get_account_status, accountIds=batch)
        for row in page["accounts"]:
            known = row["resourceState"]
            answer.scans[row["accountId"]] = {
                scan: known.get(key, {}).get("status", "DISABLED") for scan, key in SCANS.items()
            }
        answer.failed.update(failed_accounts(page))
    return answer


def failed_accounts(page: Row) -> dict[str, tuple[str, str]]:
    """The accounts that a call did not do, with AWS's code and text."""
    return {
        row["accountId"]: (row["errorCode"], row["errorMessage"])
        for row in page.get("failedAccounts", ())
    }


def members_of(inspector: Any) -> dict[str, Row]:
    """Every account that Inspector lists for its delegated administrator. Raises RefusedError.

    ``onlyAssociated`` is false: members that left or were removed are hidden otherwise.
    """
    listed = pages(inspector, "list_members", "members", MEMBERS_PAGE, onlyAssociated=False)
    return {row["accountId"]: row for page in listed for row in page}


def token(*parts: str) -> str:
    """A client token, of 64 characters: the same for the same parts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class InspectorAction(MembersElement, AccountAction):
    """An action of Inspector on one or many accounts, which reads before it changes."""

    most = MOST_MEMBERS
    verb: str
    """What :meth:`plan` calls what would be done."""

    @abstractmethod
    def todo(self, inspector: Any) -> dict[str, Any]:
        """What to do, by account; accounts left alone get their result. Raises RefusedError."""

    @abstractmethod
    def change(self, inspector: Any, todo: dict[str, Any]) -> None:
        """Do it, and give each account its result."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether the policy runs in another account than the administrator's."""
        if "administrator" not in self.data or self.account == self.value("administrator"):
            return False
        self.result(
            self.account,
            "skipped",
            "NotAdministrator",
            f"{self.administrator} is the administrator; its members are its to change",
        )
        return True

    def plan(self, resources: list[Row]) -> list[Row]:
        """What would be done, with the statuses as they are now."""
        _, todo = self._read()
        return [
            *({"AccountId": account, self.verb: what} for account, what in todo.items()),
            *(
                {"AccountId": row["AccountId"], "skipped": row.get("reason", row["outcome"])}
                for row in self.results
            ),
        ]

    def process(self, resources: list[Row]) -> Row:
        inspector, todo = self._read()
        if todo:
            self.change(inspector, todo)
        return self.answer()

    def _read(self) -> tuple[Any, dict[str, Any]]:
        self.results = []
        inspector = client(self, "inspector2")
        try:
            return inspector, {} if self.is_elsewhere else self.todo(inspector)
        except RefusedError as refused:
            self.refused([self.account], refused.code, str(refused))
        except FAILURES as error:
            self.result(self.account, "failed", *failure(error))
        return inspector, {}


class EnableAction(InspectorAction):
    """Switches scans on where they are off."""

    verb = "enable"

    @property
    def administrator(self) -> str:
        return str(self.data.get("administrator", self.account))

    @property
    def scans(self) -> list[str]:
        """The scans to switch on, in AWS's order."""
        wanted = self.data.get("scan", DEFAULT_SCANS)
        return [scan for scan in SCANS if scan in wanted]

    def todo(self, inspector: Any) -> dict[str, Any]:
        accounts = [*self.members()] if "members" in self.data else [self.account]
        answer = states(inspector, accounts)
        missing = {}
        for account in accounts:
            known = answer.scans.get(account)
            if known is None:
                no_answer = ("NotAnswered", "Inspector says nothing of the account")
                self.result(account, "failed", *answer.failed.get(account, no_answer))
                continue
            off = [scan for scan in self.scans if known[scan] == "DISABLED"]
            odd = {
                scan: known[scan]
                for scan in self.scans
                if known[scan] not in ("ENABLED", "ENABLING", "DISABLED")
            }
            if odd:
                said = ", ".join(f"{scan} is {status}" for scan, status in odd.items())
                self.result(account, "skipped", next(iter(odd.values())), said)
            elif off:
                missing[account] = off
            else:
                self.result(account, "skipped", "AlreadyEnabled", "every scan is on")
        return missing

    def change(self, inspector: Any, todo: dict[str, Any]) -> None:
        by_scans: dict[tuple[str, ...], list[str]] = {}
        for account, scans in todo.items():
            by_scans.setdefault(tuple(scans), []).append(account)
        for scans, accounts in by_scans.items():
            for batch in batches(accounts, ACCOUNTS_A_CALL):
                self._enable(inspector, scans, batch)

    def _enable(self, inspector: Any, scans: tuple[str, ...], accounts: list[str]) -> None:
        run = self.manager.ctx.execution_id
        try:
            answer = inspector.enable(
                accountIds=accounts,
                resourceTypes=list(scans),
                clientToken=token(run, self.region, *scans, *accounts),
            )
        except FAILURES as error:
            for account in accounts:
                self.result(account, "failed", *failure(error))
            return
        done = {row["accountId"]: row["status"] for row in answer["accounts"]}
        failed = failed_accounts(answer)
        for account in accounts:
            if account in done:
                self.result(account, "changed", "Enabled", done[account], scans=list(scans))
            else:
                self._not_enabled(account, *failed.get(account, ("NotAnswered", "no answer")))

    def _not_enabled(self, account: str, code: str, reason: str) -> None:
        settled = code in ("ALREADY_ENABLED", "ENABLE_IN_PROGRESS")
        self.result(account, "skipped" if settled else "failed", code, reason)


class AssociateAction(InspectorAction):
    """Makes accounts members of the delegated administrator."""

    verb = "associate"
    pending = ("INVITED", "EMAIL_VERIFICATION_IN_PROGRESS")
    fresh = (ABSENT, "CREATED")
    """Accounts that never were a member: Inspector lists those of the organization as CREATED."""

    def todo(self, inspector: Any) -> dict[str, Any]:
        wanted = self.members()
        known = members_of(inspector)
        again = {*self.fresh, *self.data.get("reassociate", ())}
        todo = {}
        for account in wanted:
            status = known.get(account, {}).get("relationshipStatus", ABSENT)
            if status in again:
                todo[account] = status
            elif status == "ENABLED":
                self.result(account, "skipped", "AlreadyAssociated", "it is a member")
            elif status in self.pending:
                self.result(account, "skipped", status, "Inspector is not done with it yet")
            else:
                self.result(account, "skipped", status, "left as it is; see reassociate")
        return todo

    def change(self, inspector: Any, todo: dict[str, Any]) -> None:
        for account, status in todo.items():
            call = partial(inspector.associate_member, accountId=account)
            self.attempt(account, "Associated", f"it was {status}", call)
