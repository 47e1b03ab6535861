"""CloudFront: does somebody keep this distribution's access logs?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.element import SecOpsElement

RESOURCES = ("aws.distribution",)

HOME = "us-east-1"
PAGE = 50


class DistributionLogging(SecOpsElement, Filter):
    """Finds distributions that write access logs or, with ``absent: true``, that write none.

    CloudFront has two ways to write them: standard logging, which is in the distribution's
    configuration, and deliveries of CloudWatch Logs (standard logging v2), which are not. This
    filter asks for both, the second for all distributions at once. Real-time logs do not count:
    they are samples of chosen fields.

    Annotates ``c7n:DistributionLogs`` with a row for each log: ``Kind`` (standard or delivery)
    and ``Destination`` (a bucket, or the ARN of a delivery destination); empty for absent ones.
    Where AWS refuses to answer, the distributions are recorded as not evaluated.

    :example:

    .. code-block:: yaml

        policies:
          - name: distribution-without-logs
            resource: aws.distribution
            filters:
              - type: distribution-logging
                absent: true
    """

    schema = type_schema("distribution-logging", absent={"type": "boolean"})
    permissions = (
        "cloudfront:GetDistributionConfig",
        "logs:DescribeDeliveries",
        "logs:DescribeDeliverySources",
    )
    annotation_key = "c7n:DistributionLogs"
    annotations = {annotation_key: "the access logs that are written: kind and destination"}

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("absent: true")
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        try:
            deliveries = self.deliveries()
        except calls.RefusedError as error:
            self.not_evaluated(resources, error.code, str(error))
            return []
        cloudfront = calls.client(self, "cloudfront")
        matched = []
        for resource in resources:
            rows = list(deliveries.get(resource["ARN"], ()))
            try:
                answer = calls.read(cloudfront.get_distribution_config, Id=resource["Id"])
            except calls.RefusedError as error:
                self.not_evaluated([resource], error.code, str(error))
                continue
            logging = answer["DistributionConfig"]["Logging"]
            if logging["Enabled"]:
                rows.append({"Kind": "standard", "Destination": logging["Bucket"]})
            if bool(rows) is not self.data.get("absent", False):
                resource[self.annotation_key] = rows
                matched.append(resource)
        return matched

    def deliveries(self) -> dict[str, list[dict[str, Any]]]:
        """The deliveries by the ARN of their distribution. Raises RefusedError."""
        logs = calls.client(self, "logs", region=HOME)
        arns = {
            source["name"]: source["resourceArns"]
            for page in calls.pages(logs, "describe_delivery_sources", "deliverySources", PAGE)
            for source in page
            if source["service"] == "cloudfront"
        }
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for page in calls.pages(logs, "describe_deliveries", "deliveries", PAGE) if arns else ():
            for delivery in page:
                for arn in arns.get(delivery["deliverySourceName"], ()):
                    row = {"Kind": "delivery", "Destination": delivery["deliveryDestinationArn"]}
                    found[arn].append(row)
        return found
