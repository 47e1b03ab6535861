"""Gives an instance back what the prior state in its ledger says, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from botocore import exceptions

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_response.containment import identity, prior
from c7n_secops_response.containment.detach import target_of
from c7n_secops_response.containment.interfaces import Each
from c7n_secops_response.containment.protect import apply, mappings
from c7n_secops_response.evidence import capture, shared
from c7n_secops_response.evidence.case import Case, Entry, StepError
from c7n_secops_response.evidence.lock import LockedError
from c7n_secops_response.evidence.shared import IDS_PER_FILTER, Answers, ec2_rows

UNKNOWN = Entry("skipped", reason="its prior state was never known, so it was never changed")


class Restoration:
    """The steps of a release; ``client`` makes the clients of other services."""

    def __init__(self, ec2: Any, client: Callable[..., Any], cases: Sequence[Case]):
        self.ec2, self.client = ec2, client
        self.interfaces = shared.interfaces(ec2, [case.id for case in cases])
        names = {
            group
            for case in cases
            for row in case.prior.get("interfaces", {}).values()
            for group in row["groups"]
        }
        self.groups = Answers(sorted(names), IDS_PER_FILTER, self._read_groups)

    def _read_groups(self, names: list[str]) -> Any:
        for row in ec2_rows(
            self.ec2, "describe_security_groups", "SecurityGroups", "group-id", names
        ):
            yield row["GroupId"], row

    # --- the network

    def restore_groups(self, cases: Sequence[Case], each: Each) -> None:
        """Restore the groups of every interface, read them again, and record the step."""
        waiting = [case for case in cases if not is_done(case, "restore-groups")]
        failures: dict[str, dict[str, str]] = {case.id: {} for case in waiting}
        for case in waiting:
            case.requests.clear()
        each(waiting, lambda case: self._set_groups(case, failures[case.id]))
        after = shared.interfaces(self.ec2, [case.id for case in waiting])
        each(waiting, lambda case: self._record_groups(case, failures[case.id], after))

    def _set_groups(self, case: Case, failures: dict[str, str]) -> None:
        for name, row in case.prior.get("interfaces", {}).items():
            reason = self._try_one(case, name, row["groups"])
            if reason:
                failures[name] = reason

    def _try_one(self, case: Case, interface: str, groups: list[str]) -> str | None:
        """Why an interface could not get its groups, or None."""
        try:
            self._set_one(case, interface, groups)
        except (StepError, LockedError) as error:
            return str(error)
        except FAILURES as error:
            return calls.failure(error)[1]
        return None

    def _set_one(self, case: Case, interface: str, groups: list[str]) -> None:
        held = {row["NetworkInterfaceId"]: row for row in self.interfaces.of(case.id)}
        if interface not in held:
            raise StepError("the interface is no longer there")
        if prior.groups_of(held[interface]) == groups:
            return
        case.keep_lock()
        gone = [group for group in groups if not self.groups.of(group)]
        if gone:
            raise StepError(f"its security group {', '.join(gone)} is gone, so it stays contained")
        case.ask(
            self.ec2.modify_network_interface_attribute,
            NetworkInterfaceId=interface,
            Groups=groups,
        )

    def _record_groups(self, case: Case, failures: dict[str, str], after: Answers) -> None:
        wanted = {name: row["groups"] for name, row in case.prior.get("interfaces", {}).items()}
        try:
            now = {row["NetworkInterfaceId"]: prior.groups_of(row) for row in after.of(case.id)}
        except RefusedError as refused:
            case.note("restore-groups", Entry("failed", wanted, None, f"not re-read: {refused}"))
            return
        wrong = {
            name: failures.get(name, "its groups changed")
            for name, groups in wanted.items()
            if now.get(name) != groups
        }
        new = sorted(now.keys() - wanted.keys())
        if new:
            case.notes.append(f"not in the ledger, and left as they are: {', '.join(new)}")
        reason = "; ".join(f"{name}: {why}" for name, why in wrong.items()) or None
        case.note("restore-groups", Entry("failed" if wrong else "done", wanted, now, reason))

    # --- the instance

    def profile(self, case: Case) -> Entry:
        """The instance profile that it had, or none."""
        if "profile" not in case.prior:
            return UNKNOWN
        wanted = case.before("profile")
        current = identity.association(self.ec2, case)
        identity.set_profile(case, self.ec2, current, wanted["arn"] if wanted else None)
        return Entry("done", current and current["IamInstanceProfile"]["Arn"], wanted)

    def attributes(self, case: Case) -> Entry:
        """Protection, shutdown behaviour, and what happens to the volumes."""
        if "attributes" not in case.prior:
            return UNKNOWN
        wanted, volumes = case.before("attributes"), case.before("volumes")
        found = capture.attributes(case, self.ec2)
        changes: dict[str, dict[str, Any]] = {
            name: {name: {"Value": value}} for name, value in wanted.items() if found[name] != value
        }
        now = prior.of_volumes(case.instance)
        devices = {
            device: lost for device, lost in volumes.items() if now.get(device, lost) != lost
        }
        if devices:
            changes["volumes"] = {"BlockDeviceMappings": mappings(devices)}
        return apply(case, self.ec2, changes, {**found, "volumes": now})

    def imds(self, case: Case) -> Entry:
        """The metadata service."""
        wanted = case.prior.get("imds")
        now = case.instance.get("MetadataOptions", {}).get("HttpEndpoint")
        if not wanted or wanted == now:
            return Entry("skipped")
        case.ask(self.ec2.modify_instance_metadata_options, InstanceId=case.id, HttpEndpoint=wanted)
        return Entry("done", now, wanted)

    def addresses(self, case: Case) -> Entry:
        """The Elastic IP addresses, unless somebody uses them elsewhere by now."""
        wanted = case.prior.get("addresses")
        if not wanted:
            return Entry("skipped")
        held = {row["allocation"] for row in prior.of_addresses(self.interfaces.of(case.id))}
        for row in wanted:
            if row["allocation"] not in held:
                case.ask(
                    self.ec2.associate_address,
                    AllocationId=row["allocation"],
                    NetworkInterfaceId=row["interface"],
                    PrivateIpAddress=row["private"],
                    AllowReassociation=False,
                )
        return Entry("done", sorted(held), [row["allocation"] for row in wanted])

    # --- what it was part of

    def scaling(self, case: Case) -> Entry:
        """Its Auto Scaling group."""
        wanted = case.prior.get("asg")
        if not wanted:
            return Entry("skipped")
        client = self.client("autoscaling")
        rows = calls.read(client.describe_auto_scaling_instances, InstanceIds=[case.id])
        state = next((row["LifecycleState"] for row in rows["AutoScalingInstances"]), None)
        request = {"InstanceIds": [case.id], "AutoScalingGroupName": wanted["group"]}
        if state is None:
            case.ask(client.attach_instances, **request)
        elif state == "Standby":
            case.ask(client.exit_standby, **request)
        return Entry("done", state, wanted)

    def targets(self, case: Case) -> Entry:
        """Its target groups."""
        wanted = case.prior.get("targets", [])
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in wanted:
            groups[row["group"]].append(target_of(row))
        for group, targets in groups.items():
            case.ask(self.client("elbv2").register_targets, TargetGroupArn=group, Targets=targets)
        return Entry("done" if wanted else "skipped", None, wanted)

    def sessions(self, case: Case) -> Entry:
        """Remove the policies that deny the role's old sessions."""
        revoked = case.ledger.get("sessions", {}).get("after") or []
        for row in revoked:
            self._remove_policy(case, row)
        return Entry("done" if revoked else "skipped", revoked)

    def _remove_policy(self, case: Case, row: dict[str, str]) -> None:
        try:
            case.ask(
                self.client("iam").delete_role_policy,
                RoleName=row["role"],
                PolicyName=row["policy"],
            )
        except exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise


def is_done(case: Case, step: str) -> bool:
    """Whether an earlier run has done a step; if so, it counts as done in this one."""
    record = case.ledger.get(step)
    if not record or record["status"] != "done":
        return False
    case.steps[step] = Entry("done", record["before"], record["after"])
    return True
