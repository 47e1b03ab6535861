"""Amazon Inspector findings, as EventBridge delivers them."""

from __future__ import annotations

from typing import Any

from c7n import utils
from c7n.policy import LambdaMode

import c7n_secops_inspector as inspector
from c7n_secops.event_mode import EventBridgeMode

DETAIL_TYPES = {
    "finding": "Inspector2 Finding",
    "scan": "Inspector2 Scan",
    "coverage": "Inspector2 Coverage",
}


class InspectorFinding(EventBridgeMode):
    """Runs a policy on the Amazon Inspector events of EC2 instances, ECR images and functions.

    ``events`` says which: a finding that opens, changes or closes (the default), a scan that ends,
    or a change of coverage. ``severities`` and ``status`` narrow findings in the rule itself, so
    that the function is not started for the others. ``pattern`` is merged over the pattern that
    these make. The event only names the resource; what the policy's filters decide on is read
    from AWS again.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-patch-on-finding
            resource: aws.ec2
            mode:
              type: inspector-finding
              severities: [CRITICAL]
              role: arn:aws:iam::{account_id}:role/c7n-secops-lambda
            filters:
              - type: inspector-finding
                severity: [CRITICAL]
                fix-available: ["YES"]
            actions:
              - type: ssm-patch
    """

    schema = utils.type_schema(
        "inspector-finding",
        events={"type": "array", "minItems": 1, "items": {"enum": list(DETAIL_TYPES)}},
        severities={"type": "array", "minItems": 1, "items": {"enum": list(inspector.SEVERITIES)}},
        status={"type": "array", "minItems": 1, "items": {"enum": list(inspector.STATUSES)}},
        rinherit=LambdaMode.schema,
    )

    @property
    def kind(self) -> inspector.Scanned:
        """How Inspector names this policy's resource."""
        return inspector.SCANNED[self.policy.resource_manager.type]

    def validate(self) -> None:
        super().validate()
        if self.policy.resource_manager.type not in inspector.SCANNED:
            supported = ", ".join(f"aws.{name}" for name in inspector.SCANNED)
            raise self.invalid(
                f"does not support resource {self.policy.resource_type}; use one of {supported}"
            )
        narrowed = {"severities", "status"} & self.options.keys()
        if narrowed and set(self.options.get("events", ["finding"])) != {"finding"}:
            raise self.invalid(
                f"{' and '.join(sorted(narrowed))} narrow findings only; remove events, or put "
                "scans and coverage in a policy of their own"
            )

    def event_pattern(self) -> dict[str, Any]:
        events = self.options.get("events", ["finding"])
        pattern: dict[str, Any] = {
            "source": ["aws.inspector2"],
            "detail-type": [DETAIL_TYPES[event] for event in events],
        }
        if events == ["finding"]:
            pattern["detail"] = {
                "status": self.options.get("status", ["ACTIVE"]),
                "resources": {"type": [self.kind.type]},
            }
            if "severities" in self.options:
                pattern["detail"]["severity"] = self.options["severities"]
        merged: dict[str, Any] = utils.merge_dict(pattern, self.options.get("pattern", {}))
        return merged

    def ids_in(self, event: dict[str, Any]) -> list[str]:
        return inspector.ids_in_event(event, self.kind)

    def load(self, ids: list[str]) -> list[dict[str, Any]]:
        return self.kind.load(self.policy.resource_manager, ids)

    def ids_of(self, resource: dict[str, Any]) -> set[str]:
        name = self.kind.id_of(resource)
        return {name, name.removesuffix(":$LATEST")}


MODE = InspectorFinding
