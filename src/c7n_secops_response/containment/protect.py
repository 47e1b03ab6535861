"""Keeps an instance and its volumes from being deleted while the case is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.evidence.case import Case, Entry

KINDS = ("termination", "stop", "shutdown", "volumes")


class Protection:
    """Sets what ``kinds`` names and is not set yet."""

    def __init__(self, client: Any, kinds: Sequence[str]):
        self.client, self.kinds = client, kinds

    def protect(self, case: Case) -> Entry:
        """The step; what a kind of instance cannot have is told and is no failure."""
        attributes, volumes = case.before("attributes"), case.before("volumes")
        spot = case.instance.get("InstanceLifecycle") == "spot"
        ebs = case.instance.get("RootDeviceType", "ebs") == "ebs"
        changes: dict[str, dict[str, Any]] = {}
        untold = []
        if "termination" in self.kinds and not attributes["DisableApiTermination"]:
            if spot:
                untold.append("Spot instances have no termination protection")
            else:
                changes["termination"] = {"DisableApiTermination": {"Value": True}}
        if "stop" in self.kinds and not attributes["DisableApiStop"]:
            if spot or not ebs:
                untold.append("this kind of instance has no stop protection")
            else:
                changes["stop"] = {"DisableApiStop": {"Value": True}}
        behaviour = attributes["InstanceInitiatedShutdownBehavior"]
        if "shutdown" in self.kinds and behaviour == "terminate" and ebs:
            changes["shutdown"] = {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
        deleted = sorted(device for device, lost in volumes.items() if lost)
        if "volumes" in self.kinds and deleted:
            changes["volumes"] = {"BlockDeviceMappings": mappings(dict.fromkeys(deleted, False))}
        case.notes += untold
        return apply(case, self.client, changes, {**attributes, "volumes": volumes})


def mappings(devices: dict[str, bool]) -> list[dict[str, Any]]:
    """How ModifyInstanceAttribute takes DeleteOnTermination of devices."""
    return [
        {"DeviceName": device, "Ebs": {"DeleteOnTermination": lost}}
        for device, lost in devices.items()
    ]


def apply(
    case: Case, client: Any, changes: dict[str, dict[str, Any]], before: dict[str, Any]
) -> Entry:
    """Change one attribute a call, each whether the others succeed or not."""
    failures = [
        reason
        for name, change in changes.items()
        if (reason := _change(case, client.modify_instance_attribute, name, change))
    ]
    status = "failed" if failures else "done" if changes else "skipped"
    return Entry(status, before, list(changes.values()), "; ".join(failures) or None)


def _change(
    case: Case, call: Callable[..., dict[str, Any]], name: str, change: dict[str, Any]
) -> str | None:
    try:
        case.ask(call, InstanceId=case.id, **change)
    except FAILURES as error:
        return f"{name}: {calls.failure(error)[1]}"
    return None
