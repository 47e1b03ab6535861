"""Systems Manager commands: which were sent, sending one exactly once, and how they ended.

SendCommand takes no client token, so a command that AWS may have got without our hearing of it is
looked for by its comment before it is sent again. Source of limits and enumerations: the ssm
service model of botocore 1.43.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any, NamedTuple

from botocore import exceptions
from c7n.utils import backoff_delays

from c7n_secops import deadline
from c7n_secops.aws import calls
from c7n_secops.aws.calls import THROTTLES, RefusedError
from c7n_secops.aws.planner import batches

IDS_PER_COMMAND = 50
PAGE = 50
LIVE = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
PER_INSTANCE_FAULTS = frozenset({"InvalidInstanceId", "UnsupportedPlatformType"})
"""Errors of one instance for which AWS refuses the whole call."""

UNANSWERED = (exceptions.ConnectionError, exceptions.HTTPClientError)
FAILURES = (exceptions.ClientError, *UNANSWERED)
CLOCK_SKEW = timedelta(minutes=5)
"""How far our clock may be from AWS's before it refuses our signatures."""

LOOK_UPS = (0, 1, 2, 4)
"""Seconds before each search for a command that AWS may have got."""

LONGEST_PAUSE = 15.0


@dataclass(frozen=True)
class Operation:
    """What a document is to do.

    ``label`` names it in results. ``identity`` are the parameters that make two commands of the
    document the same operation: a scan does not repeat an installation.
    """

    label: str
    parameters: dict[str, list[str]]
    identity: tuple[str, ...] = ()

    def repeated_by(self, command: dict[str, Any]) -> bool:
        """Whether this command, as ListCommands has it, does the same."""
        given = command.get("Parameters", {})
        return all(given.get(name) == self.parameters[name] for name in self.identity)


class Obstacle(NamedTuple):
    """Why nothing is sent to an instance: a code for machines and a reason for people."""

    code: str
    reason: str

    @classmethod
    def of(cls, error: Exception) -> Obstacle:
        """What one of :data:`FAILURES` says."""
        if isinstance(error, exceptions.ClientError):
            return cls(error.response["Error"]["Code"], str(error))
        return cls(type(error).__name__, str(error))


class History:
    """The commands of one document that were sent lately, by anybody, in one ListCommands."""

    def __init__(self, client: Any, document: str, cooldown: timedelta, lifetime: timedelta):
        """Read them; raises RefusedError where AWS does not answer.

        ``lifetime`` is how long a command may live after it was sent.
        """
        self.client, self.cooldown = client, cooldown
        self.now = datetime.now(timezone.utc)
        self.commands = list(
            listed(client, document, self.now - max(cooldown, lifetime) - CLOCK_SKEW)
        )

    def obstacles(self, operation: Operation, instance_ids: Iterable[str]) -> dict[str, Obstacle]:
        """The instances to which this operation must not be sent now; raises RefusedError."""
        found: dict[str, Obstacle] = {}
        wanted = set(instance_ids)
        for command in self.commands:
            if not operation.repeated_by(command):
                continue
            sent, command_id = command["RequestedDateTime"], command["CommandId"]
            recent = self.now - sent < self.cooldown
            live = command["Status"] in LIVE
            if not (live or recent) or not (wanted - found.keys()):
                continue
            for instance_id, status in self._statuses(command, exact=not recent).items():
                if status in LIVE:
                    found[instance_id] = Obstacle(
                        "CommandRunning", f"command {command_id} of {sent.isoformat()} is {status}"
                    )
                elif recent:
                    found.setdefault(
                        instance_id,
                        Obstacle(
                            "Cooldown",
                            f"command {command_id} of {sent.isoformat()} is within the cooldown",
                        ),
                    )
        return {name: obstacle for name, obstacle in found.items() if name in wanted}

    def _statuses(self, command: dict[str, Any], *, exact: bool) -> dict[str, str]:
        """The status on each instance; one call more to be exact, or if it was sent by target."""
        if command.get("InstanceIds") and not exact:
            return dict.fromkeys(command["InstanceIds"], command["Status"])
        statuses = dict.fromkeys(command.get("InstanceIds", ()), command["Status"])
        rows = invocations(self.client, command["CommandId"])
        return {**statuses, **{row["InstanceId"]: row["Status"] for row in rows}}


class Delivery(NamedTuple):
    """What became of one SendCommand: its id, or the obstacle that AWS put in its way."""

    instance_ids: list[str]
    command_id: str | None
    obstacle: Obstacle | None = None


@dataclass
class Sender:
    """Sends the commands of one run: every instance gets an operation once, or is told why not.

    ``once`` is a client that does not retry, ``client`` one that does; ``request`` is what all
    commands share; ``purpose`` (the policy's name) is shown in each command's comment.
    """

    once: Any
    client: Any
    request: dict[str, Any]
    purpose: str
    look_ups: Sequence[float] = LOOK_UPS
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc) - CLOCK_SKEW)

    def __post_init__(self) -> None:
        self._pauses = pauses()

    def send(
        self, parameters: dict[str, list[str]], instance_ids: Sequence[str]
    ) -> Iterator[Delivery]:
        """Send to these instances, 50 a call; a batch that AWS refuses does not stop the others."""
        waiting = list(batches(list(dict.fromkeys(instance_ids)), IDS_PER_COMMAND))
        while waiting:
            batch = waiting.pop(0)
            try:
                command_id = self._send_one(parameters, batch)
            except RefusedError as refused:
                yield Delivery(batch, None, Obstacle(refused.code, str(refused)))
            except FAILURES as error:
                obstacle = Obstacle.of(error)
                if obstacle.code in PER_INSTANCE_FAULTS and len(batch) > 1:
                    middle = len(batch) // 2
                    waiting[:0] = [batch[:middle], batch[middle:]]
                else:
                    yield Delivery(batch, None, obstacle)
            else:
                yield Delivery(batch, command_id)

    def _send_one(self, parameters: dict[str, list[str]], instance_ids: list[str]) -> str:
        """Return the id of one command, sent once; raises what botocore raised at the last try.

        Throttled: AWS did nothing, so pause and repeat. No answer, or a server's error: AWS may
        have done it, so search for the command first, and do not repeat if that is impossible.
        """
        comment = f"c7n-secops {uuid.uuid4()} {self.purpose}"[:100]
        while True:
            refusal: Exception
            try:
                answer = self.once.send_command(
                    **self.request,
                    Parameters=parameters,
                    InstanceIds=instance_ids,
                    Comment=comment,
                )
            except exceptions.ClientError as error:
                refusal = error
                throttled = error.response["Error"]["Code"] in THROTTLES
                if not throttled and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    raise
            except UNANSWERED as error:
                refusal, throttled = error, False
            else:
                self._pauses = pauses()
                return str(answer["Command"]["CommandId"])
            found = None if throttled else self._search(comment)
            if found is not None:
                return found
            if not rest(next(self._pauses, None)):
                raise refusal

    def _search(self, comment: str) -> str | None:
        """The id of the command with this comment; RefusedError where that cannot be known."""
        for pause in self.look_ups:
            time.sleep(pause)
            try:
                for command in listed(self.client, self.request["DocumentName"], self.since):
                    if command.get("Comment") == comment:
                        return str(command["CommandId"])
            except RefusedError as refused:
                raise RefusedError(
                    "ssm:SendCommand",
                    "Unconfirmed",
                    "AWS did not confirm the command and could not be asked whether it exists, so "
                    f"it was not sent again: {refused}",
                ) from refused
        return None


class Ending(NamedTuple):
    """How a command went on one instance: succeeded, failed or running, and AWS's word for it."""

    outcome: str
    reason: str


def results(
    client: Any, document: str, since: datetime, command_ids: Sequence[str], wait: float
) -> dict[tuple[str, str], Ending]:
    """How the commands ended, by command and instance id, after at most ``wait`` seconds.

    Polls the commands as a whole, then reads each command's instances once. A Lambda that runs
    out of time waits less. Raises RefusedError where AWS does not answer.
    """
    end = deadline.after(wait)
    delays = backoff_delays(1, LONGEST_PAUSE, jitter=True)
    while True:
        statuses = {row["CommandId"]: row["Status"] for row in listed(client, document, since)}
        running = any(statuses.get(command_id, "Pending") in LIVE for command_id in command_ids)
        left = end - time.monotonic()
        if not running or left <= 0:
            break
        time.sleep(min(next(delays, LONGEST_PAUSE), left))
    return {
        (command_id, row["InstanceId"]): ending(row)
        for command_id in command_ids
        for row in invocations(client, command_id)
    }


def ending(invocation: dict[str, Any]) -> Ending:
    """What a row of ListCommandInvocations means."""
    status = invocation["Status"]
    reason = invocation.get("StatusDetails") or status
    if status in LIVE:
        return Ending("running", reason)
    return Ending("succeeded" if status == "Success" else "failed", reason)


def listed(client: Any, document: str, since: datetime) -> Iterator[dict[str, Any]]:
    """The commands of a document since then, newest first; raises RefusedError."""
    filters = [
        {"key": "DocumentName", "value": document},
        {"key": "InvokedAfter", "value": since.strftime("%Y-%m-%dT%H:%M:%SZ")},
    ]
    for page in calls.pages(client, "list_commands", "Commands", PAGE, Filters=filters):
        yield from page


def invocations(client: Any, command_id: str) -> Iterator[dict[str, Any]]:
    """What a command did on each of its instances; raises RefusedError."""
    for page in calls.pages(
        client, "list_command_invocations", "CommandInvocations", PAGE, CommandId=command_id
    ):
        yield from page


def pauses() -> Iterator[float]:
    """The pauses between tries of a call; AWS_MAX_ATTEMPTS bounds the tries, as for clients."""
    tries = int(os.environ.get("AWS_MAX_ATTEMPTS", 8))
    return islice(backoff_delays(0.5, 64, jitter=True), tries - 1)


def rest(pause: float | None) -> bool:
    """Sleep so long, if there is a pause left and the Lambda has time for it."""
    now = time.monotonic()
    if pause is None or deadline.after(pause) < now + pause:
        return False
    time.sleep(pause)
    return True
