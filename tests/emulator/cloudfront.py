"""Amazon CloudFront: cache policies, and distributions that CloudFormation makes.

The managed policies that every account has are there from the start, those that distributions of
the tests use; what an account creates is in the state ``cache_policies``.
"""

from __future__ import annotations

import uuid
from typing import Any

from moto.cloudfront.models import cloudfront_backends

from tests.emulator.cloudformation import resource
from tests.emulator.kit import Context, fail, operation

SERVICE = "cloudfront"
EVERYWHERE = "aws"
CHANGED = "2020-07-22T00:00:00Z"
KEY: dict[str, Any] = {
    "EnableAcceptEncodingGzip": True,
    "EnableAcceptEncodingBrotli": True,
    "HeadersConfig": {"HeaderBehavior": "none"},
    "CookiesConfig": {"CookieBehavior": "none"},
    "QueryStringsConfig": {"QueryStringBehavior": "none"},
}


def managed(name: str, low: int, default: int, high: int) -> dict[str, Any]:
    """A managed policy; what belongs to its cache key is left at nothing."""
    return {
        "Name": f"Managed-{name}",
        "MinTTL": low,
        "DefaultTTL": default,
        "MaxTTL": high,
        "ParametersInCacheKeyAndForwardedToOrigin": KEY,
    }


MANAGED = {
    "658327ea-f89d-4fab-a63d-7e88639e58f6": managed("CachingOptimized", 1, 86400, 31536000),
    "4135ea2d-6df8-44a3-9df3-4b5a84be39ad": managed("CachingDisabled", 0, 0, 0),
    "83da9c7e-98b4-4e11-a168-04f0df8e2c65": managed("UseOriginCacheControlHeaders", 0, 0, 31536000),
}


def policies(context: Context) -> dict[str, Any]:
    found: dict[str, Any] = context.state("cache_policies", region=EVERYWHERE)
    return found


def answer(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "CachePolicy": {"Id": name, "LastModifiedTime": CHANGED, "CachePolicyConfig": config},
        "ETag": f"E{name.replace('-', '').upper()[:12]}",
    }


@operation(SERVICE, "CreateCachePolicy")
def create_cache_policy(context: Context, CachePolicyConfig: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
    config = {"DefaultTTL": 86400, "MaxTTL": 31536000, **CachePolicyConfig}
    if any(made["Name"] == config["Name"] for made in policies(context).values()):
        fail("CachePolicyAlreadyExists", "A cache policy with the same name already exists.")
    if not config["MinTTL"] <= config["DefaultTTL"] <= config["MaxTTL"]:
        fail("InvalidArgument", "The parameter MinTTL must be at most DefaultTTL and MaxTTL.")
    name = str(uuid.uuid4())
    policies(context)[name] = config
    return answer(name, config)


@operation(SERVICE, "GetCachePolicy")
def get_cache_policy(context: Context, Id: str) -> dict[str, Any]:  # noqa: N803
    config = MANAGED.get(Id) or policies(context).get(Id)
    if config is None:
        fail("NoSuchCachePolicy", "The cache policy does not exist.")
    return answer(Id, config)


SPELLED = {
    "AcmCertificateArn": "ACMCertificateArn",
    "IPV6Enabled": "IsIPV6Enabled",
    "OriginCustomHeaders": "CustomHeaders",
    "OriginSSLProtocols": "OriginSslProtocols",
    "SslSupportMethod": "SSLSupportMethod",
}
"""Members that CloudFormation spells in another way than CloudFront."""


def as_asked(given: Any) -> Any:
    """A part of a distribution as CloudFront is asked for it, where lists are counted."""
    if isinstance(given, list):
        return {"Quantity": len(given), "Items": [as_asked(each) for each in given]}
    if not isinstance(given, dict):
        return given
    return {SPELLED.get(name, name): as_asked(value) for name, value in given.items()}


@resource("AWS::CloudFront::Distribution")
def make_distribution(
    account: str, _region: str, given: dict[str, Any]
) -> tuple[str, dict[str, str]]:
    config = as_asked(given["DistributionConfig"])
    config |= {"CallerReference": uuid.uuid4().hex}
    if "ACMCertificateArn" in config.get("ViewerCertificate", {}):
        config["ViewerCertificate"]["CloudFrontDefaultCertificate"] = False
    restriction = config["Restrictions"]["GeoRestriction"]
    restriction |= restriction.pop("Locations", {"Quantity": 0})
    made, _, _ = cloudfront_backends[account][EVERYWHERE].create_distribution(config, [])
    return made.distribution_id, {"DomainName": made.domain_name, "Id": made.distribution_id}
