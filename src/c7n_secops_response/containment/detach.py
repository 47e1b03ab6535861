"""Takes an instance out of what would replace it, send to it, or let it be reached."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from botocore import exceptions

from c7n_secops_response.containment import prior
from c7n_secops_response.evidence.case import Case, Entry

GONE = frozenset({"InvalidAssociationID.NotFound"})


class Detachment:
    """Auto Scaling, target groups and Elastic IP addresses; ``options`` as in ``detach``."""

    def __init__(self, ec2: Any, autoscaling: Any, elb: Any, options: dict[str, Any]):
        self.ec2, self.autoscaling, self.elb = ec2, autoscaling, elb
        self.mode = options.get("asg", "detach")
        self.replace = options.get("replace", True)

    def leave_group(self, case: Case) -> Entry:
        """Detach from the Auto Scaling group, or put in standby; both also end its traffic."""
        before = case.before("asg")
        if not before:
            return Entry("skipped")
        request = {
            "InstanceIds": [case.id],
            "AutoScalingGroupName": before["group"],
            "ShouldDecrementDesiredCapacity": not self.replace,
        }
        wanted = None if self.mode == "detach" else "Standby"
        if self._state(case) != wanted:
            standby = self.autoscaling.enter_standby
            case.ask(self.autoscaling.detach_instances if wanted is None else standby, **request)
        return Entry("done", before, {"state": wanted or "detached"})

    def _state(self, case: Case) -> str | None:
        """The state of the instance in its Auto Scaling group now; None outside of one."""
        answer = self.autoscaling.describe_auto_scaling_instances(InstanceIds=[case.id])
        rows = answer["AutoScalingInstances"]
        state = rows[0]["LifecycleState"] if rows else None
        return None if state and state.startswith("Detach") else state

    def deregister(self, case: Case, registered: list[dict[str, Any]]) -> Entry:
        """Leave every target group; ``registered`` are the targets that still are one."""
        before = case.before("targets")
        if not before:
            return Entry("skipped")
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in registered:
            groups[row["group"]].append(target_of(row))
        for group, targets in groups.items():
            case.ask(self.elb.deregister_targets, TargetGroupArn=group, Targets=targets)
        return Entry("done", before, sorted(groups))

    def drop_addresses(self, case: Case, interfaces: list[dict[str, Any]]) -> Entry:
        """Disassociate the Elastic IP addresses; they stay allocated."""
        before = case.before("addresses")
        if not before:
            return Entry("skipped")
        held = prior.of_addresses(interfaces)
        for row in held:
            self._disassociate(case, row["association"])
        return Entry("done", before, [row["allocation"] for row in held])

    def _disassociate(self, case: Case, association: str) -> None:
        try:
            case.ask(self.ec2.disassociate_address, AssociationId=association)
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise


def target_of(row: dict[str, Any]) -> dict[str, Any]:
    """A recorded target as the calls take it."""
    return {key: row[key] for key in ("Id", "Port", "AvailabilityZone") if key in row}
