"""EC2: give a contained instance back what it had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from c7n.utils import type_schema

from c7n_secops_response import permissions as permissions_of
from c7n_secops_response.containment.restore import Restoration
from c7n_secops_response.evidence.action import CASE_PERMISSIONS, CaseAction, CaseError, state_of
from c7n_secops_response.evidence.case import PRIOR, Case, Entry
from c7n_secops_response.evidence.options import CASE_KEYS, STATE, STORE_KEYS, block

RESOURCES = ("aws.ec2",)

PARTS = ("groups", "eip", "profile", "attributes", "imds")


class ReleaseInstance(CaseAction):
    """Restores what ``quarantine-instance`` recorded: interfaces, profile, attributes, addresses.

    The prior state is in the ledger of the case, in the bucket that ``evidence`` names; without a
    ledger nothing is done. ``restore`` says what to restore (all unless set): ``groups`` (the
    security groups of each interface), ``eip`` (Elastic IP addresses), ``profile``,
    ``attributes`` (protection, shutdown behaviour, DeleteOnTermination), ``imds``. ``reattach``
    also puts the instance back into its Auto Scaling group (``asg``) and target groups (``elb``).
    ``remove-revocation`` removes the policy that denies the role's old sessions; those that are
    newer never were denied. The network is opened last. Where a security group is gone, its
    interface stays contained and the state is ``partial``. A case that was released is closed:
    contain the instance again under a new case.

    {about case}

    {about store}

    {about result} A ``partial`` release fails the policy too.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-release
            resource: aws.ec2
            filters:
              - "tag:c7n-secops:state": contained
              - "tag:c7n-secops:release-approved": present
            actions:
              - type: release-instance
                case-id: "{case}"
                evidence: {bucket: ir-evidence, prefix: cases}
                reattach: {asg: false, elb: false}
    """

    schema = type_schema(
        "release-instance",
        required=["case-id", "evidence"],
        **{
            **CASE_KEYS,
            "evidence": block(STORE_KEYS),
            "restore": {"type": "array", "uniqueItems": True, "items": {"enum": list(PARTS)}},
            "reattach": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"asg": {"type": "boolean"}, "elb": {"type": "boolean"}},
            },
            "remove-revocation": {"type": "boolean"},
        },
    )
    permissions = (
        *CASE_PERMISSIONS,
        "autoscaling:AttachInstances",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:ExitStandby",
        "ec2:AssociateAddress",
        "ec2:AssociateIamInstanceProfile",
        "ec2:DescribeIamInstanceProfileAssociations",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeSecurityGroups",
        "ec2:DisassociateIamInstanceProfile",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyInstanceMetadataOptions",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:ReplaceIamInstanceProfileAssociation",
        "elasticloadbalancing:RegisterTargets",
        "iam:DeleteRolePolicy",
        "iam:PassRole",
    )
    optional = permissions_of.RELEASE

    @property
    def evidence(self) -> dict[str, Any]:
        options: dict[str, Any] = self.data.get("evidence", {})
        return options

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.data.get("restore", PARTS))

    # --- what is released

    def before_lock(self, case: Case) -> None:
        holder, state = state_of(case.instance)
        if holder not in ("", case.name) and state != "released":
            raise CaseError(
                "failed",
                "OtherCase",
                f"case {holder} has the instance ({state}); release that one first",
            )
        if holder == case.name and state == "released":
            raise CaseError("skipped", "Released", f"case {case.name} was released before")
        prior, _etag = case.folder.get_json(PRIOR)
        if prior is None:
            raise CaseError(
                "failed",
                "NoLedger",
                f"case {case.name} has no ledger for {case.id} in {self.store.bucket}, so what it "
                "was like before is not known; nothing was changed",
            )

    def work(self, cases: list[Case]) -> None:
        self.restoration = Restoration(self.ec2, self.client, cases)
        self.each(cases, self._restore)
        if "groups" in self.parts:
            self.restoration.restore_groups(cases, self.each)
        self.each(cases, self._reattach)

    def _restore(self, case: Case) -> None:
        restoration = self.restoration
        steps: dict[str, Callable[[Case], Entry]] = {
            "profile": restoration.profile,
            "attributes": restoration.attributes,
            "imds": restoration.imds,
            "eip": restoration.addresses,
        }
        for part, restore in steps.items():
            if part in self.parts:
                case.step(f"restore-{part}", lambda restore=restore: restore(case))  # type: ignore[misc]

    def _reattach(self, case: Case) -> None:
        reattach = self.data.get("reattach", {})
        contained = "restore-groups" in case.failed
        for part, act in (("asg", self.restoration.scaling), ("elb", self.restoration.targets)):
            if reattach.get(part) and contained:
                reason = "an interface is still contained"
                case.note(f"reattach-{part}", Entry("skipped", reason=reason))
            elif reattach.get(part):
                case.step(f"reattach-{part}", lambda act=act: act(case))  # type: ignore[misc]
        if self.data.get("remove-revocation"):
            case.step("remove-revocation", lambda: self.restoration.sessions(case))
        case.outcome = "partial" if case.failed else "released"

    def tags_of(self, case: Case) -> dict[str, str]:
        return {STATE: "released" if case.outcome == "released" else "partial"}

    def is_bad(self, result: dict[str, Any]) -> bool:
        return bool(result["outcome"] == "partial")

    def planned(self, instance: dict[str, Any]) -> dict[str, Any]:
        """What a dry run shows; the ledger, which says what to restore, is not read."""
        return {
            "bucket": self.evidence["bucket"],
            "restore": list(self.parts),
            "reattach": self.data.get("reattach", {}),
        }
