"""What a run found, as code scanning takes it: results, and what cannot be said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from c7n_secops_tools.report.command import report
from tests.harness import POLICIES
from tests.test_authoring import of
from tests.test_cli import FAILED, MATCHED, REFUSED, policy_output

HOSTILE = "\N{RIGHT-TO-LEFT OVERRIDE}[free](https://x.invalid/{0})\n<script>"
PLAIN = r"\[free\](https://x.invalid/{{0}})"


def metadata(name: str, account: str = "111111111111", **policy: Any) -> dict[str, Any]:
    return {
        "policy": {"name": name, "resource": "aws.ec2", **policy},
        "config": {"account_id": account, "region": "eu-west-1"},
    }


def written(output: Path, *arguments: str | Path) -> dict[str, Any]:
    log = output.parent / "found.sarif"
    words = [str(word) for word in (output, "--sarif", log, *arguments)]
    done = CliRunner().invoke(report, words)
    assert done.exit_code in (0, 1, 2), done.output
    return of(log)


def notifications(run: dict[str, Any]) -> list[dict[str, Any]]:
    (invocation,) = run["invocations"]
    return list(invocation["toolExecutionNotifications"])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


@pytest.mark.parametrize(
    ("severity", "level", "score"),
    [
        ("critical", "error", "9.5"),
        ("high", "error", "8.0"),
        ("medium", "warning", "5.5"),
        ("low", "note", "2.0"),
        ("urgent", "warning", None),
    ],
)
def test_a_match_is_a_result_as_bad_as_its_policy_says(
    output: Path, severity: str, level: str, score: str | None
) -> None:
    told = metadata(
        "ec2-x", metadata={"severity": severity, "remediation": "Stop it."}, description="Runs."
    )
    policy_output(output, "ec2-x", metadata=told, resources=MATCHED)
    run = written(output)
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["id"] == "ec2-x"
    assert rule["shortDescription"]["text"] == "Runs."
    assert rule["help"]["text"] == "Stop it."
    assert rule.get("properties", {}).get("security-severity") == score
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("ec2-x", level)
    assert result["message"]["text"] == "i-1 in 111111111111 eu-west-1 matches ec2-x"
    (location,) = result["locations"]
    assert "physicalLocation" not in location
    (logical,) = location["logicalLocations"]
    assert logical["fullyQualifiedName"] == "111111111111/eu-west-1/i-1"
    assert run["invocations"][0]["executionSuccessful"] is True


def test_a_result_stands_at_its_policy_s_line(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(POLICIES.parent)
    name = "ec2-patch-critical"
    policy_output(output, name, metadata=metadata(name), resources=MATCHED, not_evaluated=REFUSED)
    run = written(output, "--policies", POLICIES)
    for found in (*run["results"], *notifications(run)):
        place = found["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "policies/inspector/patch-critical.yml"
        file = POLICIES / "inspector" / "patch-critical.yml"
        assert name in file.read_text().splitlines()[place["region"]["startLine"] - 1]


def test_results_of_one_policy_are_told_apart_and_the_same_in_the_next_run(output: Path) -> None:
    for account in ("111111111111", "222222222222"):
        told = metadata("ec2-x", account)
        policy_output(output / account, "ec2-x", metadata=told, resources=[*MATCHED, {"Id": "2"}])
    fingerprints = [
        [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
        for run in (written(output), written(output))
    ]
    assert len(set(fingerprints[0])) == 4
    assert fingerprints[0] == fingerprints[1]


def test_what_was_not_evaluated_is_no_result_and_is_told(output: Path) -> None:
    policy_output(output, "ec2-x", metadata=metadata("ec2-x"), not_evaluated=REFUSED)
    unread = {"results": [{"InstanceId": "i-2", "outcome": "not-evaluated", "code": "Lost"}]}
    policy_output(output, "ec2-y", metadata=metadata("ec2-y"), **{"action-ssm-patch": unread})
    run = written(output)
    assert run["results"] == []
    first, second = notifications(run)
    assert first["level"] == "warning"
    assert first["descriptor"]["id"] == "AccessDenied"
    assert first["associatedRule"]["id"] == "ec2-x"
    assert first["message"]["text"] == (
        "i-1 in 111111111111 eu-west-1 was not evaluated by ec2-x: no"
    )
    assert second["descriptor"]["id"] == "Lost"
    assert "i-2" in second["message"]["text"]


def test_a_failed_policy_and_a_broken_file_are_no_success(output: Path) -> None:
    failed = {**metadata("ec2-x"), **FAILED}
    policy_output(output, "ec2-x", metadata=failed, resources=None)
    run = written(output)
    assert run["invocations"][0]["executionSuccessful"] is False
    (notification,) = notifications(run)
    assert (notification["level"], notification["descriptor"]["id"]) == ("error", "PolicyFailed")
    broken = policy_output(output, "ec2-y", metadata=metadata("ec2-y")) / "resources.json"
    broken.write_text("[{")
    os.utime(broken)
    run = written(output)
    assert [each["descriptor"]["id"] for each in notifications(run)][-1] == "Unreadable"
    assert str(broken) in notifications(run)[-1]["message"]["text"]


def test_hostile_text_is_plain_data(output: Path) -> None:
    row = {"InstanceId": "i-1", "Tags": [{"Key": "Name", "Value": HOSTILE}]}
    told = metadata("ec2-x", description=HOSTILE, metadata={"severity": HOSTILE})
    policy_output(
        output,
        "ec2-x",
        metadata=told,
        resources=[row],
        not_evaluated=[{**REFUSED[0], "reason": HOSTILE, "code": HOSTILE}],
    )
    run = written(output)
    (result,), (notification,) = run["results"], notifications(run)
    (rule,) = run["tool"]["driver"]["rules"]
    for text in (
        result["message"]["text"],
        notification["message"]["text"],
        rule["shortDescription"]["text"],
    ):
        assert PLAIN in text
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in notification["descriptor"]["id"]
    policy_output(output, "odd", metadata={"policy": {"name": "odd", "metadata": [1]}})
    assert len(written(output)["tool"]["driver"]["rules"]) == 2


def test_a_file_that_cannot_be_written_is_bad_input(output: Path) -> None:
    policy_output(output)
    done = CliRunner().invoke(report, [str(output), "--sarif", str(output / "a" / "b")])
    assert done.exit_code == 1
    assert "cannot write" in done.output
