"""GuardDuty: switched on in this account and region."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_membership import guardduty
from c7n_secops_membership.guardduty import FeaturesAction
from c7n_secops_membership.steps import Intent

RESOURCES = ("aws.account",)


class GuardDutyEnable(FeaturesAction):
    """Switches GuardDuty on in the account and region, with the features that are named.

    A region has at most one detector. It is read first: created where there is none, enabled where
    it is suspended, and changed in what differs. A second run changes nothing.

    {detector}

    Returns one result: ``AccountId``, ``outcome`` (``changed``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code`` (Created, Updated, AsWanted or AWS's), ``reason`` and ``done``, the
    calls that were made.

    :example:

    .. code-block:: yaml

        policies:
          - name: guardduty-on
            resource: aws.account
            actions:
              - type: guardduty-enable
                publishing-frequency: FIFTEEN_MINUTES
                features: {S3_DATA_EVENTS: ENABLED, RUNTIME_MONITORING: ENABLED}
                runtime-agents: {EC2_AGENT_MANAGEMENT: ENABLED}
    """

    documented = {"detector": guardduty.DETECTOR_DOC}
    schema = type_schema("guardduty-enable", **guardduty.DETECTOR_SCHEMA)
    permissions = guardduty.DETECTOR_PERMISSIONS

    def intend(self, client: Any) -> Intent:
        detector = guardduty.wanted_detector(client, self.data)
        if detector.id is None:
            return Intent(detector.steps, "Created")
        return Intent(detector.steps, "Updated" if detector.steps else "AsWanted")
