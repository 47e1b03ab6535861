"""S3: of which buckets is known what the next filters ask?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.resources.s3 import get_region
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement
from c7n_secops_compliance import buckets

RESOURCES = ("aws.s3",)
BLOCK = "public-access-block"
KEYS = {"logging": "Logging", "policy": "Policy", "versioning": "Versioning"}
NOTHING_BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
)


class BucketRead(SecOpsElement, Filter):
    """Finds buckets of which Custodian could read the ``parts`` that later filters judge.

    Custodian goes on where it may not read a bucket's policy, versioning or logging, and its
    filters take what they do not know for absent: the bucket matches, or passes, unread. Put this
    filter before them. A bucket of which a part was refused or not answered is recorded as not
    evaluated.

    The part ``public-access-block`` is read here; ``check-public-block`` then uses the answer.
    Annotates it as ``c7n:PublicAccessBlock``, with four times false where the bucket has none. A
    bucket that was deleted meanwhile is dropped.

    :example:

    .. code-block:: yaml

        policies:
          - name: bucket-without-versioning
            resource: aws.s3
            filters:
              - type: bucket-read
                parts: [versioning]
              - not:
                  - Versioning.Status: Enabled
    """

    schema = type_schema(
        "bucket-read",
        required=["parts"],
        parts={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": [*KEYS, BLOCK]},
        },
    )
    permissions = ("s3:GetBucketPublicAccessBlock",)
    annotation_key = "c7n:PublicAccessBlock"
    annotations = {annotation_key: "the four settings, as s3 GetPublicAccessBlock has them"}

    def get_permissions(self) -> tuple[str, ...]:
        return self.permissions if BLOCK in self.data.get("parts", ()) else ()

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("the next filters inside not, and this one before it")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        self.clients: dict[str, Any] = {}
        keys = [KEYS[part] for part in self.data["parts"] if part != BLOCK]
        known = [bucket for bucket in resources if self.knows(bucket, keys)]
        if BLOCK not in self.data["parts"]:
            return known
        return [bucket for bucket in known if self.knows_block(bucket)]

    def knows(self, bucket: dict[str, Any], keys: list[str]) -> bool:
        """Whether all these keys of a bucket were read; the first that was not is recorded."""
        for key in keys:
            if gap := buckets.unread(bucket, key):
                self.not_evaluated([bucket], *gap)
                return False
        return True

    def knows_block(self, bucket: dict[str, Any]) -> bool:
        """Whether the settings of public access can be read; what refuses them is recorded."""
        region = get_region(bucket)
        if region not in self.clients:
            self.clients[region] = calls.client(self, "s3", region=region)
        try:
            answer = calls.read(self.clients[region].get_public_access_block, Bucket=bucket["Name"])
            block = answer["PublicAccessBlockConfiguration"]
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
            if code == "NoSuchBucket":
                return False
            if code != "NoSuchPublicAccessBlockConfiguration":
                self.not_evaluated([bucket], code, reason)
                return False
            block = NOTHING_BLOCKED
        bucket[self.annotation_key] = dict(block)
        return True
