"""The ways to contain an instance, each from its trigger to the interfaces, over two accounts."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from c7n.exceptions import PolicyExecutionError

from tests.emulator import Emulator
from tests.harness import ACCOUNT, POLICIES, REGION, ROOT, Cli, Custodian
from tests.incident_scene import (
    CASE,
    WORKLOAD,
    account,
    case_of,
    changes,
    endpoint,
    evidence,
    is_contained,
    key_of,
    launch,
    request,
    tags_of,
)
from tests.inspector_data import SAMPLES

FOLDER = POLICIES / "incident-response"
Vars = dict[str, str]


@pytest.fixture
def made(emulator: Emulator) -> Vars:
    """A workload and a forensics account as the templates make them; the policies' vars."""
    variables = evidence(emulator)
    account(emulator, variables)
    return variables


def results(folder: Path) -> dict[str, str]:
    rows = json.loads((folder / "action-quarantine-instance").read_text())["results"]
    return {row["InstanceId"]: row["outcome"] for row in rows}


# --- by the instance's id ------------------------------------------------------------------------


def vars_file(folder: Path, **variables: Any) -> Path:
    file = folder / "case.yml"
    file.write_text(yaml.safe_dump(variables))
    return file


def contain(cli: Cli, *more: Any) -> Any:
    words = ("custodian", "run", "-s", "out", "--cache-period=0", "--region", REGION)
    return cli(*words, *more, FOLDER / "contain-instance.yml", account=WORKLOAD)


def test_custodian_run_contains_the_instances_that_a_vars_file_names(
    emulator: Emulator, cli: Cli, made: Vars, tmp_path: Path
) -> None:
    first, second, other = launch(emulator, 3)
    emulator.clear_calls()
    file = vars_file(tmp_path, instances=[first, second], case=CASE, **made)
    done = contain(cli, "--vars-file", file)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out" / "ec2-contain-instance") == {
        first: "contained",
        second: "contained",
    }
    contained = {name: is_contained(emulator, name) for name in (first, second, other)}
    assert contained == {first: True, second: True, other: False}
    assert tags_of(emulator, first)["c7n-secops:state"] == "contained"
    assert case_of(emulator, first)["outcome"] == "contained"
    reads = [call.params for call in emulator.calls("ec2", "DescribeInstances")]
    assert not any("Filter.1.Name" not in read and "InstanceId.1" not in read for read in reads)


def test_one_instance_can_be_named_without_a_list(
    emulator: Emulator, cli: Cli, made: Vars, tmp_path: Path
) -> None:
    first, other = launch(emulator, 2)
    file = vars_file(tmp_path, instances=first, case=CASE, **made)
    assert contain(cli, "--vars-file", file).returncode == 0
    assert (is_contained(emulator, first), is_contained(emulator, other)) == (True, False)


def test_without_a_vars_file_nothing_happens(emulator: Emulator, cli: Cli, made: Vars) -> None:
    launch(emulator)
    emulator.clear_calls()
    done = contain(cli)
    assert done.returncode == 0, done.stderr
    assert "count:0" in done.stderr
    assert changes(emulator) == set()


@pytest.mark.parametrize("missing", ["case", "evidence_bucket", "evidence_key"])
def test_a_missing_variable_is_an_error_that_names_it_before_any_change(
    emulator: Emulator, cli: Cli, made: Vars, tmp_path: Path, missing: str
) -> None:
    (instance,) = launch(emulator)
    variables = {"instances": instance, "case": CASE, **made}
    del variables[missing]
    emulator.clear_calls()
    done = contain(cli, "--vars-file", vars_file(tmp_path, **variables))
    assert done.returncode == 2
    assert missing in done.stderr
    assert changes(emulator) == set()


def test_a_dry_run_shows_the_plan_and_changes_nothing(
    emulator: Emulator, cli: Cli, made: Vars, tmp_path: Path
) -> None:
    (instance,) = launch(emulator)
    emulator.clear_calls()
    file = vars_file(tmp_path, instances=instance, case=CASE, **made)
    done = contain(cli, "--vars-file", file, "--dryrun")
    assert done.returncode == 0, done.stderr
    (plan,) = json.loads((tmp_path / "out" / "ec2-contain-instance" / "plan.json").read_text())
    assert (plan["InstanceId"], plan["case"]) == (instance, CASE)
    assert changes(emulator) == set()


def test_c7n_org_contains_with_the_vars_of_its_accounts_file(
    emulator: Emulator, cli: Cli, made: Vars, tmp_path: Path
) -> None:
    instance, other = launch(emulator, 2)
    accounts = tmp_path / "accounts.yml"
    accounts.write_text(
        yaml.safe_dump(
            {
                "vars": {"instances": [instance], "case": CASE, **made},
                "accounts": [
                    {
                        "account_id": WORKLOAD,
                        "name": "production",
                        "role": f"arn:aws:iam::{WORKLOAD}:role/c7n-secops-incident-response",
                        "regions": [REGION],
                    }
                ],
            }
        )
    )
    done = cli(
        *("c7n-org", "run", "-c", accounts, "-s", "out", "--cache-period", "0"),
        *("-u", FOLDER / "contain-instance.yml"),
        account=ACCOUNT,
    )
    assert done.returncode == 0, done.stderr
    assert (is_contained(emulator, instance), is_contained(emulator, other)) == (True, False)


# --- by a function -------------------------------------------------------------------------------


def deploy(custodian: Custodian, name: str, made: Vars) -> str:
    custodian(name, account=WORKLOAD, vars=made, deploy=True)
    return f"custodian-{name}"


def finished(emulator: Emulator, function: str, count: int = 1) -> list[dict[str, Any]]:
    return emulator.wait_for_lambda(WORKLOAD, REGION, function, count)


def guardduty(instance: str, severity: float = 8) -> dict[str, Any]:
    event = json.loads((SAMPLES / "guardduty-ec2-network-connection.json").read_text())
    event.update(account=WORKLOAD, region=REGION)
    event["detail"]["accountId"] = WORKLOAD
    event["detail"]["severity"] = severity
    event["detail"]["resource"]["instanceDetails"]["instanceId"] = instance
    return dict(event)


def test_a_guardduty_finding_contains_the_instance_that_it_names(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    named, other = launch(emulator, 2, c7n_secops_auto_contain="allowed")
    function = deploy(custodian, "ec2-contain-on-guardduty", made)
    assert emulator.deliver_event(WORKLOAD, REGION, guardduty(named)) == 1
    (result,) = finished(emulator, function)
    assert result["error"] is None, result["log"]
    assert (is_contained(emulator, named), is_contained(emulator, other)) == (True, False)
    case = "GD-7ebc050b71c556086b524045c9067feb"
    assert tags_of(emulator, named)["c7n-secops:case"] == case
    assert case_of(emulator, named, case)["outcome"] == "contained"


@pytest.mark.parametrize(
    "tags, severity",
    [
        ({"c7n_secops_auto_contain": "allowed"}, 6.9),
        ({}, 8),
        ({"c7n_secops_auto_contain": "no"}, 8),
        ({"c7n_secops_auto_contain": "allowed", "c7n_secops_exempt": ""}, 8),
    ],
    ids=["medium-severity", "not-allowed", "allowed-otherwise", "exempt"],
)
def test_a_finding_contains_nothing_that_it_must_not(
    emulator: Emulator, custodian: Custodian, made: Vars, tags: dict[str, str], severity: float
) -> None:
    (instance,) = launch(emulator, **tags)
    emulator.clear_calls()
    run = custodian(
        "ec2-contain-on-guardduty",
        account=WORKLOAD,
        vars=made,
        event=guardduty(instance, severity),
    )
    assert run.resources == []
    assert changes(emulator) == set()
    assert not is_contained(emulator, instance)


def test_a_request_to_the_endpoint_contains_the_instance_that_it_names(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    named, other = launch(emulator, 2)
    api = endpoint(emulator, WORKLOAD)
    function = deploy(custodian, "ec2-contain-on-request", made)
    status, answer = emulator.call_api(
        api["Endpoint"],
        request(named, case=CASE),
        signer=emulator.session(ACCOUNT, REGION),
        headers=key_of(emulator, api),
    )
    assert status == 202, answer
    (result,) = finished(emulator, function)
    assert result["error"] is None, result["log"]
    assert (is_contained(emulator, named), is_contained(emulator, other)) == (True, False)
    assert case_of(emulator, named)["outcome"] == "contained"
    assert "user/bootstrap-administrator" in result["log"]


def test_a_request_leaves_an_exempt_instance_alone(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator, c7n_secops_exempt="build farm")
    event = {
        "source": "c7n-secops.incident-response",
        "detail-type": "Containment Requested",
        "account": WORKLOAD,
        "region": REGION,
        "detail": {"instance": instance, "case": CASE},
    }
    custodian("ec2-contain-on-request", account=WORKLOAD, vars=made, event=event)
    assert not is_contained(emulator, instance)


@pytest.mark.parametrize(
    "detail",
    [
        {"case": "../../other"},
        {"case": "x" * 65},
        {"case": ["INC-42"]},
        {"case": None},
        {"instance": "i-00000000000000000"},
        {"instance": {"id": "i-1"}},
        {"instance": "sg-0123456789abcdef0"},
    ],
)
def test_an_event_that_did_not_come_through_the_endpoint_gets_no_further(
    emulator: Emulator, custodian: Custodian, made: Vars, detail: dict[str, Any]
) -> None:
    """Whoever may put events on the bus can put anything."""
    (instance,) = launch(emulator)
    event = {
        "source": "c7n-secops.incident-response",
        "detail-type": "Containment Requested",
        "account": WORKLOAD,
        "region": REGION,
        "detail": {"instance": instance, "case": CASE, **detail},
    }
    emulator.clear_calls()
    with contextlib.suppress(PolicyExecutionError):
        custodian("ec2-contain-on-request", account=WORKLOAD, vars=made, event=event)
    assert changes(emulator) == set()
    assert not is_contained(emulator, instance)


def analyst_tags(emulator: Emulator, instance: str, **tags: str) -> None:
    marks = [{"Key": f"c7n-secops:{key.replace('_', '-')}", "Value": tags[key]} for key in tags]
    emulator.client("ec2", WORKLOAD, REGION).create_tags(Resources=[instance], Tags=marks)


def test_an_analyst_s_tag_contains_the_instance_and_our_own_tags_start_nothing(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    named, other = launch(emulator, 2)
    function = deploy(custodian, "ec2-contain-on-tag", made)
    emulator.seed("cloudtrail", WORKLOAD, REGION, "settings", {"trail": True})
    analyst_tags(emulator, other, note="nothing")
    analyst_tags(emulator, named, case=CASE, contain="yes")
    (result,) = finished(emulator, function)
    assert result["error"] is None, result["log"]
    assert (is_contained(emulator, named), is_contained(emulator, other)) == (True, False)
    assert case_of(emulator, named)["outcome"] == "contained"
    for call in emulator.calls("ec2", "CreateTags", WORKLOAD):
        keys = {value for name, value in call.params.items() if name.endswith(".Key")}
        event = {
            "source": "aws.ec2",
            "detail-type": "AWS API Call via CloudTrail",
            "detail": {
                "eventSource": "ec2.amazonaws.com",
                "eventName": "CreateTags",
                "requestParameters": {"tagSet": {"items": [{"key": key} for key in keys]}},
            },
        }
        started = emulator.deliver_event(WORKLOAD, REGION, event)
        assert started == ("c7n-secops:contain" in keys), keys


def test_a_tag_without_a_case_is_an_error_in_the_log_and_contains_nothing(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (instance,) = launch(emulator)
    function = deploy(custodian, "ec2-contain-on-tag", made)
    emulator.seed("cloudtrail", WORKLOAD, REGION, "settings", {"trail": True})
    analyst_tags(emulator, instance, contain="yes")
    (result,) = finished(emulator, function)
    assert result["error"] is not None
    assert "case-id '{case}' needs {case}" in result["log"]
    assert not is_contained(emulator, instance)


def test_the_sweep_contains_what_is_tagged_and_not_contained(
    emulator: Emulator, custodian: Custodian, made: Vars
) -> None:
    (wanted,) = launch(emulator, c7n_secops_contain="yes", c7n_secops_case=CASE)
    (exempt,) = launch(
        emulator, c7n_secops_contain="yes", c7n_secops_case=CASE, c7n_secops_exempt="x"
    )
    (other,) = launch(emulator, c7n_secops_case=CASE)
    run = custodian("ec2-contain-tagged", account=WORKLOAD, vars=made)
    assert [row["InstanceId"] for row in run.resources] == [wanted]
    contained = [is_contained(emulator, name) for name in (wanted, exempt, other)]
    assert contained == [True, False, False]
    emulator.clear_calls()
    assert custodian("ec2-contain-tagged", account=WORKLOAD, vars=made).resources == []
    assert changes(emulator) == set()


def test_every_policy_that_contains_notifies_the_topic_that_the_template_makes() -> None:
    template = (ROOT / "deploy" / "incident-response-account.yml").read_text()
    for file in FOLDER.glob("contain-*.yml"):
        for data in yaml.safe_load(file.read_text())["policies"]:
            topic = data["actions"][0]["notify"]["topic"]
            assert f"TopicName: {topic.rpartition(':')[2]}\n" in template
