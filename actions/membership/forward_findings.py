"""EventBridge: forward a region's findings to one place."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops.aws.calls import FAILURES, RefusedError, failure
from c7n_secops_membership import forwarding
from c7n_secops_membership.accounts import AccountAction
from c7n_secops_membership.forwarding import ForwardingElement, Rule

RESOURCES = ("aws.account",)


class ForwardFindings(ForwardingElement, AccountAction):
    """Makes sure that the region's findings are forwarded to one bus, topic or queue.

    {destination}

    A rule that is missing, disabled or different is made so; other targets of it are left. Nothing
    is made where the default bus is itself what ``to`` names. That events arrive is up to the
    destination, whose policy must let EventBridge in.

    Returns ``{"results": [...], "counts": {outcome: number}}``, with one result for each source:
    ``AccountId``, ``source``, ``rule``, ``outcome`` (``changed``, ``skipped``, ``failed`` or
    ``not-evaluated``), ``code`` and ``reason``. Running it again changes nothing.

    :example:

    .. code-block:: yaml

        policies:
          - name: account-forward-findings
            resource: aws.account
            actions:
              - type: forward-findings
                to: arn:aws:sqs:{region}:111111111111:security-findings
                account: "111111111111"
                dead-letter: arn:aws:sqs:{region}:{account_id}:undelivered
    """

    documented = {"destination": forwarding.DOC}
    schema = type_schema("forward-findings", required=["to", "account"], **forwarding.SCHEMA)
    permissions = (
        "events:DescribeRule",
        "events:ListTargetsByRule",
        "events:PutRule",
        "events:PutTargets",
        "iam:PassRole",
    )

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What each rule would become."""
        self.results = []
        return [
            {"AccountId": self.account, "rule": rule.name, would: rule.reason}
            for rule in self._read()
            for would in (["put" if rule.changes else "skipped"])
        ]

    def process(self, resources: list[dict[str, Any]]) -> dict[str, Any]:
        self.results = []
        for rule in self._read():
            self._make(rule)
        return self.answer()

    def _read(self) -> list[Rule]:
        try:
            return list(self.rules())
        except RefusedError as refused:
            self.refused([self.account], refused.code, str(refused))
            return []

    def _make(self, rule: Rule) -> None:
        outcome, code, reason = "skipped", rule.status, rule.reason
        try:
            for change in rule.changes:
                outcome, code, reason = "changed", "Put", f"it was {rule.status}: {rule.reason}"
                for entry in change().get("FailedEntries", ()):
                    outcome, code, reason = "failed", entry["ErrorCode"], entry["ErrorMessage"]
        except FAILURES as error:
            outcome, (code, reason) = "failed", failure(error)
        self.result(self.account, outcome, code, reason, source=rule.source, rule=rule.name)
