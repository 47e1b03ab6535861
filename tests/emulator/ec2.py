"""Amazon EC2, where moto differs.

* ``DescribeInstances`` pages by instance (moto pages by reservation) and checks ``MaxResults``.
* ``RunInstances`` gives the instance profile to every instance of the call (moto: to the first).
* The security groups of an instance and of its primary interface are one and the same thing.
* ``GetConsoleScreenshot`` exists.
* ``RebootInstances`` finishes patches that waited for a reboot.
* The tags of a resource are looked up, not searched for (in moto a page of instances takes time in
  proportion to all tags of the region).
* A snapshot that is shared is visible to the account that it is shared with.
* ``CreateSnapshots`` answers with the state of each snapshot, ``LockSnapshot`` exists, and a
  snapshot is in the state that a test has seeded (``snapshot_states``: by id, ``*`` for the rest).
* ``DescribeNetworkInterfaces`` tells the Elastic IP address of the private address that has it.
* An interface that a test has seeded as requester-managed says so and cannot be changed.
* ``ReplaceIamInstanceProfileAssociation`` gives a new association, which the instance shows.
* ``ModifyInstanceAttribute`` sets InstanceInitiatedShutdownBehavior (moto: empties the groups).
* ``ModifyInstanceMetadataOptions`` keeps what it is not told to change.
* ``DeleteSecurityGroup`` refuses a group that an interface has.
"""

# Parameters are named as AWS names them.
# ruff: noqa: N803

from __future__ import annotations

import base64
import copy
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.elastic_block_store import EBSBackend, Snapshot
from moto.ec2.models.elastic_network_interfaces import (
    NetworkInterface,
    NetworkInterfaceBackend,
)
from moto.ec2.models.iam_instance_profile import IamInstanceProfileAssociationBackend
from moto.ec2.models.instances import InstanceBackend, MetadataOptions
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.utils import (
    EC2_PREFIX_TO_RESOURCE,
    get_prefix,
    random_iam_instance_profile_association_id,
)

from tests.emulator import fleet, ssm
from tests.emulator.kit import Context, backend, fail, fingerprint, operation, page, state

SCREENSHOT = base64.b64encode(b"\xff\xd8\xff\xe0JFIF-screenshot").decode()
ALL = 1000
SNAPSHOT_STATES = "snapshot_states"
REQUESTER_MANAGED = "requester_managed"

moto_run_instances = InstanceResponse.run_instances
moto_reboot_instances = InstanceResponse.reboot_instances
moto_modify_interface = NetworkInterfaceBackend.modify_network_interface_attribute
moto_modify_groups = InstanceBackend.modify_instance_security_groups
moto_describe_snapshots = EBSBackend.describe_snapshots
moto_replace_association = (
    IamInstanceProfileAssociationBackend.replace_iam_instance_profile_association
)
moto_all_interfaces = NetworkInterfaceBackend.get_all_network_interfaces
moto_modify_attribute = InstanceResponse.modify_instance_attribute
moto_delete_group = SecurityGroupBackend.delete_security_group


@operation("ec2", "GetConsoleScreenshot")
def get_console_screenshot(
    context: Context, InstanceId: str, DryRun: bool = False, WakeUp: bool = False
) -> dict[str, Any]:
    known = {i.id for i in fleet.instances(context.account, context.region)}
    if InstanceId not in known:
        fail("InvalidInstanceID.NotFound", f"The instance ID '{InstanceId}' does not exist")
    if DryRun:
        fail("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    return {"InstanceId": InstanceId, "ImageData": SCREENSHOT}


def describe_instances(self: InstanceResponse) -> ActionResult:
    self.error_on_dryrun()
    size, token = self._get_param("MaxResults"), self._get_param("NextToken")
    instance_ids = self._get_param("InstanceIds", [])
    if instance_ids and size is not None:
        fail(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    if size is not None and not 5 <= int(size) <= ALL:
        fail(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. "
            "Expecting a value between 5 and 1000.",
        )
    filters = self._filters_from_querystring()
    ec2 = self.ec2_backend
    if instance_ids:
        reservations = ec2.get_reservations_by_instance_ids(instance_ids, filters=filters)
        return ActionResult({"Reservations": reservations, "NextToken": None})
    reservations = ec2.describe_instances(filters=filters)
    pairs = [(r, instance) for r in reservations for instance in r.instances]
    # Without MaxResults AWS answers everything it can; we page at 1,000 as it may.
    query = fingerprint(filters)
    shown, following = page(pairs, token, int(size or ALL), query, "InvalidNextToken")
    return ActionResult({"Reservations": regroup(shown), "NextToken": following})


def regroup(pairs: Any) -> list[Any]:
    """Makes reservations that hold only the instances of one page."""
    parts: dict[str, Any] = {}
    for reservation, instance in pairs:
        if reservation.id not in parts:
            part = copy.copy(reservation)
            part.instances = []
            parts[reservation.id] = part
        parts[reservation.id].instances.append(instance)
    return list(parts.values())


def run_instances(self: InstanceResponse) -> ActionResult:
    result = moto_run_instances(self)
    name = self._get_param("IamInstanceProfile.Name")
    arn = self._get_param("IamInstanceProfile.Arn")
    if name or arn:
        known = self.ec2_backend.iam_instance_profile_associations
        for instance in result.result.instances:
            if instance.id not in known:
                self.ec2_backend.associate_iam_instance_profile(
                    instance_id=instance.id,
                    iam_instance_profile_name=name,
                    iam_instance_profile_arn=arn,
                )
    return result


def reboot_instances(self: InstanceResponse) -> Any:
    result = moto_reboot_instances(self)
    ssm.rebooted(self.current_account, self.region, self._get_param("InstanceIds", []))
    return result


# --- security groups of an instance, and of its interfaces --------------------------------------


def group_set(self: NetworkInterface) -> list[Any]:
    """An interface's own groups (moto adds the instance's, so that none can ever be removed)."""
    return list(self._group_set)


def modify_interface(
    self: NetworkInterfaceBackend, eni_id: str, group_ids: list[str], *args: Any, **kwargs: Any
) -> None:
    interface = self.get_network_interface(eni_id)
    if interface.requester_managed:
        fail("AuthFailure", "You do not have permission to access the specified resource.")
    if group_ids:
        for group_id in group_ids:
            group = self.get_security_group_from_id(group_id)
            if group is None:
                fail("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
            if group.vpc_id != interface.subnet.vpc_id:
                fail(
                    "InvalidGroup.NotFound",
                    f"You have specified two resources that belong to different networks: "
                    f"{group_id} and {eni_id}",
                )
    moto_modify_interface(self, eni_id, group_ids, *args, **kwargs)
    if group_ids and interface.instance and interface.device_index == 0:
        interface.instance.security_groups = list(interface._group_set)


def modify_groups(self: InstanceBackend, instance_id: str, group_ids: list[str]) -> Any:
    instance = self.get_instance(instance_id)
    if len(instance.nics) > 1:
        fail(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance_id}'. Please specify "
            "an interface ID for the operation instead.",
        )
    result = moto_modify_groups(self, instance_id, group_ids)
    for interface in instance.nics.values():
        interface._group_set = list(instance.security_groups)
    return result


# --- tags ----------------------------------------------------------------------------------------


def get_tags(self: TaggedEC2Resource) -> list[dict[str, str]]:
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "")
    tags = self.ec2_backend.tags.get(self.id, {})
    return [
        {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
        for key, value in list(tags.items())
    ]


# --- shared snapshots ---------------------------------------------------------------------------


def describe_snapshots(
    self: EBSBackend, snapshot_ids: list[str] | None = None, filters: Any = None
) -> list[Snapshot]:
    """Shows a snapshot that another account has shared, when it is asked for by id."""
    own = set(self.snapshots)
    account, region = self.account_id, self.region_name
    foreign = [
        found
        for each in snapshot_ids or []
        if each not in own and (found := find_shared_snapshot(each, account, region))
    ]
    if not foreign:
        return moto_describe_snapshots(self, snapshot_ids, filters)
    rest = [each for each in snapshot_ids or [] if each in own]
    return (moto_describe_snapshots(self, rest, filters) if rest else []) + foreign


def find_shared_snapshot(snapshot_id: str, account: str, region: str) -> Snapshot | None:
    from moto.ec2.models import ec2_backends

    for owner in list(ec2_backends):
        found = backend("ec2", owner, region).snapshots.get(snapshot_id)
        if found and (
            account in found.create_volume_permission_userids
            or "all" in found.create_volume_permission_groups
        ):
            shared: Snapshot = found
            return shared
    return None


# --- the state of snapshots, and their locks -----------------------------------------------------


def snapshot_state(self: Snapshot) -> str:
    """What a test has seeded for this snapshot, or for all that it has not seeded by id."""
    states = state(
        "ec2", self.ec2_backend.account_id, self.ec2_backend.region_name, SNAPSHOT_STATES
    )
    return str(states.get(self.id, states.get("*", "completed")))


def ignore_state(self: Snapshot, value: str) -> None:
    """moto sets every snapshot to completed."""


@operation("ec2", "LockSnapshot")
def lock_snapshot(
    context: Context, SnapshotId: str, LockMode: str, LockDuration: int | None = None, **_: Any
) -> dict[str, Any]:
    if SnapshotId not in context.backend().snapshots:
        fail("InvalidSnapshot.NotFound", f"The snapshot '{SnapshotId}' does not exist.")
    days = int(LockDuration or 0)
    context.state("snapshot_locks")[SnapshotId] = {"mode": LockMode, "days": days}
    return {"SnapshotId": SnapshotId, "LockState": LockMode, "LockDuration": days}


# --- interfaces, profiles, metadata options, groups ----------------------------------------------


def is_requester_managed(self: NetworkInterface) -> bool:
    home = self.ec2_backend
    return self.id in state("ec2", home.account_id, home.region_name, REQUESTER_MANAGED)


def ignore_requester(self: NetworkInterface, value: bool) -> None:
    """moto sets every interface to False."""


def all_interfaces(
    self: NetworkInterfaceBackend, *args: Any, **kwargs: Any
) -> list[NetworkInterface]:
    found = moto_all_interfaces(self, *args, **kwargs)
    for interface in found:
        for address in interface.private_ip_addresses:
            address.pop("Association", None)
            if address.get("Primary") and interface.association:
                address["Association"] = interface.association
    return found


def replace_association(
    self: IamInstanceProfileAssociationBackend, association_id: str, *args: Any, **kwargs: Any
) -> Any:
    association = moto_replace_association(self, association_id, *args, **kwargs)
    association.association_id = random_iam_instance_profile_association_id()
    association.instance.iam_instance_profile = {
        "Arn": association.iam_instance_profile.arn,
        "Id": association.association_id,
    }
    return association


def modify_attribute(self: InstanceResponse) -> ActionResult:
    behaviour = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if behaviour is None:
        return moto_modify_attribute(self)
    self.ec2_backend.modify_instance_attribute(
        self._get_param("InstanceId"), "instance_initiated_shutdown_behavior", behaviour
    )
    return EmptyResult()


def modify_metadata_options(
    self: InstanceBackend, instance_id: str, **wanted: Any
) -> MetadataOptions:
    instance = self.get_instance(instance_id)
    names = {
        "http_tokens": "http_tokens",
        "hop_limit": "http_put_response_hop_limit",
        "http_endpoint": "http_endpoint",
        "http_protocol": "http_protocol_ipv6",
        "metadata_tags": "instance_metadata_tags",
    }
    for given, attribute in names.items():
        if wanted.get(given) is not None:
            setattr(instance.metadata_options, attribute, wanted[given])
    return instance.metadata_options


def delete_group(
    self: SecurityGroupBackend, name: str | None = None, group_id: str | None = None
) -> None:
    held = any(
        group.id == group_id for interface in self.enis.values() for group in interface._group_set
    )
    if held:
        fail("DependencyViolation", f"resource {group_id} has a dependent object")
    moto_delete_group(self, name, group_id)


def install() -> None:
    EBSBackend.describe_snapshots = describe_snapshots
    IamInstanceProfileAssociationBackend.replace_iam_instance_profile_association = (
        replace_association
    )
    InstanceBackend.modify_instance_metadata_options = modify_metadata_options
    NetworkInterface.requester_managed = property(is_requester_managed, ignore_requester)
    NetworkInterfaceBackend.get_all_network_interfaces = all_interfaces
    SecurityGroupBackend.delete_security_group = delete_group
    Snapshot.status = property(snapshot_state, ignore_state)
    Snapshot.state = property(snapshot_state)
    InstanceResponse.modify_instance_attribute = modify_attribute
    InstanceResponse.describe_instances = describe_instances
    InstanceResponse.run_instances = run_instances
    InstanceResponse.reboot_instances = reboot_instances
    InstanceBackend.modify_instance_security_groups = modify_groups
    NetworkInterface.group_set = property(group_set)
    NetworkInterfaceBackend.modify_network_interface_attribute = modify_interface
    TaggedEC2Resource.get_tags = get_tags
