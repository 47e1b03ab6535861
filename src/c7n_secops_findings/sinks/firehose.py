"""The sink ``firehose``: one line of JSON a record into a delivery stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from c7n_secops.aws.calls import FAILURES, failure
from c7n_secops_findings.record import Finding
from c7n_secops_findings.sinks import Refusal, refused

RECORDS = 500
"""Records that one PutRecordBatch takes."""
BYTES = 4 * 2**20
"""And bytes, in all."""
LONGEST = 1000 * 2**10
"""The largest record."""


class FirehoseSink:
    """Sends records to a delivery stream, which stores them where it is told to.

    A stream has no notion of what it has already: a record that is sent again is there again.
    """

    def __init__(self, client: Any, stream: str):
        self.client, self.stream = client, stream

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        refusals: list[Refusal] = []
        for batch in self._batches(findings, refusals):
            try:
                answer = self.client.put_record_batch(
                    DeliveryStreamName=self.stream,
                    Records=[{"Data": data} for _, data in batch],
                )
            except FAILURES as error:
                refusals += refused((finding for finding, _ in batch), *failure(error))
                continue
            refusals += [
                Refusal(finding.id, told["ErrorCode"], told.get("ErrorMessage", ""))
                for (finding, _), told in zip(batch, answer["RequestResponses"], strict=True)
                if told.get("ErrorCode")
            ]
        return refusals

    @staticmethod
    def _batches(
        findings: Sequence[Finding], refusals: list[Refusal]
    ) -> Iterator[list[tuple[Finding, bytes]]]:
        batch: list[tuple[Finding, bytes]] = []
        size = 0
        for finding in findings:
            data = f"{finding.to_json()}\n".encode()
            if len(data) > LONGEST:
                reason = f"{len(data)} bytes, Firehose takes {LONGEST}"
                refusals.append(Refusal(finding.id, "TooLarge", reason))
                continue
            if batch and (len(batch) == RECORDS or size + len(data) > BYTES):
                yield batch
                batch, size = [], 0
            batch.append((finding, data))
            size += len(data)
        if batch:
            yield batch
