"""EC2: take the evidence of an instance."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_response.evidence import capture
from c7n_secops_response.evidence.action import (
    CASE_PERMISSIONS,
    EVIDENCE_PERMISSIONS,
    CaseAction,
    state_of,
)
from c7n_secops_response.evidence.case import Case
from c7n_secops_response.evidence.options import CASE, CASE_KEYS, EVIDENCE_KEYS

RESOURCES = ("aws.ec2",)


class CaptureEvidence(CaseAction):
    """Takes the evidence of instances: metadata, attributes, console, screenshot, snapshots.

    Everything goes into the evidence bucket, with a manifest that lists the SHA-256 of every
    object. The instance itself is not changed, but for tags: ``c7n-secops:case``, unless another
    case holds it, and ``c7n-secops:snapshots``.

    {about case}

    {about store}

    ``collect`` says what to take: ``metadata``, ``attributes``, ``console``, ``screenshot``,
    ``snapshots`` (all of these unless set) and ``user-data``, which often holds secrets. What a
    case has already is not taken again. ``snapshots`` are of all EBS volumes at one instant:
    ``exclude-boot`` leaves the boot volume out, ``share-with`` lists accounts that may use them,
    ``copy-key`` copies them into the account of ``role`` under that key, and ``lock-days`` locks
    them. AWS completes a snapshot later: until then ``c7n-secops:snapshots`` is ``pending``, and
    the same action on the same case goes on with what is left, and says ``done`` or ``error``.
    ``on-error: abort`` makes an instance fail where a piece could not be taken; ``continue``
    (the default) says so and goes on.

    {about result}

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-capture-evidence
            resource: aws.ec2
            filters:
              - "tag:suspect": present
            actions:
              - type: capture-evidence
                case-id: "INC-{date}-{instance_id}"
                bucket: ir-evidence
                role: arn:aws:iam::222222222222:role/evidence-writer
                kms-key: arn:aws:kms:us-east-1:222222222222:alias/evidence
                retention: {mode: GOVERNANCE, days: 90}
    """

    schema = type_schema(
        "capture-evidence", required=["case-id", "bucket"], **CASE_KEYS, **EVIDENCE_KEYS
    )
    permissions = (*CASE_PERMISSIONS, *EVIDENCE_PERMISSIONS)

    @property
    def evidence(self) -> dict[str, Any]:
        return {key: self.data[key] for key in EVIDENCE_KEYS if key in self.data}

    def validate(self) -> Any:
        super().validate()
        self.validate_evidence()
        return self

    def work(self, cases: list[Case]) -> None:
        self.prepare_evidence(cases)
        self.each(cases, self._capture)

    def _capture(self, case: Case) -> None:
        if self.collect(case, lambda: capture.attributes(case, self.ec2)):
            case.outcome = "partial" if case.failed else "captured"

    def tags_of(self, case: Case) -> dict[str, str]:
        holder, state = state_of(case.instance)
        if holder not in ("", case.name) and state not in ("", "released"):
            return {}
        return {CASE: case.name, **self.snapshot_tag(case)}

    def planned(self, instance: dict[str, Any]) -> dict[str, Any]:
        return self.planned_evidence(instance)
