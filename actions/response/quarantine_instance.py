"""EC2: contain an instance, after its evidence is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_response import permissions as permissions_of
from c7n_secops_response.containment import notice, prior
from c7n_secops_response.containment.detach import Detachment
from c7n_secops_response.containment.gather import Gathering
from c7n_secops_response.containment.groups import DEFAULT_NAME, QuarantineGroups
from c7n_secops_response.containment.identity import Identity
from c7n_secops_response.containment.interfaces import Containment
from c7n_secops_response.containment.open_groups import OpenGroups
from c7n_secops_response.containment.protect import KINDS, Protection
from c7n_secops_response.containment.surroundings import Surroundings
from c7n_secops_response.evidence import capture
from c7n_secops_response.evidence.action import (
    CASE_PERMISSIONS,
    EVIDENCE_PERMISSIONS,
    CaseAction,
    CaseError,
    state_of,
)
from c7n_secops_response.evidence.case import RELEASE, Case, Entry
from c7n_secops_response.evidence.lock import LOCK, is_live
from c7n_secops_response.evidence.options import (
    CASE,
    CASE_KEYS,
    EVIDENCE_KEYS,
    EXEMPT,
    STATE,
    block,
)

RESOURCES = ("aws.ec2",)


class QuarantineInstance(CaseAction):
    """Contains instances: evidence first, then every network interface and the identity.

    In this order: the evidence (as ``capture-evidence`` takes it, with the keys in ``evidence``),
    protection from deletion, Auto Scaling and load balancers, what ``gather`` asks the operating
    system, then the quarantine group on every interface, and last the instance profile, the live
    sessions of its role and the Elastic IP addresses. Containment happens whether or not what
    comes before it succeeded, unless ``evidence.on-error`` is ``abort``. An instance is called
    ``contained`` only after all of its interfaces were read again and have the quarantine group,
    which has no rule; where a step failed it is ``partial``. The prior state is kept in the
    evidence bucket before anything is changed: ``release-instance`` restores it.

    {about case}

    {about store}

    ``protect`` (all unless set): ``termination``, ``stop``, ``shutdown`` (an instance that shuts
    itself down is not terminated), ``volumes`` (they survive the instance). ``detach``: ``asg`` is
    ``detach``, ``standby`` or ``none``, ``replace`` keeps the group's capacity, ``elb``
    deregisters from target groups, ``eip`` disassociates Elastic IP addresses. ``gather`` gives
    the instance ``profile`` for the time, runs ``commands`` through Systems Manager for at most
    ``max-wait`` seconds (120 unless set) and keeps what they print, up to 24,000 characters; for
    more, ``output`` names a bucket that the profile may write to. ``revoke-sessions`` denies what
    the role's sessions of before may do: ``if-exclusive`` (the default) where no other instance
    of the account and region uses the role, ``always``, or ``never``. ``final-profile`` is what
    the instance ends with, ``none`` unless set. ``security-group``: its ``name`` in each VPC, and
    ``allow-egress`` for what must stay possible. ``cut-tracked: two-step`` opens each interface to
    everything for a moment, which ends the connections that survive a change of groups; a process
    that is killed in that moment leaves it open until the next run. ``imds: disable`` takes away
    the metadata service. Instances with the tag ``exempt-tag`` (``c7n-secops:exempt`` unless set)
    are skipped. ``notify`` publishes one message a run to an SNS ``topic``, which c7n-mailer reads
    (``to``, ``template`` and ``subject`` are for it).

    Tags on the instance: ``c7n-secops:case``, ``c7n-secops:state`` (``capturing``, ``contained``,
    ``partial``) and ``c7n-secops:snapshots``. Where another case has contained the instance, or is
    at it, only evidence is taken; that is looked up, not believed of a tag. The exempt tag is
    believed: let nobody set it who must not exempt an instance.

    {about result}

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-quarantine
            resource: aws.ec2
            filters:
              - "tag:c7n-secops:contain": present
            actions:
              - type: quarantine-instance
                case-id: "INC-{date}-{instance_id}"
                evidence:
                  bucket: ir-evidence
                  role: arn:aws:iam::222222222222:role/evidence-writer
                  kms-key: arn:aws:kms:us-east-1:222222222222:alias/evidence
                  retention: {mode: GOVERNANCE, days: 90}
                gather:
                  profile: ir-gather
                  commands:
                    - {name: processes, run: ps auxww}
                    - {name: sockets, run: ss -tunap}
                notify: {topic: "arn:aws:sns:us-east-1:111111111111:incidents"}
    """

    schema = type_schema(
        "quarantine-instance",
        required=["case-id", "evidence"],
        **{
            **CASE_KEYS,
            "evidence": block(EVIDENCE_KEYS),
            "protect": {"type": "array", "uniqueItems": True, "items": {"enum": list(KINDS)}},
            "detach": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "asg": {"enum": ["detach", "standby", "none"]},
                    "replace": {"type": "boolean"},
                    "elb": {"type": "boolean"},
                    "eip": {"type": "boolean"},
                },
            },
            "gather": {
                "type": "object",
                "additionalProperties": False,
                "required": ["profile", "commands"],
                "properties": {
                    "profile": {"type": "string", "pattern": "^[\\w+=,.@{}-]{1,128}$"},
                    "commands": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 20,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["name", "run"],
                            "properties": {
                                "name": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
                                "run": {"type": "string", "minLength": 1, "maxLength": 4000},
                                "platform": {"enum": ["Linux", "Windows"]},
                            },
                        },
                    },
                    "max-wait": {"type": "integer", "minimum": 1, "maximum": 3600},
                    "output": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["bucket"],
                        "properties": {
                            "bucket": {"type": "string", "pattern": "^[A-Za-z0-9{}_.-]{3,128}$"},
                            "prefix": {"type": "string", "pattern": "^[A-Za-z0-9{}_./-]{1,200}$"},
                        },
                    },
                },
            },
            "revoke-sessions": {"enum": ["if-exclusive", "always", "never"]},
            "final-profile": {"type": "string", "pattern": "^[\\w+=,.@{}-]{1,128}$"},
            "security-group": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "pattern": "^[A-Za-z0-9 ._-]{1,200}$"},
                    "allow-egress": {
                        "type": "array",
                        "maxItems": 50,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["cidr", "port"],
                            "properties": {
                                "cidr": {"type": "string", "pattern": "^[0-9A-Fa-f:./]{3,43}$"},
                                "port": {"type": "integer", "minimum": 0, "maximum": 65535},
                                "protocol": {"enum": ["tcp", "udp"]},
                            },
                        },
                    },
                },
            },
            "cut-tracked": {"enum": ["none", "two-step"]},
            "imds": {"enum": ["keep", "disable"]},
            "exempt-tag": {"type": "string", "minLength": 1, "maxLength": 128},
            "notify": {
                "type": "object",
                "additionalProperties": False,
                "required": ["topic"],
                "properties": {
                    "topic": {"type": "string", "pattern": "^arn:[A-Za-z0-9{}:_-]{1,500}$"},
                    "to": {
                        "type": "array",
                        "maxItems": 50,
                        "items": {"type": "string", "maxLength": 256},
                    },
                    "template": {"type": "string", "maxLength": 128},
                    "subject": {"type": "string", "maxLength": 256},
                },
            },
        },
    )
    permissions = (
        *CASE_PERMISSIONS,
        *EVIDENCE_PERMISSIONS,
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DetachInstances",
        "autoscaling:EnterStandby",
        "ec2:AssociateIamInstanceProfile",
        "ec2:AuthorizeSecurityGroupEgress",
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateSecurityGroup",
        "ec2:DeleteSecurityGroup",
        "ec2:DescribeIamInstanceProfileAssociations",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DisassociateAddress",
        "ec2:DisassociateIamInstanceProfile",
        "ec2:ModifyInstanceAttribute",
        "ec2:ModifyInstanceMetadataOptions",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:ReplaceIamInstanceProfileAssociation",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:RevokeSecurityGroupIngress",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "iam:GetInstanceProfile",
        "iam:ListInstanceProfilesForRole",
        "iam:PassRole",
        "iam:PutRolePolicy",
        "sns:Publish",
        "ssm:DescribeInstanceInformation",
        "ssm:GetCommandInvocation",
        "ssm:ListCommandInvocations",
        "ssm:ListCommands",
        "ssm:SendCommand",
    )
    optional = permissions_of.QUARANTINE

    @property
    def evidence(self) -> dict[str, Any]:
        options: dict[str, Any] = self.data.get("evidence", {})
        return options

    @property
    def exempt_tag(self) -> str:  # type: ignore[override]
        return str(self.data.get("exempt-tag", EXEMPT))

    @property
    def detach(self) -> dict[str, Any]:
        options: dict[str, Any] = self.data.get("detach", {})
        return options

    @property
    def group_name(self) -> str:
        return str(self.data.get("security-group", {}).get("name", DEFAULT_NAME))

    def validate(self) -> Any:
        super().validate()
        self.validate_evidence()
        names = [command["name"] for command in self.data.get("gather", {}).get("commands", ())]
        if len(names) != len(set(names)):
            raise self.invalid("gather.commands has a name twice, and each is a file; rename one")
        return self

    # --- who is contained

    def admits(self, case: Case) -> None:
        if any(step in case.ledger for step in RELEASE):
            raise CaseError(
                "failed",
                "CaseClosed",
                f"case {case.name} was released, or its release was begun; use a new case-id",
            )

    def _holder(self, case: Case) -> str | None:
        """What another case is doing to the instance, if it is; raises RefusedError.

        A tag alone proves nothing: whoever runs on the instance may have set it.
        """
        holder, state = state_of(case.instance)
        if holder in ("", case.name) or state in ("", "released"):
            return None
        if self.containment.is_cut_off(case):
            return f"case {holder} has contained it"
        folder = self.folder(holder, case.id)
        held, _etag = folder.get_json(LOCK)
        if held and is_live(folder, held):
            return f"run {held['run']} contains it for case {holder}"
        case.notes.append(
            f"case {holder} left it {state}; what it was like before is in that case's ledger"
        )
        return None

    # --- one run

    def work(self, cases: list[Case]) -> None:
        self.prepare_evidence(cases)
        self._read_surroundings(cases)
        self.each(cases, self._look_for_another)
        mine = [case for case in cases if not case.guest]
        self._mark(mine)
        try:
            self.each([case for case in cases if case.guest], self._only_capture)
            self.each(mine, self._before)
            self.gathering.run([case for case in mine if not case.code], self.each)
        finally:
            self._contain([case for case in mine if not case.code])

    def _look_for_another(self, case: Case) -> None:
        try:
            holder = self._holder(case)
        except FAILURES as error:
            holder = f"whether another case has it could not be read: {error}"
        if holder:
            case.guest = True
            case.notes.append(f"evidence only: {holder}")

    def _only_capture(self, case: Case) -> None:
        if self.collect(case, lambda: capture.attributes(case, self.ec2)):
            case.outcome = "partial" if case.failed else "captured"

    def _mark(self, cases: Sequence[Case]) -> None:
        """Say what has begun. What is contained keeps saying so."""
        groups: dict[str, list[Case]] = {}
        for case in cases:
            if state_of(case.instance) != (case.name, "contained"):
                groups.setdefault(case.name, []).append(case)
        for name, group in groups.items():
            self.mark(group, {CASE: name, STATE: "capturing"})

    def _read_surroundings(self, cases: Sequence[Case]) -> None:
        autoscaling = self.detach.get("asg", "detach") != "none"
        elb = self.detach.get("elb", True)
        scaling = self.client("autoscaling") if autoscaling else None
        balancing = self.client("elbv2") if elb else None
        allowed = self.data.get("security-group", {}).get("allow-egress", ())
        groups = QuarantineGroups(self.ec2, self.group_name, allowed)
        two_step = self.data.get("cut-tracked") == "two-step"
        opens = OpenGroups(self.ec2, self.group_name) if two_step else None
        self.containment = Containment(self.ec2, groups, opens, self.each)
        self.containment.look_up(cases, self.interfaces)
        surroundings = Surroundings(self.ec2, scaling, balancing, cases)
        self.surroundings = surroundings
        self.detachment = Detachment(self.ec2, scaling, balancing, self.detach)
        self.protection = Protection(self.ec2, self.data.get("protect", KINDS))
        final = self.data.get("final-profile", "none")
        self.identity = Identity(
            self.ec2,
            self.client,
            surroundings,
            self.data.get("revoke-sessions", "if-exclusive"),
            None if final == "none" else final,
        )
        self.gathering = Gathering(
            self.ec2,
            self.client,
            surroundings,
            self.data.get("gather", {}),
            self.manager.ctx.policy.name,
        )
        self.gathering.look_up(cases, self.containment.is_cut_off)

    def _before(self, case: Case) -> None:
        """All that comes before containment; nothing is changed before the prior state is kept."""
        try:
            interfaces = self.interfaces.of(case.id)
        except RefusedError as refused:
            self.not_evaluated([case.instance], refused.code, str(refused))
            self._stop(case, "not-evaluated", refused.code, f"nothing was changed: {refused}")
            return
        attributes = prior.Attributes(case, self.ec2)
        known = prior.sections(case, interfaces, self.surroundings, attributes)
        try:
            case.remember(known)
        except FAILURES as error:
            code, message = calls.failure(error)
            reason = f"nothing was changed, since the prior state could not be kept: {message}"
            self._stop(case, "failed", code, reason)
            return
        if not self.collect(case, attributes):
            return
        case.step("protect", lambda: self.protection.protect(case))
        if self.detachment.autoscaling:
            case.step("asg", lambda: self.detachment.leave_group(case))
        if self.detachment.elb:
            case.step("elb", lambda: self._deregister(case, interfaces))

    def _deregister(self, case: Case, interfaces: list[dict[str, Any]]) -> Entry:
        return self.detachment.deregister(case, self.surroundings.targets(case, interfaces))

    def _stop(self, case: Case, outcome: str, code: str, reason: str) -> None:
        case.outcome, case.code = outcome, code
        case.notes.append(reason)

    def _contain(self, cases: Sequence[Case]) -> None:
        self.containment.contain(cases)
        self.each(cases, self._after)
        together = {case.id for case in cases if case.steps["contain"].status == "done"}
        for case in cases:
            case.step("sessions", lambda case=case: self.identity.revoke(case, together))  # type: ignore[misc]
            case.outcome = "partial" if case.failed else "contained"

    def _after(self, case: Case) -> None:
        """All that comes after containment."""
        self.gathering.keep(case)
        if self.data.get("imds") == "disable":
            case.step("imds", lambda: self._disable_imds(case))
        swapped = case.id in self.gathering.swapped
        case.step("profile", lambda: self.identity.drop_profile(case, swapped=swapped))
        if self.detach.get("eip", True):
            case.step(
                "eip",
                lambda: self.detachment.drop_addresses(case, self.containment.now.of(case.id)),
            )

    def _disable_imds(self, case: Case) -> Entry:
        before = case.before("imds")
        if before != "disabled":
            case.ask(
                self.ec2.modify_instance_metadata_options,
                InstanceId=case.id,
                HttpEndpoint="disabled",
            )
        return Entry("done", before, "disabled")

    # --- afterwards

    def tags_of(self, case: Case) -> dict[str, str]:
        state = "contained" if case.outcome == "contained" else "partial"
        return {STATE: state, **self.snapshot_tag(case)}

    def is_bad(self, result: dict[str, Any]) -> bool:
        return bool(result["steps"].get("contain") == "failed")

    def finish(self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None) -> None:
        options = self.data.get("notify")
        if not options:
            return
        region = options["topic"].split(":")[3]
        content = notice.message(self.manager, options, resources, self.results, event)
        try:
            notice.send(calls.client(self, "sns", region=region), options["topic"], content)
        except FAILURES as error:
            self.log.error("%s not notified: %s", self.label, error)  # noqa: TRY400

    def planned(self, instance: dict[str, Any]) -> dict[str, Any]:
        """What a dry run shows; what Auto Scaling and load balancers hold is not asked."""
        plan = self.planned_evidence(instance)
        plan["protect"] = list(self.data.get("protect", KINDS))
        plan["interfaces"] = {
            row["NetworkInterfaceId"]: {
                "from": prior.groups_of(row),
                "to": f"{self.group_name} in {row['VpcId']}",
            }
            for row in instance.get("NetworkInterfaces", ())
        }
        profile = instance.get("IamInstanceProfile", {}).get("Arn")
        plan["profile"] = {"from": profile, "to": self.data.get("final-profile", "none")}
        if self.data.get("gather"):
            plan["gather"] = [command["name"] for command in self.data["gather"]["commands"]]
        return plan
