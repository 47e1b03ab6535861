"""The sinks ``sqs`` and ``sns``: messages in the form that c7n-mailer reads.

A message holds as many records as fit, as resources of type aws.account, since a record has an
account's ``account_id`` and ``account_name``; with ``Tags``, by which c7n-mailer finds owners.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from c7n.utils import dumps

from c7n_secops.aws.calls import FAILURES, failure
from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks import Refusal, refused

MESSAGE_TYPE = "maidmsg/1.0"
"""What c7n-mailer knows Custodian's messages by."""
BYTES = 250_000
"""The largest message, with room for its attributes below 256 KiB."""


class MailerSink:
    """Sends records to a queue or a topic of c7n-mailer."""

    def __init__(self, send: Any, message: Mapping[str, Any]):
        self.send, self.message = send, message

    @classmethod
    def to_queue(cls, client: Any, url: str, message: Mapping[str, Any]) -> MailerSink:
        """A sink that sends to a queue."""

        def send(body: str, attributes: dict[str, Any]) -> None:
            client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)

        return cls(send, message)

    @classmethod
    def to_topic(cls, client: Any, arn: str, message: Mapping[str, Any]) -> MailerSink:
        """A sink that publishes to a topic."""

        def send(body: str, attributes: dict[str, Any]) -> None:
            client.publish(TopicArn=arn, Message=body, MessageAttributes=attributes)

        return cls(send, message)

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        if not findings:
            return []
        body = self._packed(findings)
        if len(body) > BYTES and len(findings) > 1:
            middle = len(findings) // 2
            return self.write(findings[:middle]) + self.write(findings[middle:])
        if len(body) > BYTES:
            return refused(findings, "TooLarge", f"{len(body)} bytes, a message has {BYTES}")
        mtype = {"DataType": "String", "StringValue": MESSAGE_TYPE}
        try:
            self.send(body, {"mtype": mtype})
        except FAILURES as error:
            return refused(findings, *failure(error))
        return []

    def _packed(self, findings: Sequence[Finding]) -> str:
        message = {**self.message, "resources": [_resource(finding) for finding in findings]}
        return base64.b64encode(zlib.compress(dumps(message, indent=None).encode())).decode()


def _resource(finding: Finding) -> dict[str, Any]:
    tags = [{"Key": key, "Value": value} for key, value in finding.resource_tags.items()]
    shown = {name: value for name, value in finding.to_dict().items() if name != "raw"}
    return {**shown, "Tags": tags, "c7n:MatchedFilters": []}
