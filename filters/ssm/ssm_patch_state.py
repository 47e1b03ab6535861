"""Systems Manager: which instances miss patches, or wait for a reboot?"""

from __future__ import annotations

from typing import Any

from c7n.filters import Filter
from c7n.utils import parse_date, type_schema

from c7n_secops.aws import calls
from c7n_secops.comparisons import AGE, COUNT, is_count, is_of_age
from c7n_secops.element import SecOpsElement
from c7n_secops_ssm import rows

RESOURCES = ("aws.ec2",)

PAGE = 100
COUNTS = {
    "missing": "MissingCount",
    "failed": "FailedCount",
    "installed-pending-reboot": "InstalledPendingRebootCount",
    "other": "InstalledOtherCount",
    "critical-non-compliant": "CriticalNonCompliantCount",
    "security-non-compliant": "SecurityNonCompliantCount",
}


class SsmPatchState(SecOpsElement, Filter):
    """Finds instances by what Patch Manager's last operation left: missing, failed, half done.

    ``pending-reboot: true`` finds the instances on which patches were installed that a reboot has
    to finish. Patch Manager notices a reboot only at its next scan; an instance that was started
    after the operation does not count, but one that was rebooted does until it is scanned.
    ``missing``, ``failed``, ``installed-pending-reboot``, ``other`` (installed but not approved),
    ``critical-non-compliant`` and ``security-non-compliant`` compare numbers of patches
    (``{op: gt, value: 5}``), ``age`` the time since the last operation (``{op: gt, days: 7}``).
    All that are given must be met.

    An instance on which Patch Manager never ran has no state: it is recorded as not evaluated,
    unless ``absent: true`` asks for just those. Refused reads are recorded in the same way, and
    the filter is refused inside ``not``, where such instances would turn into matches.

    Annotates ``c7n:SsmPatchState`` with the row of DescribeInstancePatchStates, or
    ``{absent: true}``.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-patches-missing
            resource: aws.ec2
            filters:
              - type: ssm-patch-state
                missing: {op: gt, value: 0}
                age: {op: lt, days: 7}
    """

    schema = type_schema(
        "ssm-patch-state",
        age=AGE,
        absent={"type": "boolean"},
        **{"pending-reboot": {"type": "boolean"}, **dict.fromkeys(COUNTS, COUNT)},
    )
    permissions = ("ssm:DescribeInstancePatchStates",)
    annotation_key = "c7n:SsmPatchState"
    annotations = {
        annotation_key: "the instance's row of DescribeInstancePatchStates, or absent: true"
    }

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("the opposite op, or pending-reboot: false")
        others = self.data.keys() - {"type", "absent"}
        if self.data.get("absent") and others:
            raise self.invalid(
                f"absent: true finds instances without a patch state, which have no "
                f"{', '.join(sorted(others))}; put them in a filter of their own, inside or"
            )
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        by_id = {resource["InstanceId"]: resource for resource in resources}
        matched = []
        for answer in rows.read(
            calls.client(self, "ssm"),
            "describe_instance_patch_states",
            "InstancePatchStates",
            PAGE,
            list(by_id),
            lambda ids: {"InstanceIds": ids},
        ):
            batch = [by_id[name] for name in answer.instance_ids]
            if answer.refused:
                self.not_evaluated(batch, answer.refused.code, str(answer.refused))
                continue
            for resource in batch:
                state = answer.rows.get(resource["InstanceId"])
                if self.matches(resource, state):
                    resource[self.annotation_key] = state or {"absent": True}
                    matched.append(resource)
        return matched

    def matches(self, resource: dict[str, Any], state: dict[str, Any] | None) -> bool:
        """Whether the state meets every condition; what AWS does not say is unknown."""
        if state is None:
            if not self.data.get("absent"):
                self.not_evaluated([resource], "NeverScanned", "never scanned by Patch Manager")
            return bool(self.data.get("absent"))
        if self.data.get("absent"):
            return False
        counts = {COUNTS[key]: self.data[key] for key in COUNTS if key in self.data}
        needed = [*counts, *(["InstalledPendingRebootCount"] * ("pending-reboot" in self.data))]
        missing = [field for field in needed if field not in state]
        if missing:
            self.not_evaluated([resource], "NotReported", f"AWS reports no {missing[0]}")
            return False
        if "pending-reboot" in self.data and (
            pending_reboot(resource, state) is not self.data["pending-reboot"]
        ):
            return False
        if "age" in self.data and not is_of_age(state["OperationEndTime"], self.data["age"]):
            return False
        return all(is_count(state[field], condition) for field, condition in counts.items())


def pending_reboot(resource: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether installed patches wait for a reboot, and the instance was not started since."""
    started = parse_date(resource.get("LaunchTime"))
    if started is not None and started > state["OperationEndTime"]:
        return False
    return bool(state["InstalledPendingRebootCount"])
