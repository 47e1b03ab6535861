"""What one read says of many instances, kept apart for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.aws.planner import batches

IDS_PER_FILTER = 200
"""How many values a filter of EC2 takes."""

PAGE = 1000


class Answers:
    """The rows of each key (an instance id or a case), or AWS's refusal to tell them."""

    def __init__(self, keys: Sequence[str], per_call: int, read: Callable[[list[str]], Any]):
        """Read for all keys; ``read`` gives the (key, row) pairs of some of them."""
        self._rows: dict[str, list[Any]] = {}
        self._refused: dict[str, RefusedError] = {}
        for some in batches(list(dict.fromkeys(keys)), per_call):
            self._read(some, read)

    def _read(self, some: list[str], read: Callable[[list[str]], Any]) -> None:
        try:
            for key, row in read(some):
                self._rows.setdefault(key, []).append(row)
        except RefusedError as refused:
            self._refused.update(dict.fromkeys(some, refused))

    def of(self, key: str) -> list[Any]:
        """The rows of a key; raises RefusedError where AWS did not tell them."""
        if key in self._refused:
            raise self._refused[key]
        return self._rows.get(key, [])


def instances(client: Any, ids: Sequence[str]) -> Answers:
    def read(some: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for reservation in ec2_rows(
            client, "describe_instances", "Reservations", "instance-id", some
        ):
            for instance in reservation["Instances"]:
                yield instance["InstanceId"], instance

    return Answers(ids, IDS_PER_FILTER, read)


def interfaces(client: Any, ids: Sequence[str]) -> Answers:
    """The network interfaces of each instance, as they are now."""

    def read(some: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in ec2_rows(
            client,
            "describe_network_interfaces",
            "NetworkInterfaces",
            "attachment.instance-id",
            some,
        ):
            yield row["Attachment"]["InstanceId"], row

    return Answers(ids, IDS_PER_FILTER, read)


def ec2_rows(
    client: Any, operation: str, key: str, name: str, values: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """The rows of an EC2 read that a filter narrows; raises RefusedError."""
    filters = [{"Name": name, "Values": list(values)}]
    for page in calls.pages(client, operation, key, PAGE, Filters=filters):
        yield from page
