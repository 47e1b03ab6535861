"""Which instances have a Systems Manager agent, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from c7n_secops_ssm import rows
from c7n_secops_ssm.rows import Answer

PAGE = 50
"""DescribeInstanceInformation answers 10 rows unless asked for more, whatever ids it is given."""

PING_STATUSES = ("Online", "ConnectionLost", "Inactive")
VERSION = {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,6}){1,3}$"}
"""The JSON schema of an agent version, as people write it."""


def read(client: Any, instance_ids: Sequence[str]) -> Iterator[Answer]:
    """Ask for the agents of these instances.

    An id without a row has no agent that ever registered, or one that was deregistered.
    """
    return rows.read(
        client,
        "describe_instance_information",
        "InstanceInformationList",
        PAGE,
        instance_ids,
        lambda ids: {"Filters": [{"Key": "InstanceIds", "Values": ids}]},
    )


def version(text: str) -> tuple[int, ...]:
    """An agent version as numbers that compare as versions do: 3.10 is above 3.9, 3.0 is 3."""
    numbers = [int(number) for number in text.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
