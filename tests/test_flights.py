"""Recorded answers: they have AWS's shapes, hold nothing private, and still give the same run."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from c7n_secops_tools.testing.flights import Replay, left_behind, scrub
from c7n_secops_tools.testing.runs import Run, run_policy
from c7n_secops_tools.testing.shapes import Problem, check_answer, check_flight
from tests.emulator import Emulator
from tests.flights.record import FOLDER, POLICY, fill, record
from tests.harness import ACCOUNT, REGION

FLIGHTS = sorted(FOLDER.parent.rglob("*.json"))
NOWHERE = "http://127.0.0.1:9"
every_flight = pytest.mark.parametrize("file", FLIGHTS, ids=lambda file: file.name)


def replay(folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the recorded policy where no call can leave this process."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "replayed")
    return run_policy(POLICY, output, account=ACCOUNT, region=REGION, on_session=[Replay(folder)])


def names(run: Run) -> list[str]:
    return sorted(
        tag["Value"]
        for resource in run.resources
        for tag in resource["Tags"]
        if tag["Key"] == "Name"
    )


# --- the flights in the tree --------------------------------------------------------------------


def test_the_flights_cover_what_the_policy_asks() -> None:
    operations = {file.name.rpartition("_")[0] for file in FLIGHTS}
    assert operations >= {
        "ec2.DescribeInstances",
        "inspector2.ListCoverage",
        "inspector2.ListFindings",
        "ssm.DescribeInstanceInformation",
    }


@every_flight
def test_a_flight_has_the_shape_of_aws_s_answers(file: Path) -> None:
    assert [problem for problem in check_flight(file) if problem.hard] == []


@every_flight
def test_a_flight_holds_nothing_private(file: Path) -> None:
    assert list(left_behind(file)) == []


def test_the_recorded_run_replays_with_every_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replay(FOLDER, tmp_path, monkeypatch)
    assert names(run) == ["unmanaged", "vulnerable"]
    annotated = {key: names_with(run, key) for key in ("c7n:InspectorFindings", "c7n:SsmAgent")}
    assert annotated == {"c7n:InspectorFindings": ["vulnerable"], "c7n:SsmAgent": ["unmanaged"]}
    assert [row["code"] for row in run.not_evaluated] == ["UNMANAGED_EC2_INSTANCE"]


def names_with(run: Run, key: str) -> list[str]:
    return [
        tag["Value"]
        for resource in run.resources
        if key in resource
        for tag in resource["Tags"]
        if tag["Key"] == "Name"
    ]


# --- recording ----------------------------------------------------------------------------------


def test_what_was_recorded_replays_as_it_ran(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(emulator)
    for name, value in emulator.environ(ACCOUNT, REGION).items():
        monkeypatch.setenv(name, value)
    files = record(emulator, tmp_path / "flight", tmp_path / "recorded")
    assert len(files) >= 4
    assert [list(left_behind(file)) for file in files] == [[] for _ in files]
    emulator.clear_calls()
    replayed = replay(tmp_path / "flight", tmp_path / "replayed", monkeypatch)
    assert emulator.calls() == []
    ran = Run(tmp_path / "recorded" / POLICY["name"])
    assert names(replayed) == names(ran) == ["unmanaged", "vulnerable"]
    assert [row["code"] for row in replayed.not_evaluated] == [
        row["code"] for row in ran.not_evaluated
    ]


def test_a_call_without_a_recording_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match=r"DescribeInstances_1.*not found"):
        replay(tmp_path / "empty", tmp_path / "out", monkeypatch)


def test_scrubbing_takes_ids_and_secrets_and_leaves_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "iam.CreateAccessKey_1.json"
    answer = {
        "AccessKey": {
            "AccessKeyId": "AKIA2222333344445555",
            "SecretAccessKey": "hunter2hunter2hunter2",
            "UserName": "deploy",
        },
        "Arn": "arn:aws:iam::999988887777:user/deploy",
        "Owner": "999988887777",
        "Other": "arn:aws:iam::666655554444:role/x",
        "Mail": "somebody@corp.example.org",
        "InstanceId": "i-0123456789abcdef0",
        "Digest": "sha256:a999988887777b",
        "Epoch": 1700000000000,
        "NextToken": "page-2",
        "ResponseMetadata": {"RequestId": "r", "HTTPHeaders": {"date": "today"}},
    }
    file.write_text(json.dumps({"status_code": 200, "data": answer}))
    assert list(left_behind(file)) != []
    assert scrub(tmp_path) == [file]
    assert list(left_behind(file)) == []
    assert json.loads(file.read_text())["data"] == {
        "AccessKey": {
            "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "SecretAccessKey": "scrubbed",
            "UserName": "deploy",
        },
        "Arn": "arn:aws:iam::123456789012:user/deploy",
        "Owner": "123456789012",
        "Other": "arn:aws:iam::111122223333:role/x",
        "Mail": "user@example.com",
        "InstanceId": "i-0123456789abcdef0",
        "Digest": "sha256:a999988887777b",
        "Epoch": 1700000000000,
        "NextToken": "page-2",
    }


# --- the checker itself -------------------------------------------------------------------------

AGENT: dict[str, Any] = {
    "InstanceId": "i-0123456789abcdef0",
    "PingStatus": "Online",
    "LastPingDateTime": datetime(2026, 1, 31, tzinfo=timezone.utc),
    "IsLatestVersion": True,
}


@pytest.mark.parametrize(
    ("changes", "kind", "hard"),
    [
        ({"Instanceid": "i-1"}, "case", True),
        ({"Nonsense": "x"}, "unknown", True),
        ({"IsLatestVersion": "true"}, "type", True),
        ({"InstanceId": 7}, "type", True),
        ({"LastPingDateTime": "yesterday"}, "type", True),
        ({"PingStatus": "Dreaming"}, "enum", False),
        ({"AgentVersion": None}, "null", False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_checker_finds_what_aws_does_not_answer(
    changes: dict[str, Any], kind: str, hard: bool
) -> None:
    answer = {"InstanceInformationList": [{**AGENT, **changes}]}
    (problem,) = check_answer("ssm", "DescribeInstanceInformation", answer)
    assert (problem.kind, problem.hard) == (kind, hard)
    assert problem.path.startswith(".InstanceInformationList[]")


def test_the_checker_accepts_what_aws_answers() -> None:
    answer = {"InstanceInformationList": [AGENT], "ResponseMetadata": {"RequestId": "r"}}
    assert check_answer("ssm", "DescribeInstanceInformation", answer) == []


@pytest.mark.parametrize(
    ("service", "operation", "kind"),
    [
        ("ssm", "DescribeNonsense", "operation"),
        ("nonsense", "ListFindings", "service"),
        ("inspector2", "ListFindings", "missing"),
    ],
)
def test_the_checker_knows_services_operations_and_what_they_require(
    service: str, operation: str, kind: str
) -> None:
    answer = {"findings": [{"findingArn": "arn:aws:inspector2:us-east-1:1:finding/1"}]}
    assert kind in {problem.kind for problem in check_answer(service, operation, answer)}


def test_a_file_is_found_by_the_endpoint_prefix_that_placebo_names_it_by(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.ListMetrics_1.json"
    file.write_text(json.dumps({"status_code": 200, "data": {"Metrics": [], "Wrong": 1}}))
    assert check_flight(file) == [
        Problem("unknown", ".Wrong", "ListMetricsOutput has no such member")
    ]


def test_an_error_that_was_recorded_is_not_checked(tmp_path: Path) -> None:
    file = tmp_path / "ssm.DescribeInstanceInformation_1.json"
    file.write_text(json.dumps({"status_code": 400, "data": {"Error": {"Code": "Denied"}}}))
    assert check_flight(file) == []
