"""GuardDuty: findings exported to a bucket."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops_membership import guardduty
from c7n_secops_membership.steps import Intent, Step, StepsAction

RESOURCES = ("aws.account",)

WORKING = ("PUBLISHING", "PENDING_VERIFICATION")


class GuardDutyExport(StepsAction):
    """Exports the findings of the account's detector to a bucket, encrypted with a KMS key.

    In the administrator's account these are the findings of all members. ``bucket`` is the ARN of
    the bucket, with a prefix if wanted, and ``kms-key`` the ARN of a key that GuardDuty may use;
    the policies of both must admit GuardDuty, and the key is in the region of the bucket. A region
    has one destination: it is read, and created or changed only where it differs. One that
    GuardDuty cannot publish to is a failure, with its status.

    Returns one result: ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code`` (Created, Updated, NoDetector, the status of an unchanged
    destination, or AWS's), ``reason`` and ``done``, the calls that were made.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-findings-kept
            resource: aws.account
            actions:
              - type: guardduty-export
                bucket: arn:aws:s3:::acme-findings/guardduty
                kms-key: arn:aws:kms:us-east-1:111111111111:key/0f6b5c1e-0000-4000-8000-000000000000
    """

    schema = type_schema(
        "guardduty-export",
        required=["bucket", "kms-key"],
        bucket={"type": "string", "minLength": 1, "maxLength": 1200},
        **{"kms-key": {"type": "string", "minLength": 1, "maxLength": 2048}},
    )
    permissions = (
        "guardduty:CreatePublishingDestination",
        "guardduty:DescribePublishingDestination",
        "guardduty:ListDetectors",
        "guardduty:ListPublishingDestinations",
        "guardduty:UpdatePublishingDestination",
    )

    def intend(self, client: Any) -> Intent:
        wanted = {"DestinationArn": self.value("bucket"), "KmsKeyArn": self.value("kms-key")}
        detector = guardduty.detector_id(client)
        if detector is None:
            return Intent((), "NoDetector", "switch GuardDuty on first, with guardduty-enable")
        where = {"DetectorId": detector}
        listed = calls.read(client.list_publishing_destinations, **where)["Destinations"]
        found = next((row for row in listed if row["DestinationType"] == "S3"), None)
        if found is None:
            arguments = {**where, "DestinationType": "S3", "DestinationProperties": wanted}
            return Intent((Step("create_publishing_destination", arguments),), "Created")
        where["DestinationId"] = found["DestinationId"]
        now = calls.read(client.describe_publishing_destination, **where)
        if now["DestinationProperties"] != wanted:
            arguments = {**where, "DestinationProperties": wanted}
            return Intent((Step("update_publishing_destination", arguments),), "Updated")
        if now["Status"] in WORKING:
            return Intent((), now["Status"])
        reason = "GuardDuty cannot publish; correct the policies of the bucket and the key"
        return Intent((), now["Status"], reason, outcome="failed")
