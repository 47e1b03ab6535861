"""What an instance is part of, read once for all instances of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from c7n_secops.aws import calls
from c7n_secops.aws.calls import RefusedError
from c7n_secops_response.evidence.case import Case
from c7n_secops_response.evidence.shared import PAGE, Answers

INSTANCES_PER_CALL = 50
GROUPS_PER_PAGE = 400


class Surroundings:
    """Profiles, Auto Scaling groups and target groups; each raises RefusedError when asked for."""

    def __init__(self, ec2: Any, autoscaling: Any, elb: Any, cases: Sequence[Case]):
        ids = [case.id for case in cases]
        self._ec2, self._elb = ec2, elb
        self._profiles: list[dict[str, Any]] = []
        self._profiles_refused: RefusedError | None = None
        if any(
            "IamInstanceProfile" in case.instance or case.prior.get("profile") for case in cases
        ):
            self._read_profiles()
        self._scaling = Answers(
            ids if autoscaling else [],
            INSTANCES_PER_CALL,
            lambda some: self._read_scaling(autoscaling, some),
        )
        self._targets: list[dict[str, Any]] = []
        self._targets_refused: RefusedError | None = None
        if elb:
            self._read_targets({case.instance.get("VpcId") for case in cases})

    # --- instance profiles

    def _read_profiles(self) -> None:
        try:
            for page in calls.pages(
                self._ec2,
                "describe_iam_instance_profile_associations",
                "IamInstanceProfileAssociations",
                PAGE,
            ):
                self._profiles += [row for row in page if row["State"] in HELD]
        except RefusedError as refused:
            self._profiles_refused = refused

    def profile(self, case: Case) -> dict[str, Any] | None:
        """The association of an instance with its profile."""
        if self._profiles_refused:
            raise self._profiles_refused
        return next((row for row in self._profiles if row["InstanceId"] == case.id), None)

    def users(self, profile_arns: set[str]) -> set[str]:
        """The instances of this account and region that have one of these profiles."""
        if self._profiles_refused:
            raise self._profiles_refused
        return {
            row["InstanceId"]
            for row in self._profiles
            if row["IamInstanceProfile"]["Arn"] in profile_arns
        }

    # --- Auto Scaling groups

    def _read_scaling(self, client: Any, ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        for page in calls.pages(
            client,
            "describe_auto_scaling_instances",
            "AutoScalingInstances",
            INSTANCES_PER_CALL,
            InstanceIds=ids,
        ):
            for row in page:
                yield row["InstanceId"], row

    def scaling(self, case: Case) -> dict[str, Any] | None:
        """The Auto Scaling group of an instance: its name, and the instance's state in it."""
        for row in self._scaling.of(case.id):
            return {"group": row["AutoScalingGroupName"], "state": row["LifecycleState"]}
        return None

    # --- target groups

    def _read_targets(self, vpcs: set[str | None]) -> None:
        """All targets of the target groups of these VPCs, a call for each group."""
        try:
            pages = calls.pages(
                self._elb, "describe_target_groups", "TargetGroups", GROUPS_PER_PAGE
            )
            for group in (row for page in pages for row in page):
                if group.get("TargetType") in ("instance", "ip") and group.get("VpcId") in vpcs:
                    self._read_group(group["TargetGroupArn"])
        except RefusedError as refused:
            self._targets_refused = refused

    def _read_group(self, arn: str) -> None:
        answer = calls.read(self._elb.describe_target_health, TargetGroupArn=arn)
        self._targets += [
            {"group": arn, **row["Target"]}
            for row in answer["TargetHealthDescriptions"]
            if row.get("TargetHealth", {}).get("State") != "draining"
        ]

    def targets(self, case: Case, interfaces: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The targets that are this instance or an address of it: group, Id and Port."""
        if self._targets_refused:
            raise self._targets_refused
        names = {case.id} | {
            address["PrivateIpAddress"]
            for interface in interfaces
            for address in interface.get("PrivateIpAddresses", ())
        }
        return [row for row in self._targets if row["Id"] in names]


HELD = ("associating", "associated")
