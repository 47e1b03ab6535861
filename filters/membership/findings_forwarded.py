"""EventBridge: are a region's findings forwarded to one place?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws.calls import RefusedError
from c7n_secops_membership import forwarding
from c7n_secops_membership.forwarding import STATUSES, ForwardingElement

RESOURCES = ("aws.account",)


class FindingsForwarded(ForwardingElement, Filter):
    """Finds accounts and regions whose findings are forwarded, or are not.

    {destination}

    The account matches where the rule of any of the ``sources`` has one of the ``status``:
    ``forwarded``, ``missing``, ``disabled``, ``different`` (another pattern or target) or
    ``target`` (the default bus is itself what ``to`` names). Rules of other names are not looked
    at.

    Annotates ``c7n:FindingsForwarded`` with the rules that matched: ``Source``, ``Rule``,
    ``Status`` and ``Reason``. An account whose rules AWS refused to show is not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-findings-not-forwarded
            resource: aws.account
            filters:
              - type: findings-forwarded
                to: arn:aws:sqs:{region}:111111111111:security-findings
                account: "111111111111"
                status: [missing, disabled, different]
    """

    documented = {"destination": forwarding.DOC}
    schema = type_schema(
        "findings-forwarded",
        required=["to", "account", "status"],
        status={
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": list(STATUSES)},
        },
        **forwarding.SCHEMA,
    )
    permissions = ("events:DescribeRule", "events:ListTargetsByRule")
    annotation_key = "c7n:FindingsForwarded"
    annotations = {annotation_key: "the rules that matched: Source, Rule, Status, Reason"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("another status")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        try:
            rules = [rule for rule in self.rules() if rule.status in self.data["status"]]
        except RefusedError as refused:
            self.not_evaluated(resources, refused.code, str(refused))
            return []
        for resource in resources:
            resource[self.annotation_key] = [
                {
                    "Source": rule.source,
                    "Rule": rule.name,
                    "Status": rule.status,
                    "Reason": rule.reason,
                }
                for rule in rules
            ]
        return resources if rules else []
