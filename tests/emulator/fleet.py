"""The instances of an account, and which of them AWS Systems Manager manages.

An instance is managed when it runs and carries an instance profile, which is the precondition on
AWS that moto can know; ``Emulator.set_agent`` overrides it for one instance.
"""

from __future__ import annotations

from typing import Any

from tests.emulator.kit import backend, state


def instances(account: str, region: str) -> list[Any]:
    """Lists moto's instances, terminated ones included."""
    reservations = list(backend("ec2", account, region).reservations.values())
    return [instance for reservation in reservations for instance in reservation.instances]


def tags_of(instance: Any) -> dict[str, str]:
    return dict(instance.ec2_backend.tags.get(instance.id, {}))


def agents(account: str, region: str) -> dict[str, dict[str, Any]]:
    """Returns what a test has set about agents, by instance id."""
    found: dict[str, dict[str, Any]] = state("ssm", account, region, "agents")
    return found


def has_profile(account: str, region: str, instance: Any) -> bool:
    associations = backend("ec2", account, region).iam_instance_profile_associations
    return instance.id in associations


def is_managed(account: str, region: str, instance: Any) -> bool:
    if instance.state in ("terminated", "shutting-down"):
        return False
    override = agents(account, region).get(instance.id)
    if override is not None:
        return not override.get("absent")
    return instance.state == "running" and has_profile(account, region, instance)


def managed(account: str, region: str) -> dict[str, Any]:
    """Returns the managed instances by id."""
    return {i.id: i for i in instances(account, region) if is_managed(account, region, i)}


def ping_status(account: str, region: str, instance_id: str) -> str:
    return str(agents(account, region).get(instance_id, {}).get("PingStatus", "Online"))
