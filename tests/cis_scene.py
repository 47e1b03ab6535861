"""Two accounts for the CIS pack: one breaks every control beside near misses, one breaks none."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import yaml

from tests.emulator import Emulator
from tests.harness import POLICIES, REGION

PACK = POLICIES / "cis-aws-foundations"
BROKEN, SOUND = "111111111111", "222222222222"
TODAY = datetime.now(timezone.utc)
ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
ADMIN = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)
READ = ADMIN.replace('"Action": "*"', '"Action": "s3:*"')


def policies() -> list[dict[str, Any]]:
    return [
        policy
        for file in sorted(PACK.glob("*.yml"))
        for policy in yaml.safe_load(file.read_text())["policies"]
    ]


def ago(days: float) -> str:
    return (TODAY - timedelta(days=days)).isoformat(timespec="seconds")


class Scene:
    """Makes things in one account; every call is a request to the emulator."""

    def __init__(self, emulator: Emulator, account: str):
        self.emulator, self.account = emulator, account

    def __getattr__(self, service: str) -> Any:
        name = service.removesuffix("_client")
        return self.emulator.client(name, self.account, REGION)

    def seed(self, service: str, key: str, items: Any, region: str = "aws") -> None:
        self.emulator.seed(service, self.account, region, key, items)

    def user(
        self,
        name: str,
        *,
        made: float = 400,
        password: bool = False,
        keys: tuple[float, ...] = (),
        mfa: bool = False,
        **report: str,
    ) -> list[str]:
        """A user made so many days ago, with keys made so many days ago."""
        self.iam.create_user(UserName=name)
        created = {name: ago(made)}
        if password:
            self.iam.create_login_profile(UserName=name, Password="Correct-horse-9-battery")
        if mfa:
            device = self.iam.create_virtual_mfa_device(VirtualMFADeviceName=name)
            serial = device["VirtualMFADevice"]["SerialNumber"]
            self.iam.enable_mfa_device(
                UserName=name,
                SerialNumber=serial,
                AuthenticationCode1="123456",
                AuthenticationCode2="654321",
            )
        ids = []
        for days in keys:
            key = self.iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
            created[key] = ago(days)
            ids.append(key)
        self.seed("iam", "created", created)
        self.seed("iam", "credential_report", {name: report})
        return ids


def pattern_of(policy: dict[str, Any]) -> str:
    """A metric filter that has every term of a policy, written as the console writes it."""
    regex = policy["filters"][0]["log-metric-filter-pattern"]["value"]
    terms = re.findall(r"\(\?=\.\*(.*?)\)(?=\(\?=|$)", regex)
    plain = [
        re.sub(r"\(\?!.*$", "", term)
        .replace(r"\s*", " ")
        .replace(r"\s+", " ")
        .replace('"?', "")
        .replace("\\", "")
        for term in terms
    ]
    return "{ " + " || ".join(f"({term})" for term in plain) + " }"


def alarms() -> dict[str, str]:
    """The metric filters of section 4, by the policy that asks for each."""
    return {
        policy["name"]: pattern_of(policy)
        for policy in policies()
        if policy["name"].startswith("cis-alarm-")
    }


def put_alarm(scene: Scene, name: str, pattern: str, group: str = "trail", topic: str = "") -> None:
    scene.logs.put_metric_filter(
        logGroupName=group,
        filterName=name,
        filterPattern=pattern,
        metricTransformations=[{"metricName": name, "metricNamespace": "CIS", "metricValue": "1"}],
    )
    if topic:
        scene.cloudwatch.put_metric_alarm(
            AlarmName=name,
            MetricName=name,
            Namespace="CIS",
            Statistic="Sum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=1,
            AlarmActions=[topic],
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
