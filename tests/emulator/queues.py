"""Amazon SQS as an event source of AWS Lambda.

moto hands a message to the function as it is sent, one by one, and knows no partial failures.
Here messages stay in their queue until :func:`poll` is called, which does what Lambda's pollers
do: it receives a batch, invokes the function, deletes what was done and leaves the rest visible.
A message that is received too often goes to the dead-letter queue, as moto's queues do it.
"""

from __future__ import annotations

from typing import Any

from moto.awslambda.models import EventSourceMapping, LambdaBackend
from moto.awslambda_simple.models import lambda_simple_backends
from moto.sqs.models import Message, sqs_backends

from tests.emulator import lambdas
from tests.emulator.lambda_runtime import Result

PARTIAL = "ReportBatchItemFailures"

moto_create_event_source_mapping = LambdaBackend.create_event_source_mapping


def create_event_source_mapping(self: LambdaBackend, spec: dict[str, Any]) -> EventSourceMapping:
    """Keeps the mapping away from moto's queue, which would deliver by itself."""
    made = moto_create_event_source_mapping(self, spec)
    for queue in sqs_backends[self.account_id][self.region_name].queues.values():
        queue.lambda_event_source_mappings.pop(made.function_arn, None)
    return made


def poll(account: str, region: str, queue: str, batches: int | None = None) -> int:
    """Delivers the visible messages of a queue, in at most so many batches; returns how many."""
    sqs = sqs_backends[account][region]
    arn = sqs.get_queue(queue).queue_arn
    mappings = lambda_simple_backends[account][region]._event_source_mappings.values()
    mapping = next((each for each in mappings if each.event_source_arn == arn), None)
    if mapping is None:
        raise ValueError(f"no function takes the messages of {arn}")
    done = 0
    while mapping.enabled and (batches is None or done < batches):
        messages = sqs.receive_message(queue, mapping.batch_size, 0, 900)
        if not messages:
            break
        done += 1
        event = {"Records": [record(message, arn, region) for message in messages]}
        function = lambda_simple_backends[account][region].get_function(mapping.function_arn)
        left = failed(lambdas.execute(account, region, function, event), messages, mapping)
        for message in messages:
            if message.id in left:
                sqs.change_message_visibility(queue, message.receipt_handle, 0)
            else:
                sqs.delete_message(queue, message.receipt_handle)
    return done


def record(message: Message, arn: str, region: str) -> dict[str, Any]:
    """A message as the function gets it."""
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "SentTimestamp": str(message.sent_timestamp),
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
        },
        "messageAttributes": {},
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def failed(result: Result, messages: list[Message], mapping: EventSourceMapping) -> set[str]:
    """The ids of the messages that stay: all of them where the answer makes no sense."""
    every = {message.id for message in messages}
    if result.error:
        return every
    if PARTIAL not in (mapping.function_response_types or ()):
        return set()
    try:
        listed = (result.payload or {}).get("batchItemFailures") or []
        named = {each["itemIdentifier"] for each in listed}
    except (AttributeError, KeyError, TypeError):
        return every
    return named if named <= every else every


def install() -> None:
    LambdaBackend.create_event_source_mapping = create_event_source_mapping
