"""KMS: which keys keep their material for ever?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement

RESOURCES = ("aws.kms-key",)
ROTATES = {
    "KeyManager": "CUSTOMER",
    "KeyState": "Enabled",
    "KeySpec": "SYMMETRIC_DEFAULT",
    "Origin": "AWS_KMS",
}


class KeyWithoutRotation(SecOpsElement, Filter):
    """Finds keys that KMS could rotate by itself, and does not.

    The longer one key material is in use, the more there is that it opens. Looks at enabled
    symmetric keys of the customer's whose material KMS made; others cannot be rotated this way,
    and pass. How often a key is rotated is not judged.

    Annotates ``c7n:KeyRotation`` with what GetKeyRotationStatus says. A key that AWS refuses to
    describe, or whose rotation it refuses to tell, is recorded as not evaluated (Custodian's
    ``key-rotation-status`` passes it); one that was deleted meanwhile is dropped.

    :example:

    .. code-block:: yaml

        policies:
          - name: kms-key-without-rotation
            resource: aws.kms-key
            filters:
              - type: key-without-rotation
    """

    schema = type_schema("key-without-rotation")
    permissions = ("kms:GetKeyRotationStatus",)
    annotation_key = "c7n:KeyRotation"
    annotations = {annotation_key: "the status, as kms GetKeyRotationStatus has it"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("key-rotation-status for the keys that are rotated")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        unknown = [key for key in resources if not ROTATES.keys() <= key.keys()]
        self.not_evaluated(unknown, "AccessDeniedException", "DescribeKey was refused")
        client = calls.client(self, "kms")
        return [
            key
            for key in resources
            if ROTATES.items() <= key.items() and self.is_never_rotated(client, key)
        ]

    def is_never_rotated(self, client: Any, key: dict[str, Any]) -> bool:
        """Whether automatic rotation is off; where that is not told, it is recorded."""
        try:
            status = calls.read(client.get_key_rotation_status, KeyId=key["KeyId"])
        except calls.FAILURES as error:
            code, reason = calls.failure(error)
            if code != "NotFoundException":
                self.not_evaluated([key], code, reason)
            return False
        status.pop("ResponseMetadata", None)
        key[self.annotation_key] = status
        return not status["KeyRotationEnabled"]
