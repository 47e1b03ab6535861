"""IAM: which users got an access key as they were made?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from c7n.filters import Filter
from c7n.utils import parse_date, type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement

RESOURCES = ("aws.iam-user",)
PAGE = 100


class InitialAccessKey(SecOpsElement, Filter):
    """Finds users with an access key that was made within ``minutes`` of the user itself.

    A key that comes with the user was often asked for by nobody: it lies about unused. Keys made
    later were made on purpose. Inactive keys count too, since they can be switched on. Narrow by
    ``credential`` to users with a password where only those matter.

    Annotates ``c7n:InitialAccessKeys`` with the keys, as ListAccessKeys has them (ids, no
    secrets). A user whose keys AWS refuses to list is recorded as not evaluated; one that was
    deleted meanwhile is dropped.

    :example:

    .. code-block:: yaml

        policies:
          - name: iam-user-initial-access-key
            resource: aws.iam-user
            filters:
              - type: credential
                key: password_enabled
                value: true
              - type: initial-access-key
                minutes: 5
    """

    schema = type_schema(
        "initial-access-key",
        minutes={"type": "integer", "minimum": 1, "maximum": 1440},
    )
    permissions = ("iam:ListAccessKeys",)
    annotation_key = "c7n:InitialAccessKeys"
    annotations = {annotation_key: "the keys that matched, as iam ListAccessKeys has them"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("access-key for the keys that a user has")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        client = calls.client(self, "iam")
        window = timedelta(minutes=self.data.get("minutes", 5))
        matched = []
        for user in resources:
            try:
                keys = self.keys_of(client, user["UserName"])
            except calls.RefusedError as refusal:
                self.not_evaluated([user], refusal.code, str(refusal))
                continue
            made: datetime = parse_date(user["CreateDate"])
            first = [key for key in keys if key["CreateDate"] - made <= window]
            if first:
                user[self.annotation_key] = first
                matched.append(user)
        return matched

    def keys_of(self, client: Any, name: str) -> list[dict[str, Any]]:
        """The access keys of a user; none where the user is gone."""
        try:
            return [
                key
                for page in calls.pages(
                    client, "list_access_keys", "AccessKeyMetadata", PAGE, UserName=name
                )
                for key in page
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchEntity":
                return []
            raise
