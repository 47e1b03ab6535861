"""An administrator of GuardDuty and accounts that are to be its members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from c7n_secops_tools.testing.runs import Run
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian

ADMIN = ACCOUNT
ANNA, BERT, CARA, DORA = "222222222222", "333333333333", "444444444444", "555555555555"
STRANGER = "999999999999"
VARIABLES = {
    "security_account": ADMIN,
    "management_account": STRANGER,
    "security_bus": f"arn:aws:events:{REGION}:{ADMIN}:event-bus/security",
    "alert_topic": f"arn:aws:sns:{REGION}:{ADMIN}:c7n-secops-alerts",
    "security_contact": "security@example.com",
    "guardduty_bucket": "arn:aws:s3:::acme-findings/guardduty",
    "guardduty_key": "arn:aws:kms:us-east-1:111111111111:key/0f6b5c1e-0000-4000-8000-000000000000",
}
CHANGING = ("Accept", "Create", "Delete", "Disassociate", "Enable", "Invite", "Stop", "Update")


def email(account: str) -> str:
    return f"aws+{account}@example.com"


def accounts_file(*accounts: str, path: Path | None = None, **changes: Any) -> Path:
    """Write accounts.yml with the administrator and these workload accounts."""
    entries = [
        {
            "account_id": account,
            "name": f"account-{account[0]}",
            "email": email(account),
            "role": f"arn:aws:iam::{account}:role/CloudCustodian",
            "tags": ["type:security" if account == ADMIN else "type:workload"],
            **changes.get(f"a{account}", {}),
        }
        for account in (ADMIN, *accounts)
    ]
    path = path or Path("accounts.yml")
    path.write_text(yaml.safe_dump({"vars": VARIABLES, "accounts": entries}))
    return path


class Fleet:
    """Runs the shipped policies in accounts of the emulator."""

    def __init__(self, emulator: Emulator, custodian: Custodian):
        self.emulator, self.custodian = emulator, custodian

    def run(self, policy: Any, account: str = ADMIN, **options: Any) -> Run:
        return self.custodian(policy, account=account, vars=VARIABLES, **options)

    def client(self, account: str, region: str = REGION) -> Any:
        return self.emulator.client("guardduty", account, region)

    def detector(self, account: str) -> str:
        """The account's detector, made if there is none."""
        client = self.client(account)
        found = client.list_detectors()["DetectorIds"]
        return str(found[0] if found else client.create_detector(Enable=True)["DetectorId"])

    def invited(self, *accounts: str, by: str = ADMIN) -> None:
        detector, client = self.detector(by), self.client(by)
        details = [{"AccountId": account, "Email": email(account)} for account in accounts]
        client.create_members(DetectorId=detector, AccountDetails=details)
        client.invite_members(DetectorId=detector, AccountIds=list(accounts))

    def joined(self, *accounts: str, by: str = ADMIN) -> None:
        self.invited(*accounts, by=by)
        for account in accounts:
            client = self.client(account)
            rows = client.list_invitations()["Invitations"]
            (invitation,) = (row for row in rows if row["AccountId"] == by)
            client.accept_administrator_invitation(
                DetectorId=self.detector(account),
                AdministratorId=by,
                InvitationId=invitation["InvitationId"],
            )

    def resigned(self, account: str) -> None:
        detector = self.detector(account)
        self.client(account).disassociate_from_administrator_account(DetectorId=detector)

    def seeded(self, account: str, **row: Any) -> None:
        """Make the administrator list a member that no call of ours brings about."""
        moment = "2026-01-31T12:00:00.000Z"
        row = {
            "AccountId": account,
            "Email": email(account),
            "MasterId": ADMIN,
            "UpdatedAt": moment,
            "InvitedAt": moment,
            **row,
        }
        self.detector(ADMIN)
        self.emulator.seed("guardduty", ADMIN, REGION, "members", {account: row})

    def statuses(self) -> dict[str, str]:
        """The status of each member, as the administrator sees it."""
        pages = self.client(ADMIN).get_paginator("list_members")
        answers = pages.paginate(DetectorId=self.detector(ADMIN), OnlyAssociated="false")
        return {
            row["AccountId"]: row["RelationshipStatus"]
            for answer in answers
            for row in answer["Members"]
        }

    def organization(self, *accounts: str, suspended: str = "") -> None:
        """An organization that STRANGER manages, with ADMIN and these accounts."""
        members = [
            {
                "id": account,
                "name": f"account-{account[0]}",
                "email": email(account),
                "status": "SUSPENDED" if account == suspended else "ACTIVE",
            }
            for account in (STRANGER, ADMIN, *accounts)
        ]
        self.emulator.form_organization(STRANGER, members)

    def delegated(self) -> None:
        """ADMIN is the organization's delegated administrator."""
        self.client(STRANGER).enable_organization_admin_account(AdminAccountId=ADMIN)

    def changes(self) -> list[str]:
        """The changing calls since the log was last cleared."""
        return [
            call.operation
            for call in self.emulator.calls("guardduty")
            if call.operation.startswith(CHANGING)
        ]


@pytest.fixture
def fleet(
    emulator: Emulator, custodian: Custodian, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Fleet:
    monkeypatch.chdir(tmp_path)
    return Fleet(emulator, custodian)


def outcomes(run: Run, action: str) -> dict[str, tuple[str, str]]:
    """What became of each account, with the code."""
    results = run.action(action)["results"]
    return {row["AccountId"]: (row["outcome"], row.get("code", "")) for row in results}


def plan(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((run.output / "plan.json").read_text())
    return rows


def rows(run: Run) -> dict[str, str]:
    """The status of each account that guardduty-member annotated."""
    return {
        row["AccountId"]: row["Status"]
        for resource in run.resources
        for row in resource["c7n:GuardDutyMembers"]
    }
