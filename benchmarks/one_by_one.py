"""The flow that ingestion replaces: a function started for each finding, which asks eight times.

It takes a role in the finding's account, asks for the account's name, the instance, its tags, VPC,
subnet and security groups, and stores one object.
"""

from __future__ import annotations

import json
from typing import Any

from tests.emulator import Emulator

CALLS = 8


class OneByOne:
    """Handles findings of ListFindings' shape one at a time, and counts its calls."""

    def __init__(self, emulator: Emulator, hub: str, bucket: str):
        self.emulator, self.hub, self.bucket = emulator, hub, bucket
        self.calls = 0

    def client(self, service: str, account: str, region: str) -> Any:
        return self.emulator.client(service, account, region)

    def handle(self, finding: dict[str, Any], role: str, region: str) -> None:
        """What the function does for one finding."""
        account = finding["awsAccountId"]
        name = finding["resources"][0]["id"]
        self.ask("sts", self.hub, region, "assume_role", RoleArn=role, RoleSessionName="seed")
        self.ask("iam", account, region, "list_account_aliases")
        told = self.ask("ec2", account, region, "describe_instances", InstanceIds=[name])
        instance = told["Reservations"][0]["Instances"][0]
        by_id = [{"Name": "resource-id", "Values": [name]}]
        self.ask("ec2", account, region, "describe_tags", Filters=by_id)
        self.ask("ec2", account, region, "describe_vpcs", VpcIds=[instance["VpcId"]])
        self.ask("ec2", account, region, "describe_subnets", SubnetIds=[instance["SubnetId"]])
        groups = [each["GroupId"] for each in instance["SecurityGroups"]]
        by_group = [{"Name": "group-id", "Values": groups or ["none"]}]
        self.ask("ec2", account, region, "describe_security_groups", Filters=by_group)
        body = json.dumps(finding, default=str).encode()
        key = f"{self.calls}.json"
        self.ask("s3", self.hub, region, "put_object", Bucket=self.bucket, Key=key, Body=body)

    def ask(self, service: str, account: str, region: str, operation: str, **given: Any) -> Any:
        self.calls += 1
        return getattr(self.client(service, account, region), operation)(**given)
