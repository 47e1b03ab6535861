"""AWS CloudFormation: resource types that moto does not make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.sns.models import sns_backends

Create = Callable[[str, str, dict[str, Any]], str]

MODELS: list[type[CloudFormationModel]] = []


class Made:
    """A resource that was made; its id is what Ref gives."""

    def __init__(self, physical_resource_id: str) -> None:
        self.physical_resource_id = physical_resource_id

    def is_created(self) -> bool:
        return True


def resource(kind: str) -> Callable[[Create], Create]:
    """Adds a resource type: the function gets account, region, properties, and returns the id."""

    def decorate(create: Create) -> Create:
        def make(
            _class: Any, _name: str, document: Any, account_id: str, region_name: str, **_: Any
        ) -> Made:
            return Made(create(account_id, region_name, document["Properties"]))

        members = {
            "cloudformation_type": staticmethod(lambda: kind),
            "create_from_cloudformation_json": classmethod(make),
        }
        MODELS.append(type(create.__name__, (CloudFormationModel,), members))
        return create

    return decorate


@resource("AWS::SNS::Subscription")
def create_subscription(account: str, region: str, given: dict[str, Any]) -> str:
    sns = sns_backends[account][region]
    made = sns.subscribe(given["TopicArn"], given["Endpoint"], given["Protocol"])
    raw = str(given.get("RawMessageDelivery", False)).lower()
    sns.set_subscription_attributes(made.arn, "RawMessageDelivery", raw)
    return str(made.arn)
