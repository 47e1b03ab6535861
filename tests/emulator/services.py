"""Every extension, in the order in which it is installed."""

from __future__ import annotations

from tests.emulator import (
    apigateway,
    cloudtrail,
    ec2,
    events,
    guardduty,
    identity,
    inspector2,
    lambdas,
    queues,
    s3,
    securityhub,
    ssm,
)


def install() -> None:
    """Adds everything to moto; must run before the first request builds moto's routes.

    Importing ``cloudtrail``, ``inspector2``, ``ssm``, ``guardduty`` and ``securityhub`` registers
    their operations.
    """
    for module in (
        identity,
        cloudtrail,
        ec2,
        inspector2,
        ssm,
        lambdas,
        queues,
        events,
        guardduty,
        apigateway,
        s3,
        securityhub,
    ):
        getattr(module, "install", lambda: None)()
