"""The shipped roles and bus are enough for Inspector's memberships and for forwarding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.emulator import Emulator, running
from tests.emulator.organisation import trust
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, environ, run_cli

MEMBER, MANAGEMENT, STRANGER = "222222222222", "999999999999", "888888888888"
CHANGE = "c7n-secops-membership"
NOTHING = {"ec2": "DISABLED", "ecr": "DISABLED", "lambda_": "DISABLED"}


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


def stack(emulator: Emulator, account: str, name: str, **parameters: str) -> dict[str, str]:
    """Deploy a template and return its outputs."""
    cloudformation = emulator.client("cloudformation", account, REGION)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=(ROOT / "deploy" / f"{name}.yml").read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (made,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {row["OutputKey"]: row["OutputValue"] for row in made.get("Outputs", ())}


@pytest.fixture
def accounts(enforcing: Emulator, tmp_path: Path) -> Emulator:
    """The security account, a member and the management account, as the templates make them."""
    enforcing.reset()
    bus = stack(enforcing, ACCOUNT, "security-bus", AccountIds=MEMBER)
    for account in (ACCOUNT, MEMBER, MANAGEMENT):
        stack(enforcing, account, "account-roles", SecurityAccountId=ACCOUNT)
    rows = [{"account_id": MEMBER, "name": "member", "tags": ["type:workload"]}]
    variables = {
        "security_account": ACCOUNT,
        "management_account": MANAGEMENT,
        "security_bus": bus["BusArn"],
    }
    (tmp_path / "accounts.yml").write_text(yaml.safe_dump({"accounts": rows}))
    (tmp_path / "vars.yml").write_text(yaml.safe_dump(variables))
    return enforcing


def run(
    emulator: Emulator, folder: Path, account: str, file: str, *policies: str
) -> dict[str, tuple[str, str]]:
    """``custodian run`` of a shipped file in an account's role: outcome and code of each result."""
    output = folder / f"output-{account}"
    chosen = [word for name in policies for word in ("-p", name)]
    done = run_cli(
        *("custodian", "run", "-s", output, "--cache-period=0", "--region", REGION),
        *("--assume", f"arn:aws:iam::{account}:role/CloudCustodian"),
        *("--vars-file", folder / "vars.yml", *chosen, POLICIES / "inspector" / f"{file}.yml"),
        cwd=folder,
        env=environ(emulator, ACCOUNT),
    )
    assert done.returncode == 0, done.stderr
    unknown = list(output.glob("*/not-evaluated.json"))
    assert unknown == [], [path.read_text() for path in unknown]
    return {
        f"{path.parent.name} {row.get('source', row['AccountId'])}": (row["outcome"], row["code"])
        for path in output.glob("*/action-*")
        for row in json.loads(path.read_text())["results"]
    }


def test_the_roles_are_enough_for_inspector_in_an_organization_and_are_needed(accounts, tmp_path):
    accounts.form_organization(
        MANAGEMENT,
        [{"id": each, "name": each, "email": f"{each}@a.com"} for each in (ACCOUNT, MEMBER)],
    )
    for account in (ACCOUNT, MEMBER):
        accounts.set_inspector_status(account, REGION, **NOTHING)
    assert set(run(accounts, tmp_path, MANAGEMENT, "organization").values()) == {
        ("changed", "Delegated")
    }
    assert run(accounts, tmp_path, ACCOUNT, "organization") == {
        f"inspector-organization {ACCOUNT}": ("changed", "Configured")
    }
    run(accounts, tmp_path, ACCOUNT, "associate")
    found = run(accounts, tmp_path, ACCOUNT, "enable")
    assert found[f"inspector-associate {MEMBER}"] == ("changed", "Associated")
    assert found[f"inspector-enable {ACCOUNT}"] == ("changed", "Enabled")
    assert found[f"inspector-enable-members {MEMBER}"] == ("changed", "Enabled")
    run(accounts, tmp_path, ACCOUNT, "members")
    run(accounts, tmp_path, MEMBER, "members", "inspector-accounts")

    accounts.set_inspector_status(MEMBER, REGION, **NOTHING)
    arn = f"arn:aws:iam::{MEMBER}:policy/{CHANGE}"
    iam = accounts.client("iam", MEMBER)
    iam.detach_role_policy(RoleName="CloudCustodian", PolicyArn=arn)
    found = run(accounts, tmp_path, MEMBER, "enable", "inspector-enable")
    assert found == {f"inspector-enable {MEMBER}": ("failed", "AccessDeniedException")}


def test_the_roles_are_enough_to_forward_and_events_of_no_other_role_get_in(accounts, tmp_path):
    found = run(accounts, tmp_path, MEMBER, "forward")
    assert set(found.values()) == {("changed", "Put")}
    assert len(found) == 3
    bus = yaml.safe_load((tmp_path / "vars.yml").read_text())["security_bus"]
    targets = accounts.client("events", MEMBER, REGION).list_targets_by_rule(
        Rule="c7n-secops-forward-guardduty"
    )["Targets"]
    role = f"arn:aws:iam::{MEMBER}:role/c7n-secops-forward"
    assert targets == [{"Id": "c7n-secops", "Arn": bus, "RoleArn": role}]
    assert put(accounts, MEMBER, "c7n-secops-forward", bus) == "put"
    assert put(accounts, MEMBER, "CloudCustodian", bus) == "AccessDeniedException"
    stack(accounts, STRANGER, "account-roles", SecurityAccountId=ACCOUNT)
    assert put(accounts, STRANGER, "c7n-secops-forward", bus) == "AccessDeniedException"


def put(emulator: Emulator, account: str, role: str, bus: str) -> str:
    """Put an event as EventBridge would with the role, which here lets its own account in."""
    let_in = trust(AWS=f"arn:aws:iam::{account}:root")
    emulator.client("iam", account).update_assume_role_policy(RoleName=role, PolicyDocument=let_in)
    sts = emulator.client("sts", account, REGION)
    arn = f"arn:aws:iam::{account}:role/{role}"
    given = sts.assume_role(RoleArn=arn, RoleSessionName="forward")["Credentials"]
    events: Any = boto3.client(
        "events",
        REGION,
        endpoint_url=emulator.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    entry = {"Source": "acme", "DetailType": "x", "Detail": "{}", "EventBusName": bus}
    try:
        answer = events.put_events(Entries=[entry])
    except events.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    assert answer["FailedEntryCount"] == 0, answer
    return "put"
