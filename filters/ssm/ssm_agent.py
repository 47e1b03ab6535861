"""Systems Manager: which instances have an agent like this?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from c7n.filters import Filter
from c7n.utils import type_schema

from c7n_secops.aws import calls
from c7n_secops.comparisons import AGE, is_of_age
from c7n_secops.element import SecOpsElement
from c7n_secops_ssm import agents

RESOURCES = ("aws.ec2",)


class SsmAgent(SecOpsElement, Filter):
    """Finds instances by their Systems Manager agent: missing, offline, silent or old.

    Without an agent nothing can be patched, inventoried or, for most operating systems, scanned
    by Inspector. ``absent: true`` finds the instances whose agent never registered; every other
    key needs an agent, and an instance must meet all that are given. ``ping-status`` is Online,
    ConnectionLost or Inactive; ``older-than`` and ``min-version`` compare versions as numbers;
    ``last-ping`` is an age (``{op: gt, hours: 24}``); ``latest`` whether the agent is the latest
    that AWS offers. A stopped instance keeps its agent's row: narrow by instance state first.

    Annotates ``c7n:SsmAgent`` with the row of DescribeInstanceInformation, or ``{absent: true}``.
    Where AWS refuses to answer, the instances are recorded as not evaluated. So that they cannot
    turn into matches, the filter is refused inside ``not``: every key has its opposite.

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-ssm-agent-silent
            resource: aws.ec2
            filters:
              - State.Name: running
              - type: ssm-agent
                ping-status: [ConnectionLost, Inactive]
                last-ping: {op: gt, hours: 24}
    """

    schema = type_schema(
        "ssm-agent",
        absent={"type": "boolean"},
        latest={"type": "boolean"},
        **{
            "ping-status": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"enum": list(agents.PING_STATUSES)},
            },
            "older-than": agents.VERSION,
            "min-version": agents.VERSION,
            "last-ping": AGE,
        },
    )
    permissions = ("ssm:DescribeInstanceInformation",)
    annotation_key = "c7n:SsmAgent"
    annotations = {
        annotation_key: "the agent's row of DescribeInstanceInformation, or absent: true"
    }

    def validate(self) -> Any:
        super().validate()
        self.refuse_inside_not("absent, ping-status, min-version or latest for the opposite")
        others = self.data.keys() - {"type", "absent"}
        if self.data.get("absent") and others:
            raise self.invalid(
                f"absent: true finds instances without an agent, which have no "
                f"{', '.join(sorted(others))}; put them in a filter of their own, inside or"
            )
        oldest, newest = self.data.get("min-version"), self.data.get("older-than")
        if oldest and newest and agents.version(oldest) >= agents.version(newest):
            raise self.invalid(
                f"no version is at least min-version {oldest} and older-than {newest}; swap them"
            )
        return self

    def process(self, resources: list[dict[str, Any]], event: Any = None) -> list[dict[str, Any]]:
        by_id = {resource["InstanceId"]: resource for resource in resources}
        matched = []
        for answer in agents.read(calls.client(self, "ssm"), list(by_id)):
            batch = [by_id[name] for name in answer.instance_ids]
            if answer.refused:
                self.not_evaluated(batch, answer.refused.code, str(answer.refused))
                continue
            for resource in batch:
                row = answer.rows.get(resource["InstanceId"])
                if self.matches(resource, row):
                    resource[self.annotation_key] = row or {"absent": True}
                    matched.append(resource)
        return matched

    def matches(self, resource: dict[str, Any], row: dict[str, Any] | None) -> bool:
        """Whether the agent meets every condition; one that AWS says nothing about is unknown."""
        if row is None:
            return bool(self.data.get("absent"))
        if self.data.get("absent"):
            return False
        missing = [field for key, field in FIELDS.items() if key in self.data and field not in row]
        if missing:
            self.not_evaluated([resource], "NotReported", f"AWS reports no {missing[0]}")
            return False
        return all(
            test(row[FIELDS[key]], self.data[key])
            for key, test in TESTS.items()
            if key in self.data
        )


FIELDS = {
    "ping-status": "PingStatus",
    "older-than": "AgentVersion",
    "min-version": "AgentVersion",
    "last-ping": "LastPingDateTime",
    "latest": "IsLatestVersion",
}
TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "ping-status": lambda status, wanted: status in wanted,
    "older-than": lambda has, limit: agents.version(has) < agents.version(limit),
    "min-version": lambda has, limit: agents.version(has) >= agents.version(limit),
    "last-ping": is_of_age,
    "latest": lambda latest, wanted: latest is wanted,
}
