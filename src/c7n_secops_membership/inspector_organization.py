"""Amazon Inspector in an organization: its delegated administrator, and what new accounts get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from c7n_secops.aws.calls import RefusedError, client, pages, read
from c7n_secops_membership.accounts import AccountAction, Row
from c7n_secops_membership.inspector import DEFAULT_SCANS, SCANS, token

ADMINISTRATORS_PAGE = 5


class Change(NamedTuple):
    """One change to make: its code and reason in the results, and the call that makes it."""

    code: str
    reason: str
    call: Callable[[], Any]


class OrganizationAction(AccountAction):
    """Acts in the management account and in the delegated administrator's."""

    @property
    def auto_enable(self) -> tuple[str, ...]:
        """The scans that accounts get as they join."""
        return tuple(self.data.get("auto-enable", DEFAULT_SCANS))

    def plan(self, resources: list[Row]) -> list[Row]:
        """What would be changed, with what stands now."""
        changes = self._changes()
        return [
            *({"AccountId": self.account, "change": change.reason} for change in changes),
            *(
                {"AccountId": self.account, "skipped": row.get("reason", row["outcome"])}
                for row in self.results
            ),
        ]

    def process(self, resources: list[Row]) -> Row:
        for change in self._changes():
            self.attempt(self.account, change.code, change.reason, change.call)
        return self.answer()

    def _changes(self) -> list[Change]:
        self.results = []
        management, administrator = self.value("management"), self.value("administrator")
        inspector = client(self, "inspector2")
        found: list[Change | None] = []
        try:
            if self.account == management:
                found.append(self._delegation(inspector, administrator))
            if self.account == administrator:
                found.append(self._configuration(inspector))
        except RefusedError as refused:
            self.refused([self.account], refused.code, str(refused))
            return []
        if self.account not in (management, administrator):
            reason = "it is neither the management account nor the administrator"
            self.result(self.account, "skipped", "NotConcerned", reason)
        return [change for change in found if change]

    def _delegation(self, inspector: Any, administrator: str) -> Change | None:
        listed = pages(
            inspector,
            "list_delegated_admin_accounts",
            "delegatedAdminAccounts",
            ADMINISTRATORS_PAGE,
        )
        known = {row["accountId"]: row["status"] for page in listed for row in page}
        if known.get(administrator) == "ENABLED":
            self.result(self.account, "skipped", "AlreadyDelegated", f"to {administrator}")
            return None
        if known:
            others = ", ".join(f"{account} is {status}" for account, status in known.items())
            reason = f"{others} as delegated administrator; disable it there first"
            self.result(self.account, "failed", "OtherAdministrator", reason)
            return None
        run = self.manager.ctx.execution_id
        return Change(
            "Delegated",
            f"{administrator} as delegated administrator",
            lambda: inspector.enable_delegated_admin_account(
                delegatedAdminAccountId=administrator,
                clientToken=token(run, self.region, administrator),
            ),
        )

    def _configuration(self, inspector: Any) -> Change | None:
        now = read(inspector.describe_organization_configuration)["autoEnable"]
        wanted = {key: scan in self.auto_enable for scan, key in SCANS.items()}
        if all(now.get(key, False) is on for key, on in wanted.items()):
            self.result(self.account, "skipped", "AlreadyConfigured", "new accounts get these")
            return None
        named = ", ".join(self.auto_enable)
        return Change(
            "Configured",
            f"accounts that join get {named}",
            lambda: inspector.update_organization_configuration(autoEnable={**now, **wanted}),
        )
