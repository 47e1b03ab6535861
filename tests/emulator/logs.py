"""Amazon CloudWatch Logs: deliveries of logs that CloudFormation makes."""

from __future__ import annotations

from typing import Any

from moto.logs.models import logs_backends

from tests.emulator.cloudformation import resource


@resource("AWS::Logs::DeliverySource")
def make_source(account: str, region: str, given: dict[str, Any]) -> str:
    made = logs_backends[account][region].put_delivery_source(
        given["Name"], given["ResourceArn"], given["LogType"], {}
    )
    return str(made.name)


@resource("AWS::Logs::DeliveryDestination")
def make_destination(
    account: str, region: str, given: dict[str, Any]
) -> tuple[str, dict[str, str]]:
    place = {"destinationResourceArn": given["DestinationResourceArn"]}
    made = logs_backends[account][region].put_delivery_destination(
        given["Name"], given.get("OutputFormat"), place, {}
    )
    return str(made.name), {"Arn": made.arn}


@resource("AWS::Logs::Delivery")
def make_delivery(account: str, region: str, given: dict[str, Any]) -> str:
    made = logs_backends[account][region].create_delivery(
        given["DeliverySourceName"], given["DeliveryDestinationArn"], None, None, None, {}
    )
    return str(made.id)
