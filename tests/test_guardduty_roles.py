"""The role of deploy/account-roles.yml is enough for GuardDuty's policies, and is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator, running
from tests.guardduty_fleet import ADMIN, ANNA, STRANGER, VARIABLES, accounts_file
from tests.harness import POLICIES, REGION, ROOT, environ, run_cli

ROLES = (ROOT / "deploy" / "account-roles.yml").read_text()


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def accounts(enforcing: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An administrator, a member and a management account with the stack of roles."""
    enforcing.reset()
    monkeypatch.chdir(tmp_path)
    accounts_file(ANNA)
    Path("vars.yml").write_text(yaml.safe_dump(VARIABLES))
    for account in (ADMIN, ANNA, STRANGER):
        enforcing.client("cloudformation", account, REGION).create_stack(
            StackName="c7n-secops",
            TemplateBody=ROLES,
            Parameters=[{"ParameterKey": "SecurityAccountId", "ParameterValue": account}],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
    return enforcing


def run(emulator: Emulator, account: str, name: str) -> dict[str, Any]:
    """Run a policy file under the account's role; the outcome and code of each account."""
    role = f"arn:aws:iam::{account}:role/CloudCustodian"
    folder = Path.cwd()
    done = run_cli(
        *("custodian", "run", "-s", folder / "output", "--cache-period", "0"),
        *("--region", REGION, "--assume", role, "--vars-file", folder / "vars.yml"),
        POLICIES / "guardduty" / f"{name}.yml",
        cwd=folder,
        env=environ(emulator, account),
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob(f"output/guardduty-{name}/action-guardduty-{name}")
    results = json.loads(file.read_text())["results"]
    return {row["AccountId"]: (row["outcome"], row.get("code")) for row in results}


def test_the_role_is_enough_for_the_handshake_and_is_needed(accounts: Emulator) -> None:
    accounts.client("s3", ADMIN, REGION).create_bucket(Bucket="acme-findings")
    assert run(accounts, ADMIN, "enable") == {ADMIN: ("changed", "Created")}
    assert run(accounts, ADMIN, "invite") == {ANNA: ("invited", "absent")}
    assert run(accounts, ANNA, "accept") == {ANNA: ("accepted", "Accepted")}
    assert run(accounts, ADMIN, "export") == {ADMIN: ("changed", "Created")}

    for account in (ADMIN, ANNA):
        iam = accounts.client("iam", account)
        arn = f"arn:aws:iam::{account}:policy/c7n-secops-membership"
        iam.detach_role_policy(RoleName="CloudCustodian", PolicyArn=arn)
    guardduty = accounts.client("guardduty", ADMIN, REGION)
    (detector,) = guardduty.list_detectors()["DetectorIds"]
    guardduty.disassociate_members(DetectorId=detector, AccountIds=[ANNA])
    guardduty.delete_members(DetectorId=detector, AccountIds=[ANNA])
    assert run(accounts, ADMIN, "invite") == {ANNA: ("failed", "AccessDeniedException")}


def test_the_role_is_enough_for_the_organization(accounts: Emulator) -> None:
    members = [
        {"id": account, "name": account, "email": f"{account}@example.com"}
        for account in (STRANGER, ADMIN, ANNA)
    ]
    accounts.form_organization(STRANGER, members)
    assert run(accounts, STRANGER, "organization") == {STRANGER: ("changed", "Registered")}
    assert run(accounts, ADMIN, "organization") == {ADMIN: ("changed", "Configured")}


def test_the_roles_are_enough_to_deploy_the_alerts_and_to_send_them(accounts: Emulator) -> None:
    accounts.client("events", ADMIN, REGION).create_event_bus(Name="security")
    accounts.client("sns", ADMIN, REGION).create_topic(Name="c7n-secops-alerts")
    accounts.client("guardduty", ADMIN, REGION).create_detector(Enable=True)
    role = f"arn:aws:iam::{ADMIN}:role/CloudCustodian"
    done = run_cli(
        *("custodian", "run", "-s", "output", "--cache-period", "0", "--region", REGION),
        *("--assume", role, "--vars-file", "vars.yml", POLICIES / "guardduty" / "watch.yml"),
        cwd=Path.cwd(),
        env=environ(accounts, ADMIN),
    )
    assert done.returncode == 0, done.stderr

    detail = {
        "eventSource": "guardduty.amazonaws.com",
        "eventName": "DisassociateFromMasterAccount",
        "awsRegion": REGION,
        "recipientAccountId": ANNA,
    }
    event = {
        "source": "aws.guardduty",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": detail,
    }
    assert accounts.deliver_event(ADMIN, REGION, event, bus="security") == 1
    (result,) = accounts.wait_for_lambda(ADMIN, REGION, "custodian-guardduty-member-left")
    assert result["error"] is None, result["log"]
    (call,) = accounts.calls("sns", "Publish")
    assert call.status == 200

    watch = "custodian-guardduty-members-watch"
    assert accounts.fire_schedule(ADMIN, REGION, watch) == 1
    (result,) = accounts.wait_for_lambda(ADMIN, REGION, watch)
    assert result["error"] is None, result["log"]
    denied = [call for call in accounts.calls("guardduty") if call.status == 403]
    assert denied == []
