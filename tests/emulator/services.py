"""Every extension, in the order in which it is installed."""

from __future__ import annotations

from tests.emulator import ec2, events, guardduty, identity, inspector2, lambdas, ssm


def install() -> None:
    """Adds everything to moto; must run before the first request builds moto's routes.

    Importing ``inspector2``, ``ssm`` and ``guardduty`` registers their operations.
    """
    for module in (identity, ec2, inspector2, ssm, lambdas, events, guardduty):
        getattr(module, "install", lambda: None)()
