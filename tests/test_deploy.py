"""The templates in ``deploy/``: valid, real actions, and roles that hold just enough."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint import api as cfnlint
from policy_sentry.querying.actions import get_actions_for_service

from tests.emulator import Emulator, running
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, environ, run_cli
from tests.inspector_data import finding, launch, sample_event

TEMPLATES = sorted((ROOT / "deploy").glob("*.yml"))
ROLES = ROOT / "deploy" / "account-roles.yml"
WHOLE_SERVICES = {"kms:*", "s3:*"}
"""A key's policy allows its own account everything, a bucket's denies everything without TLS."""
ROLE = f"arn:aws:iam::{ACCOUNT}:role/CloudCustodian"


@pytest.fixture(scope="module")
def enforcing() -> Iterator[Emulator]:
    """An emulator that denies what IAM policies do not allow."""
    with running(iam=True) as server:
        yield server


@pytest.fixture
def account(enforcing: Emulator) -> Emulator:
    """An account with the stack of roles, and nothing else."""
    enforcing.reset()
    enforcing.client("cloudformation", ACCOUNT, REGION).create_stack(
        StackName="c7n-secops",
        TemplateBody=ROLES.read_text(),
        Parameters=[{"ParameterKey": "SecurityAccountId", "ParameterValue": ACCOUNT}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    return enforcing


def run(emulator: Emulator, folder: Path, policy: Path) -> Any:
    command = ["custodian", "run", "-s", folder / "output", "--cache-period", "0"]
    return run_cli(
        *command, "--region", REGION, "--assume", ROLE, policy, cwd=folder, env=environ(emulator)
    )


def actions(node: Any) -> Iterator[str]:
    """Every IAM action that a template names."""
    if isinstance(node, dict):
        named = node.get("Action", ())
        yield from [named] if isinstance(named, str) else named
        for value in node.values():
            yield from actions(value)
    elif isinstance(node, list):
        for value in node:
            yield from actions(value)


class Template(yaml.SafeLoader):
    """Reads CloudFormation's YAML, whose functions are tags."""


Template.add_multi_constructor("!", lambda _loader, suffix, _node: f"!{suffix}")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_valid(template: Path) -> None:
    assert cfnlint.lint_file(template) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_names_only_actions_that_exist(template: Path) -> None:
    named = set(actions(yaml.load(template.read_text(), Template)))  # noqa: S506
    assert named
    named -= WHOLE_SERVICES
    real = {action for service in {a.split(":")[0] for a in named} for action in known(service)}
    assert named - real == set()


def known(service: str) -> set[str]:
    return set(get_actions_for_service(service))


def test_the_role_is_enough_to_patch_and_is_needed(account: Emulator, tmp_path: Path) -> None:
    (instance,) = launch(account)
    account.add_findings(ACCOUNT, REGION, [finding(instance)])
    policy = POLICIES / "inspector" / "patch-critical.yml"
    done = run(account, tmp_path, policy)
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path) == ["sent"]

    account.finish_commands(ACCOUNT, REGION)
    iam = account.client("iam", ACCOUNT)
    for name in ("read", "change"):
        arn = f"arn:aws:iam::{ACCOUNT}:policy/c7n-secops-{name}"
        iam.detach_role_policy(RoleName="CloudCustodian", PolicyArn=arn)
        before = len(account.calls("ssm", "SendCommand"))
        denied = run(account, tmp_path, policy)
        assert denied.returncode == 2, denied.stderr
        assert len(account.calls("ssm", "SendCommand")) == before


def test_the_function_s_role_is_enough_for_its_event(account: Emulator, tmp_path: Path) -> None:
    (instance,) = launch(account)
    account.add_findings(ACCOUNT, REGION, [finding(instance)])
    done = run(account, tmp_path, POLICIES / "inspector" / "patch-critical-event.yml")
    assert done.returncode == 0, done.stderr
    event = sample_event(
        "inspector2-ec2-package-closed-2024.json", instance, status="ACTIVE", severity="CRITICAL"
    )
    assert account.deliver_event(ACCOUNT, REGION, event) == 1
    function = "custodian-ec2-patch-critical-on-finding"
    (result,) = account.wait_for_lambda(ACCOUNT, REGION, function)
    assert not result["error"], result["log"]
    (call,) = account.calls("ssm", "SendCommand")
    assert call.status == 200


def outcomes(folder: Path) -> list[str]:
    (file,) = folder.glob("output/*/action-ssm-patch")
    return [result["outcome"] for result in json.loads(file.read_text())["results"]]
