"""The sink ``s3``: objects of NDJSON, under names that their content decides.

The key of a batch is ``<prefix>/<format>/dt=/account=/region=/<digest>.ndjson``, the digest being
the SHA-256 over the sorted ids and versions. It is put only where it is not there yet: the same
batch again is the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from c7n_secops.aws.calls import FAILURES, failure
from c7n_secops_findings.formats import asff, ocsf
from c7n_secops_findings.record import Finding, to_line
from c7n_secops_findings.sinks import Refusal, keys, refused

FORMATS: dict[str, Callable[[Finding], dict[str, Any]]] = {
    "record": Finding.to_dict,
    "raw": lambda finding: finding.raw,
    "ocsf": ocsf.event_of,
    "asff": asff.finding_of,
}
ALREADY_THERE = "PreconditionFailed"


class S3Sink:
    """Keeps records in a bucket, encrypted under its own or a given KMS key."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        *,
        prefix: str = "",
        key: str | None = None,
        formats: Sequence[str] = ("record",),
    ):
        self.client, self.bucket, self.prefix, self.formats = client, bucket, prefix, formats
        self.encryption = {"ServerSideEncryption": "aws:kms"}
        if key:
            self.encryption["SSEKMSKeyId"] = key

    def write(self, findings: Sequence[Finding]) -> list[Refusal]:
        refusals = []
        for name, group in keys.by_place(findings).items():
            for form in self.formats:
                parts = (self.prefix.strip("/"), form, f"{name}.ndjson")
                try:
                    self._put("/".join(filter(None, parts)), group, FORMATS[form])
                except FAILURES as error:
                    code, reason = failure(error)
                    if code != ALREADY_THERE:
                        refusals += refused(group, code, reason)
                        break
        return refusals

    def _put(
        self, key: str, findings: list[Finding], form: Callable[[Finding], dict[str, Any]]
    ) -> None:
        lines = (to_line(form(each)) for each in findings)
        self.client.put_object(
            Bucket=self.bucket,
            Key=key,
            Body="".join(f"{line}\n" for line in lines).encode(),
            ContentType="application/x-ndjson",
            IfNoneMatch="*",
            **self.encryption,
        )
