"""VPC flow logs, where moto differs: a destination may have a folder, and destination options."""

from __future__ import annotations

from typing import Any

from moto.ec2.responses import EC2Response

moto_create = EC2Response.create_flow_logs


def create_flow_logs(self: EC2Response) -> Any:
    destination = self._get_param("LogDestination") or ""
    options = self._get_param("DestinationOptions") or {}
    bucket, _, folder = destination.partition("/")
    if folder and ":s3:::" in bucket:
        self.params["LogDestination"] = bucket
    answer = moto_create(self)
    for name in answer.result["FlowLogIds"]:
        (log,) = self.ec2_backend.describe_flow_logs(flow_log_ids=[name])
        log.log_destination = destination
        log.destination_options = {
            "FileFormat": options.get("FileFormat", "plain-text"),
            "HiveCompatiblePartitions": options.get("HiveCompatiblePartitions", False),
            "PerHourPartition": options.get("PerHourPartition", False),
        }
    return answer


def install() -> None:
    EC2Response.create_flow_logs = create_flow_logs
