"""Patching through Systems Manager: whom, how often, with what, and what is said of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from c7n_secops import deadline
from c7n_secops_ssm import patches
from c7n_secops_ssm.actions.ssm_patch import SsmPatch
from c7n_secops_ssm.patches import os_packages
from tests.emulator import Emulator
from tests.emulator.organisation import CATALOGUE, network_finding
from tests.harness import ACCOUNT, REGION, Custodian
from tests.ssm_fleet import (
    CRITICAL,
    PYTHON,
    commands_by_instance,
    find,
    launch,
    number_of_calls,
    policy,
    sent,
)

FINDING = {"type": "inspector-finding"}


def patch(**keys: Any) -> dict[str, Any]:
    return {"type": "ssm-patch", **{key.replace("_", "-"): value for key, value in keys.items()}}


def codes(run: Any) -> dict[str, str]:
    """Why each instance got no command, by id."""
    results = run.action("ssm-patch")["results"]
    return {row["InstanceId"]: row["code"] for row in results if "code" in row}


# --- the shipped policy


def test_fifteen_findings_on_one_instance_are_one_command(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    for number in range(15):
        find(emulator, name, findingArn=f"arn:aws:inspector2:us-east-1:{ACCOUNT}:finding/{number}")
    run = custodian("ec2-patch-critical")
    assert len(run.resources[0]["c7n:InspectorFindings"]) == 15
    (command,) = sent(emulator)
    assert command["InstanceIds"] == [name]
    assert command["Parameters"]["Operation"] == ["Install"]
    assert command["Parameters"]["RebootOption"] == ["NoReboot"]
    assert command["MaxConcurrency"] == command["MaxErrors"] == "10%"
    assert command["TimeoutSeconds"] == 600
    assert run.action("ssm-patch") == {
        "results": [
            {
                "InstanceId": name,
                "operation": "Install",
                "outcome": "sent",
                "CommandId": command["CommandId"],
            }
        ],
        "counts": {"sent": 1},
    }
    assert "policy:ec2-patch-critical action:ssm-patch sent:1" in run.log


def test_a_second_run_within_the_cooldown_sends_nothing(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    find(emulator, name)
    custodian("ec2-patch-critical")
    emulator.clear_calls()
    assert codes(custodian("ec2-patch-critical")) == {name: "Cooldown"}
    assert number_of_calls(emulator, "ListCommands") == 1
    assert number_of_calls(emulator, "SendCommand") == 0
    assert number_of_calls(emulator, "DescribeInstanceInformation") == 0


@pytest.mark.parametrize(
    "prepare, matched",
    [
        ({"tags": {"patch": "excluded"}}, 0),
        ({"PlatformName": "Microsoft Windows Server 2022", "PlatformType": "Windows"}, 1),
    ],
    ids=["excluded-by-tag", "windows"],
)
def test_the_policy_leaves_alone_what_it_is_not_for(
    emulator: Emulator, custodian: Custodian, prepare: dict[str, Any], matched: int
) -> None:
    (name,) = launch(emulator, **prepare)
    find(emulator, name)
    assert len(custodian("ec2-patch-critical").resources) == matched
    assert sent(emulator) == []


def test_a_finding_of_a_python_package_is_not_patched(
    emulator: Emulator, custodian: Custodian
) -> None:
    library, system = launch(emulator, 2)
    find(emulator, library, [PYTHON], severity="CRITICAL")
    find(emulator, system)
    run = custodian("ec2-patch-critical")
    assert len(run.resources) == 2
    assert codes(run) == {library: "NoPatchableFinding"}
    assert commands_by_instance(emulator) == {system: 1}


def test_the_event_policy_patches_the_instance_that_the_finding_names(
    emulator: Emulator, custodian: Custodian
) -> None:
    named, other = launch(emulator, 2)
    find(emulator, named)
    find(emulator, other)
    event = {
        "source": "aws.inspector2",
        "detail-type": "Inspector2 Finding",
        "account": ACCOUNT,
        "region": REGION,
        "detail": {
            "severity": "CRITICAL",
            "status": "ACTIVE",
            "resources": [{"type": "AWS_EC2_INSTANCE", "id": named}],
        },
    }
    custodian("ec2-patch-critical-on-finding", event=event)
    custodian("ec2-patch-critical-on-finding", event=event)
    assert commands_by_instance(emulator) == {named: 1}


# --- whom


@pytest.mark.parametrize(
    "agent, keys, code",
    [
        ({"PingStatus": "ConnectionLost"}, {}, "AgentOffline"),
        ({"absent": True}, {}, "NoAgent"),
        ({"PlatformName": "Ubuntu"}, {"platforms": ["Amazon Linux"]}, "Platform"),
        ({"AgentVersion": "2.0.833.9"}, {}, "AgentTooOld"),
        ({"AgentVersion": "3.9.0.0"}, {"min_agent": "3.10.0.0"}, "AgentTooOld"),
    ],
)
def test_an_instance_that_cannot_take_a_command_is_skipped_with_the_reason(
    emulator: Emulator, custodian: Custodian, agent: Any, keys: Any, code: str
) -> None:
    (bad,), (good,) = launch(emulator, 1, **agent), launch(emulator, 1, AgentVersion="3.10.0.0")
    run = custodian(policy(patch(**keys)))
    assert codes(run) == {bad: code}
    assert run.not_evaluated == []
    assert commands_by_instance(emulator) == {good: 1}


def test_a_stopped_instance_is_skipped_without_a_call(
    emulator: Emulator, custodian: Custodian
) -> None:
    (name,) = launch(emulator)
    emulator.client("ec2").stop_instances(InstanceIds=[name])
    run = custodian(policy(patch()))
    assert codes(run) == {name: "NotRunning"}
    assert emulator.calls("ssm") == []


def test_a_fleet_takes_the_fewest_calls(emulator: Emulator, custodian: Custodian) -> None:
    ids = launch(emulator, 201)
    run = custodian(policy(patch()))
    assert run.action("ssm-patch")["counts"] == {"sent": 201}
    assert Counter(call.operation for call in emulator.calls("ssm")) == {
        "ListCommands": 1,
        "DescribeInstanceInformation": 5,
        "SendCommand": 5,
    }
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)
    snapshots = {command["Parameters"]["SnapshotId"][0] for command in sent(emulator)}
    assert len(snapshots) == 1


# --- how often


def test_a_running_command_is_not_overtaken(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress")
    custodian(policy(patch(cooldown="0s")))
    assert codes(custodian(policy(patch(cooldown="0s")))) == {name: "CommandRunning"}
    emulator.finish_commands(ACCOUNT, REGION)
    custodian(policy(patch(cooldown="0s")))
    assert commands_by_instance(emulator) == {name: 2}


def test_a_scan_does_not_put_off_an_installation(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    custodian(policy(patch(operation="Scan")))
    custodian(policy(patch()))
    assert [c["Parameters"]["Operation"] for c in sent(emulator)] == [["Scan"], ["Install"]]


def test_nothing_is_sent_when_the_commands_cannot_be_listed(
    emulator: Emulator, custodian: Custodian
) -> None:
    ids = launch(emulator, 2)
    emulator.fault("ssm", "ListCommands", code="AccessDeniedException", times=None)
    run = custodian(policy(patch()))
    assert {row["resource"]: row["code"] for row in run.not_evaluated} == dict.fromkeys(
        ids, "AccessDeniedException"
    )
    assert run.action("ssm-patch")["counts"] == {"not-evaluated": 2}
    assert number_of_calls(emulator, "SendCommand") == 0


def test_a_refused_batch_of_agents_does_not_stop_the_others(
    emulator: Emulator, custodian: Custodian
) -> None:
    launch(emulator, 60)
    emulator.fault(
        "ssm", "DescribeInstanceInformation", code="AccessDeniedException", times=1, after=1
    )
    run = custodian(policy(patch()))
    assert run.action("ssm-patch")["counts"] == {"sent": 50, "not-evaluated": 10}
    assert len(run.not_evaluated) == 10


def test_a_lost_answer_gives_each_instance_one_command(
    emulator: Emulator, custodian: Custodian
) -> None:
    ids = launch(emulator, 3)
    emulator.fault("ssm", "SendCommand", kind="crash", when="after")
    run = custodian(policy(patch()))
    assert run.action("ssm-patch")["counts"] == {"sent": 3}
    assert commands_by_instance(emulator) == dict.fromkeys(ids, 1)


# --- with what


def test_a_list_of_packages_is_made_for_each_platform(
    emulator: Emulator, custodian: Custodian
) -> None:
    emulator.client("s3").create_bucket(Bucket="patch-lists")
    (amazon,) = launch(emulator)
    (amazon_too,) = launch(emulator)
    (ubuntu,) = launch(emulator, 1, PlatformName="Ubuntu")
    (windows,) = launch(emulator, 1, PlatformName="Windows", PlatformType="Windows")
    xz, curl = (v for v in CATALOGUE if v.severity == "CRITICAL")
    low = next(v for v in CATALOGUE if v.package == "libxml2")
    find(emulator, amazon, [xz, low, PYTHON])
    find(emulator, amazon_too, [curl, xz])
    find(emulator, ubuntu, [curl])
    find(emulator, windows, [curl])
    run = custodian(
        policy(
            patch(
                packages="findings",
                findings={"severity": ["CRITICAL"]},
                output={"bucket": "patch-lists", "prefix": "c7n/lists"},
            ),
            FINDING,
        )
    )
    assert codes(run) == {windows: "Platform"}
    first, second = sorted(sent(emulator), key=lambda c: -len(c["InstanceIds"]))
    assert set(first["InstanceIds"]) == {amazon, amazon_too}
    assert second["InstanceIds"] == [ubuntu]
    assert first["OutputS3BucketName"] == "patch-lists"
    (snapshot,) = first["Parameters"]["SnapshotId"]
    assert second["Parameters"]["SnapshotId"] == [snapshot]
    lists = {}
    for command, platform in ((first, "amazon-linux"), (second, "ubuntu")):
        key = f"c7n/lists/{snapshot}/{platform}.yaml"
        assert command["Parameters"]["InstallOverrideList"] == [f"s3://patch-lists/{key}"]
        stored = emulator.client("s3").get_object(Bucket="patch-lists", Key=key)
        assert stored["ServerSideEncryption"] == "aws:kms"
        lists[platform] = json.loads(stored["Body"].read())
    assert lists == {
        "amazon-linux": {"patches": [{"id": "curl.*"}, {"id": "xz.*"}]},
        "ubuntu": {"patches": [{"id": "curl.*"}]},
    }


@pytest.mark.parametrize("name", ["*", "open*", "a\nb", "", "../x", "-e", "x" * 201], ids=repr)
def test_a_package_that_is_named_like_a_pattern_is_never_listed(name: str) -> None:
    packages = [{"name": name, "packageManager": "OS"}, {"name": "g++", "packageManager": "OS"}]
    finding = {"packageVulnerabilityDetails": {"vulnerablePackages": packages}}
    assert os_packages(finding) == ["g++"]


def test_a_bucket_is_written_only_for_lists() -> None:
    assert "s3:PutObject" in SsmPatch({}).get_permissions()
    assert "s3:PutObject" in SsmPatch(patch(packages="findings")).get_permissions()
    assert "s3:PutObject" not in SsmPatch(patch()).get_permissions()


def test_without_its_list_nothing_is_sent(emulator: Emulator, custodian: Custodian) -> None:
    (name,) = launch(emulator)
    find(emulator, name)
    run = custodian(policy(patch(packages="findings", output={"bucket": "there-is-none"}), FINDING))
    (row,) = run.action("ssm-patch")["results"]
    assert (row["outcome"], row["code"]) == ("failed", "NoSuchBucket")
    assert sent(emulator) == []


def test_output_reboot_and_limits_are_passed_on(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    custodian(
        policy(
            patch(
                reboot="RebootIfNeeded",
                max_concurrency="7",
                max_errors="0",
                output={"bucket": "out-put", "prefix": "logs", "log-group": "/ssm/patch"},
            )
        )
    )
    (command,) = sent(emulator)
    assert command["Parameters"]["RebootOption"] == ["RebootIfNeeded"]
    assert (command["MaxConcurrency"], command["MaxErrors"]) == ("7", "0")
    assert (command["OutputS3BucketName"], command["OutputS3KeyPrefix"]) == ("out-put", "logs")
    assert command["CloudWatchOutputConfig"] == {
        "CloudWatchLogGroupName": "/ssm/patch",
        "CloudWatchOutputEnabled": True,
    }
    assert "p" in command["Comment"].split()


PATCHABLE = {
    "type": "PACKAGE_VULNERABILITY",
    "severity": "HIGH",
    "fixAvailable": "YES",
    "exploitAvailable": "NO",
    "epss": {"score": 0.4},
    "packageVulnerabilityDetails": {"vulnerablePackages": [{"name": "a", "packageManager": "OS"}]},
}


@pytest.mark.parametrize(
    "change, wanted, counts",
    [
        ({}, {}, True),
        ({}, {"severity": ["CRITICAL"]}, False),
        ({}, {"severity": ["CRITICAL", "HIGH"]}, True),
        ({}, {"fix": ["PARTIAL"]}, False),
        ({}, {"fix": ["YES"]}, True),
        ({}, {"fix": [True]}, True),
        ({"fixAvailable": "NO"}, {"fix": [False]}, True),
        ({}, {"exploit": True}, False),
        ({}, {"exploit": False}, True),
        ({}, {"exploit": "any"}, True),
        ({"exploitAvailable": "YES"}, {"exploit": True}, True),
        ({"exploitAvailable": None}, {"exploit": False}, False),
        ({}, {"min-epss": 0.4}, True),
        ({}, {"min-epss": 0.41}, False),
        ({"epss": {}}, {"min-epss": 0}, False),
    ],
)
def test_which_findings_count(change: Any, wanted: Any, counts: bool) -> None:
    assert bool(patches.patchable([{**PATCHABLE, **change}], wanted)) is counts


def test_an_open_port_is_not_patched() -> None:
    assert patches.patchable([network_finding(ACCOUNT, REGION, "i-1")], {}) == []


# --- waiting


def test_a_wait_says_how_it_ended_on_each_instance(
    emulator: Emulator, custodian: Custodian
) -> None:
    good, bad, slow = launch(emulator, 3)
    emulator.set_command_behaviour(ACCOUNT, REGION, "Success", {bad: "Failed", slow: "InProgress"})
    run = custodian(policy(patch(wait=1)))
    results = {row["InstanceId"]: row for row in run.action("ssm-patch")["results"]}
    assert {name: row["outcome"] for name, row in results.items()} == {
        good: "succeeded",
        bad: "failed",
        slow: "running",
    }
    assert results[bad]["reason"] == "Failed"
    assert len({row["CommandId"] for row in results.values()}) == 1


def test_a_wait_ends_when_the_commands_do(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    start = time.monotonic()
    run = custodian(policy(patch(wait=60)))
    assert run.action("ssm-patch")["counts"] == {"succeeded": 1}
    assert time.monotonic() - start < 30


def test_a_wait_ends_before_the_lambda_does(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    emulator.set_command_behaviour(ACCOUNT, REGION, "InProgress")
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 1000 * (deadline.RESERVE + 1))
    start = time.monotonic()
    with deadline.of_lambda(context):
        run = custodian(policy(patch(wait=60)))
    assert run.action("ssm-patch")["counts"] == {"running": 1}
    assert time.monotonic() - start < 30


def test_results_that_cannot_be_read_leave_the_command_sent(
    emulator: Emulator, custodian: Custodian
) -> None:
    launch(emulator)
    emulator.fault("ssm", "ListCommandInvocations", code="AccessDeniedException", times=None)
    (row,) = custodian(policy(patch(wait=1))).action("ssm-patch")["results"]
    assert (row["outcome"], row["code"]) == ("sent", "AccessDeniedException")
    assert row["CommandId"]


# --- what an author gets wrong


@pytest.mark.parametrize(
    "keys, filters, says",
    [
        ({"findings": {"fix": ["YES"]}}, [], "findings needs the findings of an instance; add an"),
        ({"packages": "findings", "output": {"bucket": "abc"}}, [], "inspector-finding filter"),
        ({"packages": "findings"}, [FINDING], "set output.bucket"),
        ({"packages": "findings", "output": {"log-group": "x"}}, [FINDING], "set output.bucket"),
        (
            {"packages": "findings", "operation": "Scan", "output": {"bucket": "abc"}},
            [FINDING],
            "no effect on operation Scan",
        ),
        ({"cooldown": "31d"}, [], "set at most 30d"),
        ({"cooldown": "12"}, [], "cooldown"),
        ({"timeout": 29}, [], "timeout"),
        ({"max_errors": "101%"}, [], "max-errors"),
        ({"max_concurrency": "0"}, [], "max-concurrency"),
        ({"min_agent": "new"}, [], "min-agent"),
        ({"output": {"prefix": "without-a-bucket"}}, [], "bucket"),
        ({"output": {"bucket": "abc", "key": "x"}}, [], "key"),
        ({"findings": {"epss": 1}}, [FINDING], "epss"),
        ({"reboot": True}, [], "reboot"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    custodian: Custodian, keys: Any, filters: Any, says: str
) -> None:
    with pytest.raises(PolicyValidationError, match="ssm-patch") as error:
        custodian(policy(patch(**keys), *filters))
    assert says in str(error.value)


def test_thirty_days_of_cooldown_are_allowed(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    assert custodian(policy(patch(cooldown="30d"))).action("ssm-patch")["counts"] == {"sent": 1}


def test_findings_inside_or_leave_the_instances_without_them_alone(
    emulator: Emulator, custodian: Custodian
) -> None:
    found, tagged = launch(emulator)[0], launch(emulator, 1, tags={"patch": "now"})[0]
    find(emulator, found, [CRITICAL])
    run = custodian(
        policy(patch(findings={"severity": ["CRITICAL"]}), {"or": [{"tag:patch": "now"}, FINDING]})
    )
    assert codes(run) == {tagged: "NoPatchableFinding"}
    assert commands_by_instance(emulator) == {found: 1}


def test_a_dry_run_sends_nothing_and_says_what_it_would(
    emulator: Emulator, custodian: Custodian
) -> None:
    patched, python = launch(emulator, 2)
    find(emulator, patched)
    find(emulator, python, [PYTHON])
    run = custodian(policy(patch(), FINDING), dryrun=True)
    plan = {
        row.pop("InstanceId"): row for row in json.loads((run.output / "plan.json").read_text())
    }
    assert plan == {
        patched: {
            "action": "action:ssm-patch",
            "document": "AWS-RunPatchBaseline",
            "operations": ["Install"],
        },
        python: {
            "action": "action:ssm-patch",
            "skipped": "no OS package among the findings that are wanted",
        },
    }
    assert emulator.calls("ssm") == []
