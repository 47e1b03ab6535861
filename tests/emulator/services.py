"""Every extension, in the order in which it is installed."""

from __future__ import annotations

from tests.emulator import (
    account,
    apigateway,
    athena,
    cloudfront,
    cloudtrail,
    config,
    ec2,
    events,
    flow_logs,
    guardduty_members,
    iam_users,
    identity,
    inspector2,
    lambdas,
    logs,
    network_acl,
    queues,
    s3,
    securityhub,
    sns,
    ssm,
    wafv2,
)


def install() -> None:
    """Adds everything to moto; must run before the first request builds moto's routes.

    Importing ``account``, ``athena``, ``cloudfront``, ``cloudtrail``, ``guardduty_members``,
    ``inspector2``, ``network_acl``, ``securityhub``, ``ssm`` and ``wafv2`` registers their
    operations.
    """
    for module in (
        identity,
        athena,
        cloudfront,
        iam_users,
        account,
        cloudtrail,
        config,
        ec2,
        flow_logs,
        inspector2,
        ssm,
        lambdas,
        logs,
        queues,
        events,
        guardduty_members,
        apigateway,
        s3,
        network_acl,
        wafv2,
        securityhub,
        sns,
    ):
        getattr(module, "install", lambda: None)()
