"""The real command lines over HTTP: pull, c7n-org, and policies deployed as Lambda functions.

Functions run as AWS runs them: the deployed archive, boto3, and nothing else of this environment.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.emulator import Emulator
from tests.emulator.organisation import (
    PRODUCTION,
    SECURITY,
    STAGING,
    Organisation,
    build,
    package_finding,
)
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, Cli, Custodian
from tests.inspector_data import SAMPLES, finding, launch, sample_event

CRITICAL = POLICIES / "inspector" / "critical-findings.yml"
LAMBDA_ROLE = f"arn:aws:iam::{ACCOUNT}:role/c7n-secops-lambda"
WriteFile = Callable[..., Path]
Deploy = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """``write(policy, …)`` writes a policy file and returns its path."""

    def policies(*data: dict[str, Any]) -> Path:
        file = tmp_path / "policies.yml"
        file.write_text(yaml.safe_dump({"policies": list(data)}))
        return file

    return policies


def tagging(name: str = "tag-critical", **more: Any) -> dict[str, Any]:
    """A policy whose filter is ours and whose action is stock, so that its effect can be seen."""
    return {
        "name": name,
        "resource": "aws.ec2",
        "filters": [{"type": "inspector-finding", "severity": ["CRITICAL"]}],
        "actions": [{"type": "tag", "tags": {"c7n": name}}],
        **more,
    }


def tagged(emulator: Emulator, name: str = "tag-critical") -> list[str]:
    """The instances that the action of ``tagging`` reached."""
    found = emulator.client("ec2", ACCOUNT, REGION).describe_tags(
        Filters=[{"Name": "key", "Values": ["c7n"]}, {"Name": "value", "Values": [name]}]
    )["Tags"]
    return sorted(tag["ResourceId"] for tag in found)


def ids(folder: Path) -> list[str]:
    return sorted(r["InstanceId"] for r in json.loads((folder / "resources.json").read_text()))


# --- custodian run ------------------------------------------------------------------------------


def test_custodian_runs_a_shipped_policy_and_adds_to_its_output_tree(
    cli: Cli, emulator: Emulator, tmp_path: Path
) -> None:
    hit, clean = launch(emulator, 2)
    (silent,) = launch(emulator, 1, managed=False)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    done = cli("custodian", "run", "-s", "out", "--cache-period=0", "-p", "ec2-critical*", CRITICAL)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "ec2-critical-findings"
    assert {file.name for file in folder.iterdir()} == {
        "resources.json",
        "metadata.json",
        "custodian-run.log",
        "not-evaluated.json",
    }
    assert ids(folder) == [hit]
    unknown = json.loads((folder / "not-evaluated.json").read_text())
    assert [(row["resource"], row["code"]) for row in unknown] == [
        (silent, "UNMANAGED_EC2_INSTANCE")
    ]
    assert clean not in json.dumps(unknown)
    assert "policy:ec2-critical-findings resource:aws.ec2 region:us-east-1 count:1" in done.stderr


def test_dryrun_changes_nothing_and_a_run_does(
    cli: Cli, emulator: Emulator, write: WriteFile, tmp_path: Path
) -> None:
    hit, _clean = launch(emulator, 2)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    file = write(tagging())
    words = ("custodian", "run", "-s", "out", "--cache-period=0", file)
    assert cli(*words, "--dryrun").returncode == 0
    assert ids(tmp_path / "out" / "tag-critical") == [hit]
    assert tagged(emulator) == []
    assert cli(*words).returncode == 0
    assert tagged(emulator) == [hit]


def test_an_invalid_policy_ends_with_1_before_any_call(
    cli: Cli, emulator: Emulator, write: WriteFile
) -> None:
    file = write(tagging(filters=[{"type": "inspector-finding", "severity": ["HUGE"]}]))
    done = cli("custodian", "run", "-s", "out", file)
    assert done.returncode == 1
    assert "filter:inspector-finding severity" in done.stderr
    assert emulator.calls() == []


def test_a_policy_that_fails_ends_with_2_and_the_others_still_run(
    cli: Cli, emulator: Emulator, write: WriteFile, tmp_path: Path
) -> None:
    (hit,) = launch(emulator, 1)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    emulator.fault("ec2", "CreateTags", code="InvalidParameterValue", contains="tag-first")
    file = write(tagging("tag-first"), tagging("tag-second"))
    done = cli("custodian", "run", "-s", "out", "--cache-period=0", file)
    assert done.returncode == 2
    assert "Error while executing policy tag-first, continuing" in done.stderr
    assert (tagged(emulator, "tag-first"), tagged(emulator, "tag-second")) == ([], [hit])


def test_a_refused_read_is_no_failure_but_is_reported(
    cli: Cli, emulator: Emulator, write: WriteFile, tmp_path: Path
) -> None:
    launch(emulator, 1)
    emulator.fault("inspector2", "*", code="AccessDeniedException", status=403, times=None)
    done = cli("custodian", "run", "-s", "out", "--cache-period=0", write(tagging()))
    folder = tmp_path / "out" / "tag-critical"
    assert done.returncode == 0, done.stderr
    assert ids(folder) == []
    assert json.loads((folder / "not-evaluated.json").read_text())[0]["code"] == (
        "AccessDeniedException"
    )
    assert "not evaluated" in done.stderr


# --- c7n-org ------------------------------------------------------------------------------------


@pytest.fixture
def organisation(emulator: Emulator) -> Organisation:
    """Three accounts in two regions: one vulnerable, one clean and one unmanaged instance each."""
    built = build(
        emulator,
        regions=(REGION, "eu-west-1"),
        scenarios=("vulnerable", "clean", "unmanaged"),
        findings=lambda account, region, instance, _number, details: [
            package_finding(account, region, instance, details=details)
        ],
    )
    emulator.clear_calls()
    return built


def folders(out: Path, policy: str) -> dict[tuple[str, str], Path]:
    return {
        (account.id, region): out / account.name / region / policy
        for account in (SECURITY, PRODUCTION, STAGING)
        for region in (REGION, "eu-west-1")
    }


def test_c7n_org_runs_a_shipped_policy_in_every_account_and_region(
    cli: Cli, emulator: Emulator, organisation: Organisation, tmp_path: Path
) -> None:
    done = cli(
        *("c7n-org", "run", "-c", ROOT / "accounts.yml", "-u", CRITICAL, "-s", "out"),
        *("--cache-period", "0", "-p", "ec2-exploitable-findings"),
        C7N_ORG_PARALLEL="2",
    )
    assert done.returncode == 0, done.stderr
    for (account, region), folder in folders(tmp_path / "out", "ec2-exploitable-findings").items():
        exploitable = [i.id for i in organisation.find(None, account, region) if i.findings]
        assert len(exploitable) == 2
        assert ids(folder) == sorted(exploitable)
    asked = {(call.account, call.region) for call in emulator.calls("inspector2", "ListFindings")}
    assert asked == set(folders(tmp_path, ""))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_c7n_org_workers_know_our_elements_however_they_start(
    cli: Cli, organisation: Organisation, tmp_path: Path, method: str
) -> None:
    program = tmp_path / "start.py"
    program.write_text(
        "import multiprocessing\n"
        "from c7n_org.cli import cli\n"
        "if __name__ == '__main__':\n"
        f"    multiprocessing.set_start_method({method!r})\n"
        "    cli()\n"
    )
    done = cli(
        *(sys.executable, program, "run", "-c", ROOT / "accounts.yml", "-u", CRITICAL, "-s", "out"),
        *("--cache-period", "0", "-p", "ec2-exploitable-findings", "-a", "staging", "-r", REGION),
        C7N_ORG_PARALLEL="1",
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "staging" / REGION / "ec2-exploitable-findings"
    exploitable = [i.id for i in organisation.find(None, STAGING.id, REGION) if i.findings]
    assert ids(folder) == sorted(exploitable)


# --- policies in Lambda -------------------------------------------------------------------------


@pytest.fixture
def deploy(custodian: Custodian, emulator: Emulator) -> Deploy:
    """``deploy(policy)`` deploys one policy as ``custodian run`` does and returns its function."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    emulator.client("iam", ACCOUNT, REGION).create_role(
        RoleName="c7n-secops-lambda", AssumeRolePolicyDocument=json.dumps(trust)
    )

    def run(policy: dict[str, Any]) -> str:
        custodian(policy, deploy=True)
        return f"custodian-{policy['name']}"

    return run


def lambda_mode(kind: str, output: Path | None = None, **more: Any) -> dict[str, Any]:
    mode = {"type": kind, "role": LAMBDA_ROLE, "timeout": 300, **more}
    if output is not None:
        mode["execution-options"] = {"output_dir": str(output)}
    return mode


def guardduty_event(resource: str) -> dict[str, Any]:
    event = json.loads((SAMPLES / "guardduty-ec2-network-connection.json").read_text())
    event.update(account=ACCOUNT, region=REGION)
    event["detail"]["resource"]["instanceDetails"]["instanceId"] = resource
    return dict(event)


def inspector_event(resource: str) -> dict[str, Any]:
    return sample_event(
        "inspector2-ec2-package-closed-2024.json", resource, status="ACTIVE", severity="CRITICAL"
    )


def cloudtrail_event(resource: str) -> dict[str, Any]:
    return {
        "source": "aws.ec2",
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {
            "eventSource": "ec2.amazonaws.com",
            "eventName": "RunInstances",
            "userIdentity": {"arn": f"arn:aws:iam::{ACCOUNT}:user/someone"},
            "responseElements": {"instancesSet": {"items": [{"instanceId": resource}]}},
        },
    }


def hub_event(resource: str) -> dict[str, Any]:
    return {
        "source": "aws.securityhub",
        "detail-type": "Security Hub Findings - Imported",
        "detail": {
            "findings": [
                {
                    "AwsAccountId": ACCOUNT,
                    "Resources": [
                        {
                            "Type": "AwsEc2Instance",
                            "Id": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{resource}",
                        }
                    ],
                }
            ]
        },
    }


EVENT_MODES: dict[str, tuple[dict[str, Any], Callable[[str], dict[str, Any]]]] = {
    "inspector-finding": ({"severities": ["CRITICAL"]}, inspector_event),
    "eventbridge": (
        {"pattern": {"source": ["aws.guardduty"]}, "ids": "detail.resource.*.instanceId"},
        guardduty_event,
    ),
    "guard-duty": ({}, guardduty_event),
    "cloudtrail": ({"events": ["RunInstances"]}, cloudtrail_event),
}


def test_custodian_run_deploys_a_policy_that_works(
    cli: Cli, emulator: Emulator, deploy: Deploy, write: WriteFile
) -> None:
    (hit,) = launch(emulator, 1)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    policy = tagging(mode=lambda_mode("inspector-finding"))
    done = cli("custodian", "run", "-s", "out", "--cache-period=0", write(policy))
    assert done.returncode == 0, done.stderr
    emulator.deliver_event(ACCOUNT, REGION, inspector_event(hit))
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, "custodian-tag-critical")
    assert result["error"] is None, result["log"]
    assert tagged(emulator) == [hit]


@pytest.mark.parametrize("kind", EVENT_MODES)
def test_an_event_reaches_filter_and_action_in_lambda(
    emulator: Emulator, deploy: Deploy, tmp_path: Path, kind: str
) -> None:
    options, event = EVENT_MODES[kind]
    hit, clean = launch(emulator, 2)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    policy = tagging(mode=lambda_mode(kind, **options))
    if kind == "guard-duty":
        policy["resource"] = "ec2"  # the mode knows no other name of it
    function = deploy(policy)
    for instance in (hit, clean):
        assert emulator.deliver_event(ACCOUNT, REGION, event(instance)) == 1
    for result in emulator.wait_for_lambda(ACCOUNT, REGION, function, 2):
        assert result["error"] is None, result["log"]
    assert tagged(emulator) == [hit]


def test_security_hub_findings_reach_filter_and_action_in_lambda(
    emulator: Emulator, deploy: Deploy
) -> None:
    hit, clean = launch(emulator, 2)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    mode = lambda_mode(
        "eventbridge",
        pattern={"source": ["aws.securityhub"]},
        ids="detail.findings[].Resources[?Type=='AwsEc2Instance'][].split('/', Id)[-1]",
    )
    function = deploy(tagging(mode=mode))
    event = hub_event(hit)
    event["detail"]["findings"] += hub_event(clean)["detail"]["findings"]
    assert emulator.deliver_event(ACCOUNT, REGION, event) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, function)
    assert result["error"] is None, result["log"]
    assert tagged(emulator) == [hit]


@pytest.mark.parametrize("kind", ["hub-finding", "hub-action"])
def test_a_stock_mode_that_would_act_without_our_filter_is_refused(
    cli: Cli, write: WriteFile, kind: str
) -> None:
    done = cli("custodian", "validate", write(tagging(mode=lambda_mode(kind))))
    assert done.returncode == 1
    assert f"filter:inspector-finding is never asked in mode {kind}" in done.stderr
    assert "use mode eventbridge" in done.stderr


def test_a_policy_on_a_schedule_rule_runs_in_lambda(emulator: Emulator, deploy: Deploy) -> None:
    hit, _clean = launch(emulator, 2)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    function = deploy(tagging(mode=lambda_mode("periodic", schedule="rate(1 hour)")))
    assert emulator.fire_schedule(ACCOUNT, REGION, function) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, function)
    assert result["error"] is None, result["log"]
    assert tagged(emulator) == [hit]


def test_a_policy_in_schedule_mode_runs_when_its_function_is_invoked(
    emulator: Emulator, deploy: Deploy
) -> None:
    """EventBridge Scheduler itself is not emulated: its target is invoked as it would."""
    (hit,) = launch(emulator, 1)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    mode = lambda_mode("schedule", schedule="rate(1 hour)", **{"scheduler-role": LAMBDA_ROLE})
    function = deploy(tagging(mode=mode))
    schedule = emulator.client("scheduler", ACCOUNT, REGION).get_schedule(Name=function)
    answer = emulator.client("lambda", ACCOUNT, REGION).invoke(
        FunctionName=schedule["Target"]["Arn"], Payload=b'{"detail": "{}"}'
    )
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert tagged(emulator) == [hit]


def test_a_run_in_our_mode_writes_all_outcomes_into_one_output(
    emulator: Emulator, deploy: Deploy, tmp_path: Path
) -> None:
    (silent,) = launch(emulator, 1, managed=False)
    function = deploy(tagging(mode=lambda_mode("inspector-finding", tmp_path / "lambda")))
    assert emulator.deliver_event(ACCOUNT, REGION, inspector_event(silent)) == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, function)
    assert result["error"] is None, result["log"]
    folder = tmp_path / "lambda" / "tag-critical"
    assert ids(folder) == []
    unknown = json.loads((folder / "not-evaluated.json").read_text())
    assert [row["resource"] for row in unknown] == [silent]
    assert "not evaluated" in result["log"]


def test_an_event_that_the_rule_does_not_select_starts_nothing(
    emulator: Emulator, deploy: Deploy
) -> None:
    (hit,) = launch(emulator, 1)
    deploy(tagging(mode=lambda_mode("inspector-finding", severities=["CRITICAL"])))
    near_misses = [
        {"detail": {"severity": "HIGH"}},
        {"detail": {"status": "CLOSED"}},
        {"source": "acme.inspector2"},
        {"detail-type": "Inspector2 Scan"},
        {"detail": {"resources": [{"type": "AWS_LAMBDA_FUNCTION", "id": hit}]}},
    ]
    for change in near_misses:
        event = copy.deepcopy(inspector_event(hit))
        event["detail"].update(change.get("detail", {}))
        event.update({key: value for key, value in change.items() if key != "detail"})
        assert emulator.deliver_event(ACCOUNT, REGION, event) == 0, change
    assert emulator.deliver_event(ACCOUNT, REGION, inspector_event(hit)) == 1


def test_a_stock_mode_gets_our_package_and_handler(emulator: Emulator, deploy: Deploy) -> None:
    function = deploy(tagging(mode=lambda_mode("cloudtrail", events=["RunInstances"])))
    found = emulator.client("lambda", ACCOUNT, REGION).get_function(FunctionName=function)
    assert found["Configuration"]["Handler"] == "c7n_secops.handler.run"


def test_a_stock_policy_in_a_stock_mode_stays_as_it_was(emulator: Emulator, deploy: Deploy) -> None:
    policy = tagging(mode=lambda_mode("cloudtrail", events=["RunInstances"]), filters=[])
    function = deploy(policy)
    found = emulator.client("lambda", ACCOUNT, REGION).get_function(FunctionName=function)
    assert found["Configuration"]["Handler"] == "custodian_policy.run"


@pytest.mark.parametrize("kind", ["guard-duty", "inspector-finding"])
def test_the_stock_handler_named_by_hand_is_an_error_with_the_fix(
    cli: Cli, emulator: Emulator, write: WriteFile, kind: str
) -> None:
    mode = lambda_mode(kind, handler="custodian_policy.run")
    done = cli("custodian", "validate", write(tagging(resource="ec2", mode=mode)))
    assert done.returncode == 1
    assert "policy:tag-critical mode.handler custodian_policy.run cannot load" in done.stderr
    assert "set it to c7n_secops.handler.run" in done.stderr


# --- rules --------------------------------------------------------------------------------------


def rule(emulator: Emulator, name: str, bus: str = "default") -> dict[str, Any]:
    found: dict[str, Any] = emulator.client("events", ACCOUNT, REGION).describe_rule(
        Name=name, EventBusName=bus
    )
    return found


def changes(emulator: Emulator) -> set[str]:
    """The operations, since the calls were cleared, that change something."""
    reading = ("Describe", "Get", "List", "Head")
    return {
        call.operation
        for call in emulator.calls()
        if not call.operation.startswith(reading) and call.operation != "AddPermission"
    }


def test_deploying_again_updates_the_rule_and_then_changes_nothing(
    emulator: Emulator, deploy: Deploy
) -> None:
    deploy(tagging(mode=lambda_mode("inspector-finding", severities=["CRITICAL"])))
    second = tagging(mode=lambda_mode("inspector-finding", severities=["CRITICAL", "HIGH"]))
    function = deploy(second)
    pattern = json.loads(rule(emulator, function)["EventPattern"])
    assert pattern["detail"]["severity"] == ["CRITICAL", "HIGH"]
    emulator.clear_calls()
    deploy(second)
    assert changes(emulator) == set()


def test_a_rule_on_a_bus_of_your_own_gets_that_bus_and_no_other(
    emulator: Emulator, deploy: Deploy
) -> None:
    events = emulator.client("events", ACCOUNT, REGION)
    events.create_event_bus(Name="security")
    (hit,) = launch(emulator, 1)
    emulator.add_findings(ACCOUNT, REGION, [finding(hit)])
    options, event = EVENT_MODES["eventbridge"]
    policy = tagging(mode=lambda_mode("eventbridge", bus="security", **options))
    function = deploy(policy)
    assert rule(emulator, function, "security")["EventPattern"] == json.dumps(
        {"source": ["aws.guardduty"]}
    )
    assert events.list_rules()["Rules"] == []
    assert emulator.deliver_event(ACCOUNT, REGION, event(hit)) == 0
    assert emulator.deliver_event(ACCOUNT, REGION, event(hit), bus="security") == 1
    (result,) = emulator.wait_for_lambda(ACCOUNT, REGION, function)
    assert result["error"] is None, result["log"]
    assert tagged(emulator) == [hit]
    emulator.clear_calls()
    deploy(policy)
    assert changes(emulator) == set()


def test_a_function_that_moves_to_another_bus_may_be_invoked_from_there(
    emulator: Emulator, deploy: Deploy
) -> None:
    """Lambda refuses a second statement of one name, and Custodian takes that for success."""
    emulator.client("events", ACCOUNT, REGION).create_event_bus(Name="security")
    options, _event = EVENT_MODES["eventbridge"]
    deploy(tagging(mode=lambda_mode("eventbridge", **options)))
    function = deploy(tagging(mode=lambda_mode("eventbridge", bus="security", **options)))
    first, second = (call.params for call in emulator.calls("lambda", "AddPermission"))
    assert second["SourceArn"] == rule(emulator, function, "security")["Arn"]
    assert first["StatementId"] != second["StatementId"]
    assert re.fullmatch(r"[\w-]{1,100}", second["StatementId"])
