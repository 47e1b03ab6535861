"""Web ACLs, what they protect, and AWS's list of its own ranges, in the emulator."""

from __future__ import annotations

import copy
import json
from typing import Any

from c7n_secops_tools.testing.runs import find_policy
from tests.emulator import Emulator
from tests.harness import ACCOUNT, POLICIES, REGION

BUCKET = "edge-config"
RANGES = f"s3://{BUCKET}/ip-ranges.json"
VISIBILITY = {
    "SampledRequestsEnabled": True,
    "CloudWatchMetricsEnabled": True,
    "MetricName": "web",
}
PUBLISHED = {
    "prefixes": [
        {"ip_prefix": "15.177.0.0/18", "service": "ROUTE53_HEALTHCHECKS"},
        {"ip_prefix": "13.124.199.0/24", "service": "CLOUDFRONT"},
        {"ip_prefix": "3.5.140.0/22", "service": "AMAZON"},
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": "2600:9000:5200::/40", "service": "CLOUDFRONT_ORIGIN_FACING"},
        {"ipv6_prefix": "2600:1ffe:8000::/39", "service": "ROUTE53_HEALTHCHECKS_PUBLISHING"},
    ],
}


class Scene:
    """What tests of blocks act on."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator
        self.waf = emulator.client("wafv2", ACCOUNT, REGION)
        self.s3 = emulator.client("s3", ACCOUNT, REGION)
        self.s3.create_bucket(Bucket=BUCKET)
        self.put("ip-ranges.json", json.dumps(PUBLISHED))

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return f"s3://{BUCKET}/{key}"

    def web_acl(self, name: str = "web", scope: str = "REGIONAL", **more: Any) -> str:
        """Makes a web ACL; returns its ARN."""
        made = self.waf.create_web_acl(
            Name=name,
            Scope=scope,
            DefaultAction={"Allow": {}},
            VisibilityConfig=VISIBILITY,
            **more,
        )
        return str(made["Summary"]["ARN"])

    def load_balancer(self, web_acl: str | None = None, name: str = "front") -> str:
        """Makes a load balancer, with its web ACL; returns its ARN."""
        ec2 = self.emulator.client("ec2", ACCOUNT, REGION)
        subnets = [s["SubnetId"] for s in ec2.describe_subnets()["Subnets"][:2]]
        arn = self.emulator.client("elbv2", ACCOUNT, REGION).create_load_balancer(
            Name=name, Subnets=subnets, Tags=[{"Key": "c7n-secops:edge", "Value": "enforce"}]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        if web_acl:
            self.waf.associate_web_acl(WebACLArn=web_acl, ResourceArn=arn)
        return str(arn)

    def rules(self, arn: str) -> dict[str, dict[str, Any]]:
        """The rules of a web ACL, by name."""
        return {rule["Name"]: rule for rule in self.whole(arn).get("Rules", [])}

    def whole(self, arn: str) -> dict[str, Any]:
        scope = "CLOUDFRONT" if ":global/" in arn else "REGIONAL"
        name, identity = arn.split("/")[-2:]
        answer = self.waf.get_web_acl(Name=name, Id=identity, Scope=scope)
        found: dict[str, Any] = answer["WebACL"]
        return found

    def blocked(self, ring: str = "secops-block", scope: str = "REGIONAL") -> set[str]:
        """All that the slots of a ring hold."""
        return self._held(f"{ring}-ipv", scope)

    def allowed(self, ring: str = "secops-block", scope: str = "REGIONAL") -> set[str]:
        """All that a ring's allow sets hold."""
        return self._held(f"{ring}-allow-", scope)

    def _held(self, prefix: str, scope: str) -> set[str]:
        return {
            address
            for row in self.waf.list_ip_sets(Scope=scope)["IPSets"]
            if row["Name"].startswith(prefix)
            for address in self.waf.get_ip_set(Name=row["Name"], Scope=scope, Id=row["Id"])[
                "IPSet"
            ]["Addresses"]
        }

    def let_time_pass(self, scope: str = "REGIONAL") -> None:
        """Moves the expiry of all that is blocked into the past."""
        for row in self.waf.list_ip_sets(Scope=scope)["IPSets"]:
            if row["Description"].startswith("c7n:expires=2"):
                where = {"Name": row["Name"], "Id": row["Id"], "Scope": scope}
                held = self.waf.get_ip_set(**where)
                self.waf.update_ip_set(
                    **where,
                    Addresses=held["IPSet"]["Addresses"],
                    LockToken=held["LockToken"],
                    Description="c7n:expires=2020-01-01T00:00:00Z",
                )


def shipped(name: str, **changes: Any) -> dict[str, Any]:
    """A shipped policy that reads AWS's ranges from the emulator, with changes to its action."""
    data = copy.deepcopy(find_policy(POLICIES, name))
    (action,) = data["actions"]
    action |= {"ip-ranges": RANGES, **changes}
    return data


def blocking(source: Any, *, resource: str = "aws.app-elb", **options: Any) -> dict[str, Any]:
    """A policy that blocks what ``source`` names."""
    action = {
        "type": "waf-ip-block",
        "name": "secops-block",
        "from": {"addresses": source} if isinstance(source, list) else source,
        "ip-ranges": RANGES,
        **options,
    }
    return {"name": "block", "resource": resource, "actions": [action]}
