"""The commands of the runbook: thirteen accounts and three regions, with stock c7n-org."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator
from tests.emulator.organisation import create_role, trust
from tests.harness import ACCOUNT, POLICIES, ROOT, Cli

REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2"]
MANAGEMENT, OTHER = "999999999999", "888888888888"
MEMBERS = [f"2000000000{number:02d}" for number in range(1, 13)]
FRESH, BY_CSV = MEMBERS[:8], MEMBERS[6:10]
WRONG_EMAIL, STRANGER, RESIGNED, REMOVED = MEMBERS[8:]
SOURCE = 'members: &members {accounts-file: accounts.yml, tags: ["type:workload"]}'
CHANGING = re.compile(
    r"(Accept|Associate|Create|Delete|Disable|Disassociate|Enable|Invite|Put|Remove|Start|Stop|Tag|"
    r"Update)[A-Z]?\w*"
)


def email(account: str) -> str:
    return f"aws+{account}@example.com"


@pytest.fixture
def folder(emulator: Emulator, tmp_path: Path) -> Path:
    """The operator's folder: accounts.yml, members.csv and the shipped policies."""
    shipped = yaml.safe_load((ROOT / "accounts.yml").read_text())
    tags = dict.fromkeys(MEMBERS, "type:workload")
    tags.update(dict.fromkeys(BY_CSV, "type:acquired"))
    tags.update({MANAGEMENT: "type:management", ACCOUNT: "type:security"})
    accounts = []
    for account, tag in tags.items():
        role = create_role(emulator, account, "CloudCustodian", trust(AWS=f"{ACCOUNT}"))
        accounts.append(
            {
                "account_id": account,
                "name": f"{tag.removeprefix('type:')}-{account[-2:]}",
                "email": email(account),
                "role": role,
                "regions": REGIONS,
                "tags": [tag],
            }
        )
    data = {"vars": shipped["vars"], "accounts": accounts}
    (tmp_path / "accounts.yml").write_text(yaml.safe_dump(data))
    rows = "".join(f"{account},{email(account)}\n" for account in BY_CSV)
    (tmp_path / "members.csv").write_text(f"account_id,email\n{rows}")
    shutil.copytree(POLICIES, tmp_path / "policies")
    return tmp_path


def commands(title: str) -> list[list[str]]:
    """The command lines under a heading of the runbook."""
    page = (ROOT / "docs" / "runbook-membership.md").read_text()
    section = page.partition(f"## {title}\n")[2]
    block = re.search(r"```shell\n(.*?)```", section, re.DOTALL)
    assert block, title
    return [line.split() for line in block[1].splitlines() if not line.startswith("#")]


def run(cli: Cli, folder: Path, title: str) -> None:
    for command in commands(title):
        done = cli(*command, HOME=str(folder))
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-4000:])


def table(cli: Cli) -> dict[tuple[str, str], dict[str, str]]:
    done = cli("c7n-secops", "membership", "output", "--accounts", "accounts.yml", "--format=csv")
    assert done.returncode == 0, done.stderr
    rows = csv.DictReader(io.StringIO(done.stdout))
    return {(row["account_id"], row["region"]): row for row in rows}


def column(rows: dict[tuple[str, str], dict[str, str]], name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for (account, _), row in rows.items():
        found.setdefault(account, set()).add(row[name])
    return found


def changes(emulator: Emulator) -> list[tuple[str, str, str, str]]:
    return [
        (call.service, call.operation, call.account, call.region)
        for call in emulator.calls()
        if call.service != "sts" and CHANGING.fullmatch(call.operation)
    ]


# --- by invitation -------------------------------------------------------------------------------


class GuardDuty:
    """GuardDuty as one region's administrator and members use it by hand."""

    def __init__(self, emulator: Emulator, region: str):
        self.emulator, self.region = emulator, region

    def client(self, account: str) -> Any:
        return self.emulator.client("guardduty", account, self.region)

    def detector(self, account: str) -> str:
        client = self.client(account)
        found = client.list_detectors()["DetectorIds"]
        return str(found[0] if found else client.create_detector(Enable=True)["DetectorId"])

    def join(self, administrator: str, *accounts: str) -> None:
        detector, client = self.detector(administrator), self.client(administrator)
        details = [{"AccountId": account, "Email": email(account)} for account in accounts]
        client.create_members(DetectorId=detector, AccountDetails=details)
        client.invite_members(DetectorId=detector, AccountIds=list(accounts))
        for account in accounts:
            member = self.client(account)
            (invitation,) = member.list_invitations()["Invitations"]
            member.accept_administrator_invitation(
                DetectorId=self.detector(account),
                AdministratorId=administrator,
                InvitationId=invitation["InvitationId"],
            )


def before(emulator: Emulator) -> None:
    """Four accounts that are not as they should be, in every region."""
    for region in REGIONS:
        guardduty = GuardDuty(emulator, region)
        guardduty.join(ACCOUNT, RESIGNED, REMOVED)
        guardduty.join(OTHER, STRANGER)
        guardduty.client(RESIGNED).disassociate_from_administrator_account(
            DetectorId=guardduty.detector(RESIGNED)
        )
        guardduty.client(ACCOUNT).disassociate_members(
            DetectorId=guardduty.detector(ACCOUNT), AccountIds=[REMOVED]
        )
    emulator.seed("guardduty", WRONG_EMAIL, "us-east-1", "root", {"email": "root@example.com"})


def test_the_invitation_sequence_ends_with_each_account_as_it_can_be_and_then_changes_nothing(
    emulator, cli, folder
):
    for name in ("invite.yml", "members.yml"):
        file = folder / "policies" / "guardduty" / name
        text = file.read_text()
        both = re.sub(r"(tags: \[\"type:workload\"\])}", r"\1, csv: members.csv}", text)
        assert both != text
        file.write_text(both)
    before(emulator)
    title = "By invitation, from nothing to Enabled"
    run(cli, folder, title)

    rows = table(cli)
    statuses = column(rows, "guardduty")
    assert len(rows) == 14 * len(REGIONS)
    assert statuses == {
        **{account: {"Enabled"} for account in FRESH},
        ACCOUNT: {"administrator"},
        WRONG_EMAIL: {"EmailVerificationFailed"},
        STRANGER: {"other-administrator"},
        RESIGNED: {"Resigned"},
        REMOVED: {"Removed"},
        MANAGEMENT: {"absent"},
    }

    emulator.clear_calls()
    run(cli, folder, title)
    assert changes(emulator) == []
    assert column(table(cli), "guardduty") == statuses


# --- Inspector -----------------------------------------------------------------------------------


def test_the_inspector_sequence_ends_with_every_account_scanned_and_then_changes_nothing(
    emulator, cli, folder
):
    accounts = [
        {"id": account, "name": f"a{account}", "email": email(account)}
        for account in (ACCOUNT, *MEMBERS)
        if account != STRANGER
    ]
    emulator.form_organization(MANAGEMENT, accounts)
    workloads = [account for account in MEMBERS if account not in BY_CSV]
    for region in REGIONS:
        for account in (ACCOUNT, *workloads):
            emulator.set_inspector_status(
                account, region, ec2="DISABLED", ecr="DISABLED", lambda_="DISABLED"
            )
    title = "Inspector, in an organization"
    run(cli, folder, title)
    rows = table(cli)
    scanned = {account: {"Enabled"} for account in (ACCOUNT, MANAGEMENT, *MEMBERS)}
    assert column(rows, "inspector") == scanned
    member = column(rows, "inspector_member")
    assert member.pop(ACCOUNT) == {"administrator"}
    assert member == {
        **{account: {"ENABLED"} for account in workloads},
        **{account: {"CREATED"} for account in (*BY_CSV, MANAGEMENT) if account != STRANGER},
        **({STRANGER: {"not evaluated"}} if STRANGER in BY_CSV else {}),
    }

    emulator.clear_calls()
    run(cli, folder, title)
    assert changes(emulator) == []
