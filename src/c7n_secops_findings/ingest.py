"""The function of the security account that takes findings off the central queue.

Its entry point is ``c7n_secops_findings.ingest.handler``; ``deploy/findings-hub.yml`` sets it up
and ``c7n-secops build-ingest`` makes its archive. What it needs to know is in the environment:

``C7N_SECOPS_SINKS``     the sinks, as ``export-finding`` has them, in JSON
``C7N_SECOPS_ROLE``      the name of the role that each account gives us to look up instances
``C7N_SECOPS_DLQ``       the URL of the dead-letter queue
``C7N_SECOPS_RECEIVES``  how often the queue delivers a message before it gives it up

A message is done when each of its findings is in every sink. One whose form is unknown never will
be: it is sent to the dead-letter queue at once, with the reason, which a queue's own redrive cannot
say. One that could not be stored stays in the queue, and after its last delivery goes the same way.
Nothing is kept between messages but connections, so a function that dies loses nothing: what it had
not finished is delivered again, and storing it again changes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from c7n.credentials import SessionFactory
from c7n.utils import get_partition

from c7n_secops.aws.calls import FAILURES
from c7n_secops.aws.planner import batches
from c7n_secops_findings.access import Access
from c7n_secops_findings.accounts import Accounts
from c7n_secops_findings.decode import UnknownShapeError, decode
from c7n_secops_findings.enrich import Enricher
from c7n_secops_findings.export import Complete, store
from c7n_secops_findings.record import Finding, newest
from c7n_secops_findings.sinks import BATCH, Refusal, Sink, options

ACCOUNTS_FILE = "c7n-secops-accounts.json"
"""Beside the packages in the function's archive."""
LONGEST_REASON = 1000
NOT_IN_ATTRIBUTES = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
"""Characters that SQS does not take."""

log = logging.getLogger("c7n_secops.findings.ingest")


class Obstacle(NamedTuple):
    """Why a message is not done; ``final`` where it never will be."""

    code: str
    reason: str
    final: bool = False


class DeadLetters:
    """The dead-letter queue, where messages end that cannot be stored, with the reason."""

    def __init__(self, client: Any, url: str):
        self.client, self.url = client, url

    def send(self, message: Mapping[str, Any], obstacle: Obstacle) -> bool:
        """Whether the queue took the message."""
        said = {
            "code": obstacle.code,
            "reason": obstacle.reason[:LONGEST_REASON],
            "message-id": message["messageId"],
        }
        try:
            self.client.send_message(
                QueueUrl=self.url,
                MessageBody=message["body"],
                MessageAttributes={
                    name: {
                        "DataType": "String",
                        "StringValue": NOT_IN_ATTRIBUTES.sub("?", value) or "?",
                    }
                    for name, value in said.items()
                },
            )
        except FAILURES as error:
            log.warning("message %s: the dead-letter queue: %s", message["messageId"], error)
            return False
        return True


class Ingester:
    """Stores what messages of the queue hold."""

    def __init__(
        self,
        complete: Complete,
        sinks: Mapping[str, Sink],
        dead_letters: DeadLetters,
        receives: int,
    ):
        self.complete, self.sinks = complete, sinks
        self.dead_letters, self.receives = dead_letters, receives

    def ingest(self, messages: Iterable[Mapping[str, Any]]) -> list[str]:
        """Store the findings of the messages; returns the ids of those to be delivered again."""
        obstacles: dict[str, Obstacle] = {}
        messages = list(messages)
        findings: dict[str, list[Finding]] = {}
        for message in messages:
            found = self._decoded(message["body"])
            if isinstance(found, Obstacle):
                obstacles[message["messageId"]] = found
            else:
                findings[message["messageId"]] = found
        refusals = self._store([finding for found in findings.values() for finding in found])
        for name, found in findings.items():
            refused = next((refusals[each.id] for each in found if each.id in refusals), None)
            if refused:
                sink, refusal = refused
                obstacles[name] = Obstacle(refusal.code, f"{sink}: {refusal.reason}")
        again = [
            message["messageId"]
            for message in messages
            if message["messageId"] in obstacles
            and self._stays(message, obstacles[message["messageId"]])
        ]
        log.info(
            "%d messages with %d findings: %d not stored, %d to be delivered again",
            len(messages),
            sum(map(len, findings.values())),
            len(obstacles),
            len(again),
        )
        return again

    @staticmethod
    def _decoded(body: str) -> list[Finding] | Obstacle:
        try:
            return decode(body)
        except UnknownShapeError as error:
            return Obstacle("UnknownShape", str(error), final=True)

    def _store(self, findings: list[Finding]) -> dict[str, tuple[str, Refusal]]:
        refusals: dict[str, tuple[str, Refusal]] = {}
        for batch in batches(newest(findings), BATCH):
            refusals |= store(self.complete, self.sinks, batch)
        return refusals

    def _stays(self, message: Mapping[str, Any], obstacle: Obstacle) -> bool:
        """Whether a message stays in the queue, and is not handed to the dead-letter queue."""
        name = message["messageId"]
        log.warning("message %s: %s: %s", name, obstacle.code, obstacle.reason)
        last = int(message["attributes"]["ApproximateReceiveCount"]) >= self.receives
        return not ((obstacle.final or last) and self.dead_letters.send(message, obstacle))


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Take one batch of messages; the answer names those that the queue must deliver again."""
    home = context.invoked_function_arn.split(":")[4]
    again = ingester(home).ingest(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": name} for name in again]}


@cache
def ingester(home: str) -> Ingester:
    """The ingester of this process, as the environment describes it."""
    region = os.environ["AWS_REGION"]
    caller = SimpleNamespace(manager=SimpleNamespace(session_factory=SessionFactory(region)))
    partition = get_partition(region)
    access = Access(
        caller,
        home=home,
        region=region,
        partition=partition,
        role=os.environ.get("C7N_SECOPS_ROLE"),
    )
    message = {
        "account_id": home,
        "account": home,
        "partition": partition,
        "region": region,
        "policy": {"name": "findings-ingest", "resource": "aws.account"},
    }
    place = options.Place(access, None, message)
    return Ingester(
        Enricher(access, _accounts()).enrich,
        options.make(json.loads(os.environ["C7N_SECOPS_SINKS"]), place),
        DeadLetters(access.client("sqs"), os.environ["C7N_SECOPS_DLQ"]),
        int(os.environ["C7N_SECOPS_RECEIVES"]),
    )


def _accounts() -> Accounts:
    file = Path(os.environ.get("LAMBDA_TASK_ROOT", "")) / ACCOUNTS_FILE
    return Accounts.load(file if file.exists() else None)
