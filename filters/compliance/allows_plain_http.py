"""S3: which buckets answer requests without TLS?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import buckets, transport

RESOURCES = ("aws.s3",)


class AllowsPlainHttp(SecOpsElement, Filter):
    """Finds buckets whose policy does not deny every request without TLS.

    S3 answers plain HTTP, where anybody on the way reads and changes what is sent, unless the
    bucket's policy forbids it. Statements count that

    - have the effect ``Deny`` and the principal ``*``, or ``AWS`` with ``*``,
    - have the action ``s3:*``, ``*`` or ``*:*``, alone or among others,
    - have no other condition than ``Bool`` (or ``BoolIfExists``) with ``aws:SecureTransport``
      false, or ``NumericLessThan`` (or ``NumericLessThanIfExists``) with ``s3:TlsVersion`` 1.2 or
      above; numbers and booleans may stand in quotes,
    - name the bucket, its objects (``/*``), or both, by ``*`` or an ARN whose only wildcard is a
      last ``*``.

    Together they must name the bucket and its objects. Statements with ``NotAction``,
    ``NotPrincipal`` or ``NotResource`` in place of those do not count, nor do other conditions
    that come to the same; whether the account's service control policies deny plain HTTP is not
    looked at.

    Annotates ``c7n:PlainHttp`` with what no statement protects: ``bucket``, ``objects``. A bucket
    whose policy was refused, or is no policy, is recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: bucket-plain-http
            resource: aws.s3
            filters:
              - type: allows-plain-http
    """

    schema = type_schema("allows-plain-http")
    annotation_key = "c7n:PlainHttp"
    annotations = {annotation_key: "what no statement protects: bucket, objects"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("has-statement for the statements that a policy has")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        return [bucket for bucket in resources if self.allows(bucket)]

    def allows(self, bucket: dict[str, Any]) -> bool:
        """Whether requests without TLS are answered; what cannot be told is recorded."""
        if gap := buckets.unread(bucket, "Policy"):
            self.not_evaluated([bucket], *gap)
            return False
        if bucket["Policy"] is None:
            open_parts = [transport.BUCKET, transport.OBJECTS]
        else:
            try:
                open_parts = transport.unprotected(bucket["Name"], bucket["Policy"])
            except ValueError as error:
                self.not_evaluated([bucket], "MalformedPolicy", str(error))
                return False
        if open_parts:
            bucket[self.annotation_key] = open_parts
        return bool(open_parts)
