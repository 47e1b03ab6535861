"""Every extension, in the order in which it is installed."""

from __future__ import annotations

from tests.emulator import (
    account,
    apigateway,
    cloudtrail,
    ec2,
    events,
    guardduty,
    identity,
    inspector2,
    lambdas,
    s3,
    ssm,
)


def install() -> None:
    """Adds everything to moto; must run before the first request builds moto's routes.

    Importing ``account``, ``cloudtrail``, ``inspector2``, ``ssm`` and ``guardduty`` registers
    their operations.
    """
    for module in (
        identity,
        account,
        cloudtrail,
        ec2,
        inspector2,
        ssm,
        lambdas,
        events,
        guardduty,
        apigateway,
        s3,
    ):
        getattr(module, "install", lambda: None)()
