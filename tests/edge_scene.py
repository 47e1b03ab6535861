"""Distributions, web ACLs, records and APIs for tests of the edge."""

from __future__ import annotations

import itertools
from typing import Any

from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION

ALLOWED = {"c7n-secops:edge": "enforce"}
CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
EVERY_METHOD = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
VISIBLE = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}

_numbers = itertools.count()


def behavior(origin: str = "origin", **more: Any) -> dict[str, Any]:
    """A cache behaviour; ``methods``, ``policy`` and ``min_ttl`` are short for AWS's members."""
    made: dict[str, Any] = {
        "TargetOriginId": origin,
        "ViewerProtocolPolicy": more.pop("viewers", "redirect-to-https"),
    }
    if methods := more.pop("methods", None):
        made["AllowedMethods"] = {"Quantity": len(methods), "Items": methods}
    if policy := more.pop("policy", None):
        made["CachePolicyId"] = policy
    else:
        made["MinTTL"] = more.pop("min_ttl", 0)
        made["ForwardedValues"] = {"QueryString": True, "Cookies": {"Forward": "all"}}
    return {**made, **more}


def origin(domain: str, **more: Any) -> dict[str, Any]:
    """An origin that is not a bucket; ``protocol``, ``tls`` and ``headers`` for short."""
    tls = more.pop("tls", ["TLSv1.2"])
    headers = [
        {"HeaderName": name, "HeaderValue": value}
        for name, value in more.pop("headers", {}).items()
    ]
    return {
        "Id": "origin",
        "DomainName": domain,
        "CustomHeaders": {"Quantity": len(headers), "Items": headers},
        "CustomOriginConfig": {
            "HTTPPort": 80,
            "HTTPSPort": 443,
            "OriginProtocolPolicy": more.pop("protocol", "https-only"),
            "OriginSslProtocols": {"Quantity": len(tls), "Items": tls},
        },
        **more,
    }


def distribution(
    emulator: Emulator,
    domain: str | dict[str, Any] = "origin.example.com",
    *others: dict[str, Any],
    tags: dict[str, str] | None = None,
    default: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Creates a distribution; ``others`` are its behaviours besides the default one."""
    source = domain if isinstance(domain, dict) else origin(domain)
    config = {
        "CallerReference": f"test-{next(_numbers)}",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [source]},
        "DefaultCacheBehavior": default or behavior(),
        "CacheBehaviors": {"Quantity": len(others), "Items": list(others)},
        "ViewerCertificate": {
            "CloudFrontDefaultCertificate": False,
            "ACMCertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1",
            "MinimumProtocolVersion": "TLSv1.2_2021",
        },
        "Restrictions": {
            "GeoRestriction": {"RestrictionType": "whitelist", "Quantity": 1, "Items": ["DE"]}
        },
        **more,
    }
    tagged = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    made: dict[str, Any] = emulator.client("cloudfront").create_distribution_with_tags(
        DistributionConfigWithTags={"DistributionConfig": config, "Tags": {"Items": tagged}}
    )
    return dict(made["Distribution"])


def rate_rule(name: str = "rate", action: str = "Block", **rate: Any) -> dict[str, Any]:
    """A rate-based rule; ``rate`` are members of its statement."""
    statement = {"Limit": 2000, "AggregateKeyType": "IP", **rate}
    return {
        "Name": name,
        "Priority": next(_numbers),
        "Statement": {"RateBasedStatement": statement},
        "Action": {action: {}},
        "VisibilityConfig": VISIBLE,
    }


def group_rule(arn: str, override: str = "None", **reference: Any) -> dict[str, Any]:
    """A rule that uses a rule group."""
    return {
        "Name": f"group-{next(_numbers)}",
        "Priority": next(_numbers),
        "Statement": {"RuleGroupReferenceStatement": {"ARN": arn, **reference}},
        "OverrideAction": {override: {}},
        "VisibilityConfig": VISIBLE,
    }


def rule_group(emulator: Emulator, *rules: dict[str, Any], scope: str = "CLOUDFRONT") -> str:
    """Creates a rule group and returns its ARN."""
    made = emulator.client("wafv2").create_rule_group(
        Name=f"group-{next(_numbers)}",
        Scope=scope,
        Capacity=100,
        VisibilityConfig=VISIBLE,
        Rules=list(rules),
    )
    return str(made["Summary"]["ARN"])


def web_acl(
    emulator: Emulator,
    name: str = "edge",
    *rules: dict[str, Any],
    scope: str = "CLOUDFRONT",
    region: str = REGION,
) -> str:
    """Creates a web ACL and returns its ARN."""
    made = emulator.client("wafv2", region=region).create_web_acl(
        Name=name,
        Scope=scope,
        DefaultAction={"Allow": {}},
        VisibilityConfig=VISIBLE,
        Rules=list(rules),
    )
    return str(made["Summary"]["ARN"])


def zone(emulator: Emulator, name: str = "example.com", private: bool = False) -> str:
    """Creates a hosted zone and returns its id."""
    more: dict[str, Any] = {}
    if private:
        vpc = emulator.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        more = {
            "VPC": {"VPCRegion": REGION, "VPCId": vpc},
            "HostedZoneConfig": {"PrivateZone": True},
        }
    made = emulator.client("route53").create_hosted_zone(
        Name=name, CallerReference=f"zone-{next(_numbers)}", **more
    )
    return str(made["HostedZone"]["Id"])


def record(emulator: Emulator, where: str, name: str, kind: str, *values: str) -> None:
    """Creates a record; of type ALIAS it is an address record that is an alias."""
    made: dict[str, Any] = {"Name": name, "Type": kind}
    if kind == "ALIAS":
        alias = {"HostedZoneId": "Z1", "DNSName": values[0], "EvaluateTargetHealth": False}
        made = {"Name": name, "Type": "A", "AliasTarget": alias}
    else:
        made |= {"TTL": 60, "ResourceRecords": [{"Value": value} for value in values]}
    emulator.client("route53").change_resource_record_sets(
        HostedZoneId=where,
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": made}]},
    )


def rest_api(emulator: Emulator, kind: str = "EDGE", **more: Any) -> dict[str, Any]:
    """Creates a REST API."""
    made: dict[str, Any] = emulator.client("apigateway").create_rest_api(
        name=f"api-{next(_numbers)}", endpointConfiguration={"types": [kind]}, **more
    )
    return made


def method(emulator: Emulator, api: dict[str, Any], verb: str, *, key: bool) -> None:
    """Gives the root of an API a method, which needs a key or not."""
    client = emulator.client("apigateway")
    (root,) = client.get_resources(restApiId=api["id"])["items"]
    client.put_method(
        restApiId=api["id"],
        resourceId=root["id"],
        httpMethod=verb,
        authorizationType="NONE",
        apiKeyRequired=key,
    )


def endpoint(api: dict[str, Any], region: str = REGION) -> str:
    """The host name of an API's default endpoint."""
    return f"{api['id']}.execute-api.{region}.amazonaws.com"


def custom_domain(emulator: Emulator, name: str, api: dict[str, Any]) -> dict[str, Any]:
    """Creates a custom domain name that leads to an API."""
    client = emulator.client("apigateway")
    made: dict[str, Any] = client.create_domain_name(
        domainName=name,
        regionalCertificateArn=f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
        endpointConfiguration={"types": ["REGIONAL"]},
    )
    client.create_base_path_mapping(domainName=name, restApiId=api["id"])
    return made
