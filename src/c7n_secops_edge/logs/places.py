"""Where a resource's access logs are in S3, by the resource's own configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import read

GLOBAL = "us-east-1"
"""The region of CloudFront's log deliveries and of its web ACLs."""
FORMS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}
VARIABLE = re.compile(r"\{(" + "|".join(FORMS) + r")\}")
MOST_PREFIXES = 4


class NoLogsError(Exception):
    """A resource has no logs that can be read: ``code`` and the message say why."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Keys of a bucket that begin with ``template``, in which ``{yyyy}{MM}{dd}{HH}`` is UTC.

    ``late`` is how long after the hour in its key a file may be delivered. ``source`` is the
    resource (``httpSourceId``) whose lines are wanted, of a log of several.
    """

    bucket: str
    template: str
    late: timedelta = timedelta(hours=1)
    source: str | None = None

    def prefixes(self, since: datetime, until: datetime) -> list[str]:
        """What keys of files that were delivered between two times begin with, in order."""
        hour = (since - self.late).replace(minute=0, second=0, microsecond=0)
        found = {}
        while hour <= until:
            found[self.at(hour)] = True
            hour += timedelta(hours=1)
        return sorted(found)

    def at(self, hour: datetime) -> str:
        return VARIABLE.sub(lambda match: f"{hour:{FORMS[match[1]]}}", self.template)

    def listings(self, since: datetime, until: datetime) -> Iterator[dict[str, str]]:
        """The parameters of the listings that find those keys: few, and narrow where they can be.

        Few prefixes are listed one by one; many hours in a row from the first of them on.
        """
        prefixes = self.prefixes(since, until)
        if len(prefixes) <= MOST_PREFIXES:
            for prefix in prefixes:
                yield {"Bucket": self.bucket, "Prefix": prefix}
            return
        common = VARIABLE.split(self.template, maxsplit=1)[0]
        yield {"Bucket": self.bucket, "Prefix": common, "StartAfter": prefixes[0]}


def given(data: Mapping[str, str], resource_id: str) -> Place:
    """The place that a policy gives; ``{id}`` is the resource."""
    prefix = data.get("prefix", "").replace("{id}", resource_id)
    return Place(data["bucket"], prefix, timedelta(days=1))


def of_distribution(element: Any, distribution: Mapping[str, Any]) -> Place:
    """Standard logs of a distribution: version 1 by its configuration, or version 2 by delivery."""
    client = calls.client(element, "cloudfront")
    config = read(client.get_distribution_config, Id=distribution["Id"])["DistributionConfig"]
    logging = config.get("Logging", {})
    if logging.get("Enabled") and logging.get("Bucket"):
        return Place(
            logging["Bucket"].partition(".s3")[0],
            f"{logging.get('Prefix', '')}{distribution['Id']}.{{yyyy}}-{{MM}}-{{dd}}-{{HH}}",
            timedelta(days=1),
        )
    return delivered(element, distribution)


def delivered(element: Any, distribution: Mapping[str, Any]) -> Place:
    """Standard logs, version 2, of a distribution: a delivery of CloudWatch Logs to S3."""
    client = calls.client(element, "logs", region=GLOBAL)
    names = {
        each["name"]
        for page in calls.pages(client, "describe_delivery_sources", "deliverySources", 50)
        for each in page
        if distribution["ARN"] in each.get("resourceArns", ())
    }
    deliveries = [
        each
        for page in calls.pages(client, "describe_deliveries", "deliveries", 50)
        for each in page
        if each.get("deliverySourceName") in names and each.get("deliveryDestinationType") == "S3"
    ]
    if not deliveries:
        raise NoLogsError("LoggingDisabled", "standard logging to S3 is off")
    (delivery, *_) = deliveries
    destinations = [
        each
        for page in calls.pages(
            client, "describe_delivery_destinations", "deliveryDestinations", 50
        )
        for each in page
        if each.get("arn") == delivery["deliveryDestinationArn"]
    ]
    if not destinations:
        raise NoLogsError(
            "DestinationUnknown",
            f"the logs go to {delivery['deliveryDestinationArn']}, of another account: "
            "give logs: {bucket, prefix} in the policy",
        )
    (destination,) = destinations
    if destination.get("outputFormat", "w3c") in ("plain", "raw") or (
        destination.get("outputFormat") == "w3c" and delivery.get("fieldDelimiter", "\t") != "\t"
    ):
        raise NoLogsError(
            "FormatUnknown",
            "logs are read in formats w3c (separated by tabs), json and parquet; "
            f"the delivery's is {destination.get('outputFormat')}",
        )
    where = destination["deliveryDestinationConfiguration"]["destinationResourceArn"]
    bucket, _, prefix = where.split(":::", 1)[1].partition("/")
    suffix = delivery.get("s3DeliveryConfiguration", {}).get("suffixPath", "")
    if not suffix:
        suffix = f"AWSLogs/{distribution['ARN'].split(':')[4]}/CloudFront/"
    for name in ("DistributionId", "distributionid"):
        suffix = suffix.replace(f"{{{name}}}", distribution["Id"])
    suffix = suffix.replace("{account-id}", distribution["ARN"].split(":")[4])
    template = "/".join(part.strip("/") for part in (prefix, suffix) if part.strip("/"))
    return Place(bucket, f"{template}/", timedelta(days=1))


def of_load_balancer(element: Any, balancer: Mapping[str, Any]) -> Place:
    """Access logs of an Application Load Balancer, by its attributes."""
    arn = balancer["LoadBalancerArn"]
    client = calls.client(element, "elbv2")
    answer = read(client.describe_load_balancer_attributes, LoadBalancerArn=arn)
    values = {each["Key"]: each.get("Value", "") for each in answer["Attributes"]}
    if values.get("access_logs.s3.enabled") != "true" or not values.get("access_logs.s3.bucket"):
        raise NoLogsError("LoggingDisabled", "access logs are off (access_logs.s3.enabled)")
    _, _, _, region, account, name = arn.split(":", 5)
    day = f"AWSLogs/{account}/elasticloadbalancing/{region}/{{yyyy}}/{{MM}}/{{dd}}/"
    own = f"{account}_elasticloadbalancing_{region}_{name.partition('/')[2].replace('/', '.')}_"
    prefix = values.get("access_logs.s3.prefix", "").strip("/")
    return Place(values["access_logs.s3.bucket"], f"{prefix}/{day}{own}".lstrip("/"))


def of_web_acl(element: Any, arn: str, source: str | None = None) -> Place:
    """Logs of a web ACL that go straight to S3."""
    _, _, _, region, account, path = arn.split(":", 5)
    scope, _, name = path.split("/")[:3]
    scope = "cloudfront" if scope == "global" else region
    client = calls.client(element, "wafv2", region=GLOBAL if scope == "cloudfront" else region)
    try:
        answer = read(client.get_logging_configuration, ResourceArn=arn)
    except client.exceptions.WAFNonexistentItemException as error:
        raise NoLogsError("LoggingDisabled", f"logging of web ACL {name} is off") from error
    targets = answer["LoggingConfiguration"]["LogDestinationConfigs"]
    buckets = [target.split(":::", 1)[1] for target in targets if ":s3:::" in target]
    if not buckets:
        raise NoLogsError(
            "LogsNotInS3", f"web ACL {name} logs to {targets[0]}; only logs in S3 can be read"
        )
    bucket, _, prefix = buckets[0].partition("/")
    where = f"AWSLogs/{account}/WAFLogs/{scope}/{name}/{{yyyy}}/{{MM}}/{{dd}}/{{HH}}/"
    return Place(bucket, f"{prefix}/{where}".lstrip("/"), source=source)
