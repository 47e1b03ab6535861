"""The filter on Systems Manager agents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION, Custodian
from tests.ssm_fleet import launch, number_of_calls, policy


def ago(**length: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**length)).isoformat()


def ids(run: Any) -> list[str]:
    return [resource["InstanceId"] for resource in run.resources]


def agent(**keys: Any) -> dict[str, Any]:
    return {"type": "ssm-agent", **{key.replace("_", "-"): value for key, value in keys.items()}}


@pytest.mark.parametrize(
    "keys, match, near_miss",
    [
        ({"absent": True}, {"absent": True}, {"PingStatus": "Inactive"}),
        ({"absent": False}, {"PingStatus": "Inactive"}, {"absent": True}),
        ({}, {"PingStatus": "Inactive"}, {"absent": True}),
        (
            {"ping_status": ["ConnectionLost", "Inactive"]},
            {"PingStatus": "ConnectionLost"},
            {"PingStatus": "Online"},
        ),
        (
            {"older_than": "3.10.0.0"},
            {"AgentVersion": "3.9.99.0"},
            {"AgentVersion": "3.10.0.0"},
        ),
        (
            {"min_version": "3.10.0.0"},
            {"AgentVersion": "3.10.0.0"},
            {"AgentVersion": "3.9.99.0"},
        ),
        ({"latest": False}, {"IsLatestVersion": False}, {"IsLatestVersion": True}),
        ({"latest": True}, {"IsLatestVersion": True}, {"IsLatestVersion": False}),
        (
            {"last_ping": {"hours": 24}},
            {"LastPingDateTime": ago(hours=25)},
            {"LastPingDateTime": ago(hours=23)},
        ),
        (
            {"last_ping": {"op": "lt", "days": 1}},
            {"LastPingDateTime": ago(hours=23)},
            {"LastPingDateTime": ago(hours=25)},
        ),
        (
            {"ping_status": ["Online"], "older_than": "3.0"},
            {"AgentVersion": "2.9"},
            {"AgentVersion": "2.9", "PingStatus": "Inactive"},
        ),
    ],
)
def test_what_matches_and_what_just_does_not(
    emulator: Emulator, custodian: Custodian, keys: Any, match: Any, near_miss: Any
) -> None:
    (wanted,), _ = launch(emulator, 1, **match), launch(emulator, 1, **near_miss)
    run = custodian(policy(None, agent(**keys)))
    assert ids(run) == [wanted]
    assert run.not_evaluated == []


@pytest.mark.parametrize(
    "name, match, near_miss",
    [
        ("ec2-ssm-agent-absent", {"absent": True}, {"PingStatus": "ConnectionLost"}),
        (
            "ec2-ssm-agent-offline",
            {"PingStatus": "ConnectionLost", "LastPingDateTime": ago(hours=25)},
            {"PingStatus": "ConnectionLost", "LastPingDateTime": ago(hours=23)},
        ),
        ("ec2-ssm-agent-outdated", {"IsLatestVersion": False}, {"IsLatestVersion": True}),
    ],
)
def test_the_shipped_reports(
    emulator: Emulator, custodian: Custodian, name: str, match: Any, near_miss: Any
) -> None:
    (wanted,), _ = launch(emulator, 1, **match), launch(emulator, 1, **near_miss)
    (stopped,) = launch(emulator, 1, **match)
    emulator.client("ec2").stop_instances(InstanceIds=[stopped])
    assert ids(custodian(name)) == [wanted]


def test_the_annotation_is_aws_row_or_its_absence(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator, 1, PlatformName="Ubuntu")
    (there,) = custodian(policy(None, agent())).resources
    assert there["c7n:SsmAgent"]["PlatformName"] == "Ubuntu"
    emulator.set_agent(ACCOUNT, REGION, there["InstanceId"], absent=True)
    (gone,) = custodian(policy(None, agent(absent=True))).resources
    assert gone["c7n:SsmAgent"] == {"absent": True}


def test_rows_beyond_the_tenth_are_seen(emulator: Emulator, custodian: Custodian) -> None:
    names = launch(emulator, 51)
    assert sorted(ids(custodian(policy(None, agent(ping_status=["Online"]))))) == sorted(names)
    assert number_of_calls(emulator, "DescribeInstanceInformation") == 2


@pytest.mark.parametrize(
    "fault",
    [{"code": "AccessDeniedException"}, {}, {"kind": "crash"}],
    ids=["denied", "throttled", "hung-up"],
)
@pytest.mark.parametrize("keys", [{"absent": True}, {"ping_status": ["Online"]}])
def test_a_refused_read_is_reported_not_passed(
    emulator: Emulator, custodian: Custodian, fault: dict[str, str], keys: dict[str, Any]
) -> None:
    (name,) = launch(emulator)
    emulator.fault("ssm", "DescribeInstanceInformation", times=None, **fault)
    run = custodian(policy(None, agent(**keys)))
    assert run.resources == []
    assert [row["resource"] for row in run.not_evaluated] == [name]


def test_a_refused_batch_leaves_the_others(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator, 60)
    emulator.fault("ssm", "DescribeInstanceInformation", code="AccessDenied", times=1)
    run = custodian(policy(None, agent()))
    assert (len(run.resources), len(run.not_evaluated)) == (10, 50)


@pytest.mark.parametrize(
    "condition, says",
    [
        ({"not": [agent(ping_status=["Online"])]}, "cannot be inside not"),
        ({"not": [{"or": [agent(latest=True)]}]}, "cannot be inside not"),
        (agent(absent=True, latest=True), "have no latest"),
        (agent(min_version="3.1.0.0", older_than="3.1.0.0"), "swap them"),
        (agent(ping_status=["Offline"]), "ping-status"),
        (agent(last_ping={"op": "gt"}), "last-ping"),
        (agent(last_ping={"hours": 1, "days": 1}), "last-ping"),
        (agent(last_ping={"hours": 1, "weeks": 1}), "weeks"),
        (agent(older_than="3"), "older-than"),
        (agent(min_version="3.x"), "min-version"),
        (agent(pingstatus=["Online"]), "pingstatus"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    custodian: Custodian, condition: dict[str, Any], says: str
) -> None:
    with pytest.raises(PolicyValidationError, match="ssm-agent") as error:
        custodian(policy(None, condition))
    assert says in str(error.value)
