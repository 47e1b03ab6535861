"""Reads what Systems Manager says of instances: one row an instance, 50 instances a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops.aws.planner import batches

IDS_PER_CALL = 50


class Answer(NamedTuple):
    """What one call said of some instances.

    ``rows`` are by instance id, for those that have one. ``refused`` is set where AWS did not
    answer, and then ``rows`` is empty.
    """

    instance_ids: list[str]
    rows: dict[str, dict[str, Any]]
    refused: RefusedError | None = None


def read(
    client: Any,
    operation: str,
    key: str,
    page_size: int,
    instance_ids: Sequence[str],
    parameters: Callable[[list[str]], dict[str, Any]],
) -> Iterator[Answer]:
    """Ask about these instances in as few calls as there can be, an answer for each call.

    ``key`` is where the operation's answer has its rows; ``parameters`` makes a call's from ids.
    """
    for batch in batches(instance_ids, IDS_PER_CALL):
        pages = calls.pages(client, operation, key, page_size, **parameters(batch))
        yield _answer(batch, pages)


def _answer(batch: list[str], pages: Iterator[list[dict[str, Any]]]) -> Answer:
    try:
        return Answer(batch, {row["InstanceId"]: row for page in pages for row in page})
    except RefusedError as refused:
        return Answer(batch, {}, refused)
