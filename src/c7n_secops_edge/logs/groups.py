"""CloudWatch Logs: which streams of a group are alive, and their events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from c7n_secops.aws import calls
from c7n_secops.aws.planner import batches
from c7n_secops_edge.logs.places import NoLogsError

STREAMS_A_PAGE = 50
EVENTS_A_PAGE = 10_000
STREAMS_A_CALL = 100
SILENT = timedelta(days=1)
"""A stream without an event for so long is taken for one that nobody writes any more."""


@contextmanager
def existing(group: str) -> Iterator[None]:
    """Raise NoLogsError where the log group does not exist."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise NoLogsError("NoLogGroup", f"there is no log group {group}") from error


def live_streams(client: Any, group: str, now: datetime) -> list[str]:
    """The streams that somebody writes to, those written last first.

    Raises RefusedError, or NoLogsError where there is no such group.
    """
    oldest = int((now - SILENT).timestamp() * 1000)
    found: list[str] = []
    with existing(group):
        for page in calls.pages(
            client,
            "describe_log_streams",
            "logStreams",
            STREAMS_A_PAGE,
            logGroupName=group,
            orderBy="LastEventTime",
            descending=True,
        ):
            alive = [each for each in page if each.get("lastEventTimestamp", 0) >= oldest]
            found += [each["logStreamName"] for each in alive]
            if len(alive) < len(page):
                break
    return found


def events(
    client: Any, group: str, streams: Iterable[str], since: datetime, until: datetime, pattern: str
) -> Iterator[dict[str, Any]]:
    """The events of these streams between two times that fit a pattern, as FilterLogEvents has it.

    Raises RefusedError, or NoLogsError where there is no such group.
    """
    start, end = (int(at.timestamp() * 1000) for at in (since, until))
    for names in batches(list(streams), STREAMS_A_CALL):
        with existing(group):
            for page in calls.pages(
                client,
                "filter_log_events",
                "events",
                EVENTS_A_PAGE,
                logGroupName=group,
                logStreamNames=names,
                startTime=start,
                endTime=end,
                filterPattern=pattern,
            ):
                yield from page
