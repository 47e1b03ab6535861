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
CHANGING = re.compile(
    r"(Accept|Associate|Create|Delete|Disable|Disassociate|Enable|Invite|Put|Remove|Start|Stop|Tag|"
    r"Update)[A-Z]?\w*"
)


def email(account: str) -> str:
    return f"aws+{account}@example.com"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The operator's folder, with the shipped policies."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    return tmp_path


def write_accounts(emulator: Emulator, folder: Path, tags: dict[str, str], regions: int) -> None:
    """Write accounts.yml, and make the role of each account that it names."""
    shipped = yaml.safe_load((ROOT / "accounts.yml").read_text())
    accounts = []
    for account, tag in tags.items():
        role = create_role(emulator, account, "CloudCustodian", trust(AWS=f"{ACCOUNT}"))
        accounts.append(
            {
                "account_id": account,
                "name": f"{tag.removeprefix('type:')}-{account[-2:]}",
                "email": email(account),
                "role": role,
                "regions": REGIONS[:regions],
                "tags": [tag],
            }
        )
    data = {"vars": shipped["vars"], "accounts": accounts}
    (folder / "accounts.yml").write_text(yaml.safe_dump(data))


def commands(title: str) -> list[list[str]]:
    """The command lines under a heading of the runbook."""
    page = (ROOT / "docs" / "runbook-membership.md").read_text()
    section = page.partition(f"## {title}\n")[2]
    block = re.search(r"```shell\n(.*?)```", section, re.DOTALL)
    assert block, title
    return [line.split() for line in block[1].splitlines() if not line.startswith("#")]


def run(cli: Cli, folder: Path, title: str) -> None:
    for command in commands(title):
        done = cli(*command, HOME=str(folder), timeout=300)
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


def with_csv(folder: Path) -> None:
    """Let the shipped policies read members.csv beside accounts.yml."""
    rows = "".join(f"{account},{email(account)}\n" for account in BY_CSV)
    (folder / "members.csv").write_text(f"account_id,email\n{rows}")
    for name in ("invite.yml", "members.yml"):
        file = folder / "policies" / "guardduty" / name
        text = file.read_text()
        both = text.replace(
            'tags: ["type:workload"]}', 'tags: ["type:workload"], csv: members.csv}'
        )
        assert both != text
        file.write_text(both)


def test_the_invitation_sequence_ends_with_each_account_as_it_can_be_and_then_changes_nothing(
    emulator, cli, folder
):
    tags = dict.fromkeys(MEMBERS, "type:workload")
    tags.update(dict.fromkeys(BY_CSV, "type:acquired"))
    write_accounts(emulator, folder, {ACCOUNT: "type:security", **tags}, len(REGIONS))
    with_csv(folder)
    before(emulator)
    title = "By invitation, from nothing to Enabled"
    run(cli, folder, title)

    rows = table(cli)
    assert len(rows) == 13 * len(REGIONS)
    assert column(rows, "guardduty") == {
        **{account: {"Enabled"} for account in FRESH},
        ACCOUNT: {"administrator"},
        WRONG_EMAIL: {"EmailVerificationFailed"},
        STRANGER: {"Invited"},
        RESIGNED: {"Resigned"},
        REMOVED: {"Removed"},
    }

    emulator.clear_calls()
    run(cli, folder, title)
    assert changes(emulator) == []
    asked_itself = [*commands(title)[-2][:-2], "-a", f"acquired-{STRANGER[-2:]}"]
    assert cli(*asked_itself, HOME=str(folder)).returncode == 0
    statuses = column(table(cli), "guardduty")
    assert statuses.pop(STRANGER) == {"other-administrator"}
    assert statuses == {
        account: seen for account, seen in column(rows, "guardduty").items() if account != STRANGER
    }


# --- Inspector -----------------------------------------------------------------------------------


def test_the_inspector_sequence_ends_with_every_account_of_the_organization_scanned(
    emulator, cli, folder
):
    inside, outside = MEMBERS[:2], MEMBERS[2]
    tags = {MANAGEMENT: "type:management", ACCOUNT: "type:security"}
    tags.update(dict.fromkeys((*inside, outside), "type:workload"))
    write_accounts(emulator, folder, tags, 2)
    emulator.form_organization(
        MANAGEMENT,
        [{"id": each, "name": each, "email": email(each)} for each in (ACCOUNT, *inside)],
    )
    off = {"ec2": "DISABLED", "ecr": "DISABLED", "lambda_": "DISABLED"}
    for region in REGIONS[:2]:
        for account in (ACCOUNT, *inside, outside):
            emulator.set_inspector_status(account, region, **off)
    run(cli, folder, "Inspector, in an organization")
    rows = table(cli)
    assert column(rows, "inspector") == {
        account: {"Disabled" if account == outside else "Enabled"} for account in tags
    }
    assert column(rows, "inspector_member") == {
        ACCOUNT: {"administrator"},
        MANAGEMENT: {"CREATED"},
        **{account: {"ENABLED"} for account in inside},
        outside: {"absent"},
    }
