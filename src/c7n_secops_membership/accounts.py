"""What the actions on accounts share: who runs them, and one result an account."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from c7n.actions import Action
from c7n.exceptions import PolicyExecutionError

from c7n_secops.aws.calls import FAILURES, failure
from c7n_secops.element import SecOpsElement

Row = dict[str, Any]

ACCOUNT_ID = re.compile(r"[0-9]{12}")
UNEXPANDED = re.compile(r"\{[a-z_]{1,64}\}")

ACCOUNT: dict[str, Any] = {
    "type": "string",
    "pattern": r"^([0-9]{12}|\{[a-z_]{1,64}\})$",
}
"""The schema of an account id, or of the variable that holds it."""


class AccountElement(SecOpsElement):
    """An element on ``aws.account``: one account in one region, which is where the policy runs."""

    documented: ClassVar[Mapping[str, str]] = {}
    """What stands for ``{name}`` in the docstring."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, text in cls.documented.items():
            cls.__doc__ = (cls.__doc__ or "").replace(f"{{{name}}}", text)

    @property
    def account(self) -> str:
        """The account in which the policy runs."""
        return str(self.manager.config.account_id)

    @property
    def region(self) -> str:
        """The region in which the policy runs."""
        return str(self.manager.config.region)

    def value(self, key: str) -> str:
        """A text of the policy; a variable in it that nothing expanded ends the run."""
        text = str(self.data[key])
        if UNEXPANDED.search(text):
            raise PolicyExecutionError(
                f"policy:{self.manager.data['name']} {self.label} {key} is {text}, which nothing "
                "expanded; set it under vars in accounts.yml"
            )
        return text


class AccountAction(AccountElement, Action):
    """An action whose results are of accounts: ``AccountId``, ``outcome``, ``code``, ``reason``.

    Returns ``{"results": [...], "counts": {outcome: number}}``.
    """

    def __init__(self, data: Any = None, manager: Any = None, log_dir: Any = None):
        super().__init__(data, manager, log_dir)
        self.results: list[Row] = []

    def result(
        self, account: str, outcome: str, code: str = "", reason: str = "", **more: Any
    ) -> None:
        """Record what became of an account; ``more`` are members that only some actions have."""
        row = {"AccountId": account, "outcome": outcome, "code": code, "reason": reason, **more}
        self.results.append({key: value for key, value in row.items() if value not in ("", None)})

    def refused(self, accounts: Iterable[str], code: str, reason: str) -> None:
        """Record accounts of which a refused read leaves nothing to say."""
        named = list(accounts)
        self.not_evaluated([{"account_id": account} for account in named], code, reason)
        for account in named:
            self.result(account, "not-evaluated", code, reason)

    def attempt(self, account: str, code: str, reason: str, call: Callable[[], Any]) -> None:
        """Make one change, and record the account as changed, or as failed with AWS's words."""
        try:
            call()
        except FAILURES as error:
            self.result(account, "failed", *failure(error))
        else:
            self.result(account, "changed", code, reason)

    def answer(self) -> Row:
        """What the action returns, in the order of the results."""
        counts = dict(Counter(row["outcome"] for row in self.results))
        summary = " ".join(f"{outcome}:{number}" for outcome, number in sorted(counts.items()))
        self.log.info("policy:%s %s %s", self.manager.data["name"], self.label, summary)
        return {"results": self.results, "counts": counts}
