"""AWS CloudFormation: resource types that moto does not make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.common_models import CloudFormationModel
from moto.sns.models import sns_backends

Create = Callable[[str, str, dict[str, Any]], Any]

MODELS: list[type[CloudFormationModel]] = []


class Made:
    """A resource that was made; its id is what Ref gives, the attributes what GetAtt does."""

    def __init__(self, physical_resource_id: str, attributes: dict[str, str]) -> None:
        self.physical_resource_id = physical_resource_id
        self.get_cfn_attribute = attributes.__getitem__

    def is_created(self) -> bool:
        return True


def resource(kind: str) -> Callable[[Create], Create]:
    """Adds a resource type: the function gets account, region and properties.

    It returns the id, or the id and the attributes.
    """

    def decorate(create: Create) -> Create:
        def make(
            _class: Any, _name: str, document: Any, account_id: str, region_name: str, **_: Any
        ) -> Made:
            made = create(account_id, region_name, document["Properties"])
            return Made(*made) if isinstance(made, tuple) else Made(made, {})

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
