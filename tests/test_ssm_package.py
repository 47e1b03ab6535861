"""Packages and the agent itself, through Systems Manager."""

from __future__ import annotations

from typing import Any

import pytest
from c7n.exceptions import PolicyValidationError

from tests.emulator import Emulator
from tests.emulator.ssm import LATEST_AGENT, OLD_AGENT
from tests.harness import Custodian
from tests.ssm_fleet import commands_by_instance, launch, number_of_calls, policy, sent

CONFIGURE = "AWS-ConfigureAWSPackage"
UPDATE = "AWS-UpdateSSMAgent"


def packages(*wanted: dict[str, str], **keys: Any) -> dict[str, Any]:
    return policy({"type": "ssm-package", "packages": list(wanted), **keys})


def update(**keys: Any) -> dict[str, Any]:
    return policy({"type": "ssm-update-agent", **keys})


def test_the_shipped_policy_installs_on_instances_whose_team_asked_for_it(
    emulator: Emulator, custodian: Custodian
) -> None:
    (asked,) = launch(emulator, 1, tags={"ssm-packages": "managed"})
    launch(emulator, 1)
    run = custodian("ec2-ssm-packages")
    assert commands_by_instance(emulator, CONFIGURE) == {asked: 2}
    assert {row["operation"] for row in run.action("ssm-package")["results"]} == {
        "Install AmazonCloudWatchAgent",
        "Install AmazonEFSUtils",
    }
    assert custodian("ec2-ssm-packages").action("ssm-package")["counts"] == {"skipped": 2}
    assert commands_by_instance(emulator, CONFIGURE) == {asked: 2}


def test_each_package_is_one_command_for_fifty_instances_after_one_look(
    emulator: Emulator, custodian: Custodian
) -> None:
    launch(emulator, 51)
    wanted = (
        {
            "name": "Agent",
            "version": "1.2",
            "action": "Uninstall",
            "installation-type": "In-place update",
        },
        {"name": "Other"},
    )
    custodian(packages(*wanted))
    assert number_of_calls(emulator, "ListCommands") == 1
    assert number_of_calls(emulator, "DescribeInstanceInformation") == 2
    first, _, third, _ = sent(emulator, CONFIGURE)
    assert first["Parameters"] == {
        "action": ["Uninstall"],
        "name": ["Agent"],
        "version": ["1.2"],
        "installationType": ["In-place update"],
    }
    assert third["Parameters"] == {"action": ["Install"], "name": ["Other"]}
    assert (len(first["InstanceIds"]), len(third["InstanceIds"])) == (50, 50)


def test_the_cooldown_is_of_the_package(emulator: Emulator, custodian: Custodian) -> None:
    launch(emulator)
    custodian(packages({"name": "First"}))
    run = custodian(packages({"name": "First"}, {"name": "Second"}))
    outcomes = {row["operation"]: row["outcome"] for row in run.action("ssm-package")["results"]}
    assert outcomes == {"Install First": "skipped", "Install Second": "sent"}


def test_an_agent_too_old_for_distributor_is_skipped(
    emulator: Emulator, custodian: Custodian
) -> None:
    launch(emulator, 1, AgentVersion="2.3.273.9")
    (row,) = custodian(packages({"name": "First"})).action("ssm-package")["results"]
    assert (row["outcome"], row["code"]) == ("skipped", "AgentTooOld")


def test_the_shipped_policy_updates_old_agents_only(
    emulator: Emulator, custodian: Custodian
) -> None:
    (old,), _ = launch(emulator, 1, AgentVersion="2.9.9.9"), launch(emulator)
    run = custodian("ec2-ssm-agent-update")
    assert [r["InstanceId"] for r in run.resources] == [old]
    assert commands_by_instance(emulator, UPDATE) == {old: 1}
    (row,) = emulator.client("ssm").describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [old]}]
    )["InstanceInformationList"]
    assert row["AgentVersion"] == LATEST_AGENT


@pytest.mark.parametrize(
    "keys, has, parameters",
    [
        ({}, LATEST_AGENT, None),
        ({}, OLD_AGENT, {}),
        ({"version": "3.3.0.0"}, "3.3.0", None),
        ({"version": "3.3.0.0"}, "3.10.0.0", None),
        ({"version": "3.3.0.0"}, "3.2.99.0", {"version": ["3.3.0.0"]}),
        (
            {"version": "3.3.0.0", "allow-downgrade": True},
            "3.10.0.0",
            {"version": ["3.3.0.0"], "allowDowngrade": ["true"]},
        ),
        ({"version": "3.3.0.0", "allow-downgrade": True}, "3.3.0.0", None),
    ],
)
def test_an_agent_that_is_as_wanted_is_left_alone(
    emulator: Emulator, custodian: Custodian, keys: Any, has: str, parameters: Any
) -> None:
    launch(emulator, 1, AgentVersion=has)
    (row,) = custodian(update(**keys)).action("ssm-update-agent")["results"]
    assert row.get("code") == ("UpToDate" if parameters is None else None)
    commands = [command["Parameters"] for command in sent(emulator, UPDATE)]
    assert commands == ([] if parameters is None else [parameters])


@pytest.mark.parametrize(
    "data, says",
    [
        (update(**{"allow-downgrade": True}), "set version"),
        (update(version="latest"), "version"),
        (packages(), "packages"),
        (packages({"action": "Install"}), "name"),
        (packages({"name": "a", "action": "Upgrade"}), "action"),
        (packages({"name": "a", "installation-type": "fast"}), "installation-type"),
        (packages({"name": "a", "versions": "1"}), "versions"),
        (packages({"name": "a b"}), "name"),
        (packages({"name": "a", "version": "1 2"}), "version"),
        (packages({"name": "a"}, cooldown="45d"), "set at most 30d"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(
    custodian: Custodian, data: dict[str, Any], says: str
) -> None:
    with pytest.raises(PolicyValidationError) as error:
        custodian(data)
    assert says in str(error.value)
