"""Which flow log sees a network interface, and where its records are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from c7n_secops_edge.logs.places import Place

CLOUDWATCH, S3 = "cloud-watch-logs", "s3"


class Interface(NamedTuple):
    """A network interface: its own addresses, and what a flow log of it may be of."""

    name: str
    addresses: frozenset[str]
    scopes: tuple[str, ...]


def interfaces_of(instance: Mapping[str, Any]) -> list[Interface]:
    """The interfaces of an instance, as DescribeInstances has them."""
    found = []
    for each in instance.get("NetworkInterfaces", ()):
        addresses = [one["PrivateIpAddress"] for one in each.get("PrivateIpAddresses", ())]
        addresses += [one["Ipv6Address"] for one in each.get("Ipv6Addresses", ())]
        scopes = (each["VpcId"], each["SubnetId"], each["NetworkInterfaceId"])
        found.append(Interface(each["NetworkInterfaceId"], frozenset(addresses), scopes))
    return found


def flow_log_of(interface: Interface, flow_logs: Iterable[Mapping[str, Any]]) -> str | None:
    """The flow log to read: of denied traffic alone, in S3, of the whole network, if there is one.

    None where no flow log records the interface's denied traffic in a place that we read.
    """
    ranks = [
        (
            log["TrafficType"] != "REJECT",
            log.get("LogDestinationType") != S3,
            interface.scopes.index(log["ResourceId"]),
            log["FlowLogId"],
        )
        for log in flow_logs
        if log["ResourceId"] in interface.scopes
        and log.get("FlowLogStatus") == "ACTIVE"
        and log.get("TrafficType") in ("REJECT", "ALL")
        and log.get("LogDestinationType", CLOUDWATCH) in (CLOUDWATCH, S3)
    ]
    return min(ranks)[-1] if ranks else None


def place_of(flow_log: Mapping[str, Any], account: str, region: str) -> Place:
    """Where the files of a flow log are in S3."""
    bucket, _, prefix = flow_log["LogDestination"].split(":::", 1)[1].partition("/")
    options = flow_log.get("DestinationOptions") or {}
    hourly = options.get("PerHourPartition")
    if options.get("HiveCompatiblePartitions"):
        folders = (
            f"AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs/aws-region={region}/"
            "year={yyyy}/month={MM}/day={dd}/" + ("hour={HH}/" if hourly else "")
        )
    else:
        folders = f"AWSLogs/{account}/vpcflowlogs/{region}/{{yyyy}}/{{MM}}/{{dd}}/"
        folders += "{HH}/" if hourly else ""
    name = f"{account}_vpcflowlogs_{region}_{flow_log['FlowLogId']}_"
    return Place(bucket, f"{prefix.strip('/')}/{folders}{name}".lstrip("/"), timedelta(hours=1))


def group_of(flow_log: Mapping[str, Any]) -> str:
    """The log group of a flow log in CloudWatch Logs."""
    return str(flow_log.get("LogGroupName") or flow_log["LogDestination"].split(":log-group:")[1])
