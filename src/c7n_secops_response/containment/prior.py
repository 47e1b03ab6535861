"""The state of an instance before containment, which release restores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from c7n_secops.aws.calls import FAILURES
from c7n_secops_response.containment.surroundings import Surroundings
from c7n_secops_response.evidence import capture
from c7n_secops_response.evidence.case import Case


def of_interfaces(interfaces: list[dict[str, Any]]) -> dict[str, Any]:
    """Each interface's security groups and VPC."""
    return {
        row["NetworkInterfaceId"]: {
            "groups": groups_of(row),
            "vpc": row["VpcId"],
            "requester-managed": row.get("RequesterManaged", False),
        }
        for row in interfaces
    }


def groups_of(interface: dict[str, Any]) -> list[str]:
    return sorted(group["GroupId"] for group in interface["Groups"])


def of_addresses(interfaces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The Elastic IP addresses, and the private address that each belongs to."""
    return [
        {
            "interface": row["NetworkInterfaceId"],
            "private": address["PrivateIpAddress"],
            "public": address["Association"].get("PublicIp"),
            "allocation": address["Association"]["AllocationId"],
            "association": address["Association"].get("AssociationId"),
        }
        for row in interfaces
        for address in row.get("PrivateIpAddresses", ())
        if address.get("Association", {}).get("AllocationId")
    ]


def of_volumes(instance: dict[str, Any]) -> dict[str, bool]:
    """Whether each volume is deleted with the instance, by device."""
    return {
        row["DeviceName"]: row["Ebs"]["DeleteOnTermination"]
        for row in instance.get("BlockDeviceMappings", ())
        if "Ebs" in row
    }


def of_profile(association: dict[str, Any] | None) -> dict[str, Any] | None:
    return association and {"arn": association["IamInstanceProfile"]["Arn"]}


class Attributes:
    """An instance's attributes before containment, read once, and only if they are not known."""

    def __init__(self, case: Case, client: Any):
        self.case, self.client = case, client
        self._error: Exception | None = None
        self._found: dict[str, Any] | None = case.prior.get("attributes")

    def __call__(self) -> dict[str, Any]:
        """Give them; raises one of FAILURES, the same each time."""
        if self._error:
            raise self._error
        if self._found is None:
            try:
                self._found = capture.attributes(self.case, self.client)
            except FAILURES as error:
                self._error = error
                raise
        return self._found


def sections(
    case: Case,
    interfaces: list[dict[str, Any]],
    surroundings: Surroundings,
    attributes: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """What can be learned of the state now; what AWS refuses to tell is left out.

    A step changes nothing whose section is not there.
    """
    reads: dict[str, Callable[[], Any]] = {
        "attributes": attributes,
        "volumes": lambda: of_volumes(case.instance),
        "interfaces": lambda: of_interfaces(interfaces),
        "addresses": lambda: of_addresses(interfaces),
        "profile": lambda: of_profile(surroundings.profile(case)),
        "asg": lambda: surroundings.scaling(case),
        "targets": lambda: surroundings.targets(case, interfaces),
        "imds": lambda: case.instance.get("MetadataOptions", {}).get("HttpEndpoint"),
    }
    found = {}
    for name, read in reads.items():
        if name not in case.prior or name == "interfaces":
            found.update(_section(case, name, read))
    return found


def _section(case: Case, name: str, read: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {name: read()}
    except FAILURES as error:
        case.notes.append(f"prior state ({name}) not read: {error}")
        return {}
