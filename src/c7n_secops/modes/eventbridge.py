"""Any EventBridge event, on any bus."""

from __future__ import annotations

from typing import Any

from c7n import utils
from c7n.policy import LambdaMode

from c7n_secops.event_mode import EventBridgeMode
from c7n_secops.events import texts


class EventBridge(EventBridgeMode):
    """Runs a policy on the EventBridge events that a pattern of your own selects.

    ``pattern`` is the rule's event pattern, ``ids`` a JMESPath into the event that gives one
    resource id or a list of them, and ``bus`` the name or ARN of the event bus (the account's
    default bus unless set). Ids that are not of the resource's form are ignored.

    Removing the policy's function with ``mugc`` leaves a rule on a bus of your own behind.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-compromise-reported
            resource: aws.ec2
            mode:
              type: eventbridge
              bus: security
              pattern:
                source: [acme.edr]
                detail-type: [Compromise]
              ids: detail.hosts[].instance
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            actions:
              - type: tag
                tags: {edr: compromised}
    """

    schema = utils.type_schema(
        "eventbridge",
        required=["pattern", "ids"],
        ids={"type": "string", "minLength": 1, "maxLength": 1000},
        bus={"type": "string", "minLength": 1, "maxLength": 1600},
        rinherit=LambdaMode.schema,
    )

    def validate(self) -> None:
        super().validate()
        try:
            utils.jmespath_compile(self.options["ids"])
        except ValueError as error:
            raise self.invalid(f"ids is not a JMESPath expression: {error}") from error

    def event_pattern(self) -> dict[str, Any]:
        pattern: dict[str, Any] = self.options["pattern"]
        return pattern

    def ids_in(self, event: dict[str, Any]) -> list[str]:
        found = utils.jmespath_search(self.options["ids"], event)
        ids: list[str] = self.policy.resource_manager.match_ids(
            texts([found] if isinstance(found, str) else found)
        )
        return ids


MODE = EventBridge
