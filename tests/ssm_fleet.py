"""Instances with agents, and what became of the commands that were sent to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.emulator import Emulator
from tests.emulator.organisation import (
    CATALOGUE,
    PROFILE,
    Vulnerability,
    create_profile,
    package_finding,
)
from tests.harness import ACCOUNT, REGION

CRITICAL = next(v for v in CATALOGUE if v.severity == "CRITICAL")
PYTHON = next(v for v in CATALOGUE if v.manager == "PYTHONPKG")
PATCH = "AWS-RunPatchBaseline"


def launch(
    emulator: Emulator, number: int = 1, tags: dict[str, str] | None = None, **agent: Any
) -> list[str]:
    """Start instances with an agent, and return their ids; ``agent`` as in ``set_agent``."""
    iam, ec2 = emulator.client("iam", ACCOUNT), emulator.client("ec2", ACCOUNT, REGION)
    if not iam.list_instance_profiles()["InstanceProfiles"]:
        create_profile(emulator, ACCOUNT)
    marks = [{"Key": key, "Value": value} for key, value in (tags or {"made-by": "test"}).items()]
    answer = ec2.run_instances(
        ImageId="ami-0abcdef1234567890",
        MinCount=number,
        MaxCount=number,
        IamInstanceProfile={"Name": PROFILE},
        TagSpecifications=[{"ResourceType": "instance", "Tags": marks}],
    )
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    for name in ids if agent else ():
        emulator.set_agent(ACCOUNT, REGION, name, **agent)
    return ids


def find(
    emulator: Emulator,
    instance_id: str,
    vulnerabilities: Sequence[Vulnerability] = (CRITICAL,),
    **members: Any,
) -> None:
    """Let Inspector have scanned the instance and found this."""
    emulator.set_inspector_status(ACCOUNT, REGION, ec2="ENABLED")
    emulator.add_findings(
        ACCOUNT,
        REGION,
        [package_finding(ACCOUNT, REGION, instance_id, v, **members) for v in vulnerabilities],
    )


def policy(action: dict[str, Any] | None, *filters: Any, **more: Any) -> dict[str, Any]:
    """A policy on instances with one action, or none."""
    actions = [action] if action else []
    return {
        "name": "p",
        "resource": "aws.ec2",
        "filters": list(filters),
        "actions": actions,
        **more,
    }


def sent(emulator: Emulator, document: str = PATCH) -> list[dict[str, Any]]:
    """The commands that exist, oldest first."""
    filters = [{"key": "DocumentName", "value": document}]
    pages = emulator.client("ssm").get_paginator("list_commands").paginate(Filters=filters)
    return [command for page in pages for command in page["Commands"]][::-1]


def commands_by_instance(emulator: Emulator, document: str = PATCH) -> dict[str, int]:
    """How many commands each instance got."""
    return dict(
        Counter(name for command in sent(emulator, document) for name in command["InstanceIds"])
    )


def number_of_calls(emulator: Emulator, operation: str, service: str = "ssm") -> int:
    return len(emulator.calls(service, operation))
