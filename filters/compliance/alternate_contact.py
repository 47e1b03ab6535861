"""Account: whom does AWS call beside the owner?"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement

RESOURCES = ("aws.account",)
CONTACTS = ["BILLING", "OPERATIONS", "SECURITY"]


class AlternateContact(SecOpsElement, Filter):
    """Finds accounts in which one of the ``missing`` alternate contacts is not registered.

    AWS tells the security contact of abuse and of exposed keys; without one, the owner's address
    is the only way. Whether a registered contact is right, AWS cannot say, and neither can this.

    Annotates ``c7n:MissingContacts`` with the kinds of contact that are not registered; names and
    addresses are not kept. Where AWS refuses to tell one of them, the account is recorded as not
    evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-security-contact
            resource: aws.account
            filters:
              - type: alternate-contact
                missing: [SECURITY]
    """

    schema = type_schema(
        "alternate-contact",
        required=["missing"],
        missing={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": CONTACTS},
        },
    )
    permissions = ("account:GetAlternateContact",)
    annotation_key = "c7n:MissingContacts"
    annotations = {annotation_key: "the kinds of alternate contact that are not registered"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("missing with the contacts that must be there")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        client = calls.client(self, "account")
        try:
            missing = [
                kind for kind in self.data["missing"] if not self.is_registered(client, kind)
            ]
        except calls.RefusedError as refusal:
            self.not_evaluated(resources, refusal.code, str(refusal))
            return []
        if not missing:
            return []
        for account in resources:
            account[self.annotation_key] = missing
        return resources

    def is_registered(self, client: Any, kind: str) -> bool:
        """Whether the account has a contact of this kind."""
        try:
            calls.read(client.get_alternate_contact, AlternateContactType=kind)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return False
            raise
        return True
