"""Systems Manager: update its own agent."""

from __future__ import annotations

from typing import Any

from c7n.utils import type_schema

from c7n_secops_ssm import agents
from c7n_secops_ssm.action import SCHEMA, CommandAction, Target
from c7n_secops_ssm.commands import Obstacle, Operation

RESOURCES = ("aws.ec2",)


class SsmUpdateAgent(CommandAction):
    """Updates the Systems Manager agent of instances, with AWS-UpdateSSMAgent.

    ``version`` is the latest unless set; an agent that has it already, or a later one, is left
    alone. ``allow-downgrade`` lets a later agent go back to ``version``.

    {options}

    :example:

    .. code-block:: yaml

        policies:
          - name: ec2-ssm-agent-outdated
            resource: aws.ec2
            filters:
              - type: ssm-agent
                ping-status: [Online]
                latest: false
            actions:
              - type: ssm-update-agent
                max-concurrency: "10%"
    """

    schema = type_schema(
        "ssm-update-agent",
        version=agents.VERSION,
        **{"allow-downgrade": {"type": "boolean"}, **SCHEMA},
    )
    permissions = CommandAction.permissions
    document = "AWS-UpdateSSMAgent"

    def validate(self) -> Any:
        super().validate()
        if self.data.get("allow-downgrade") and "version" not in self.data:
            raise self.invalid("allow-downgrade needs a version to go back to; set version")
        return self

    def operations(self) -> list[Operation]:
        parameters = {}
        if "version" in self.data:
            parameters["version"] = [self.data["version"]]
        if self.data.get("allow-downgrade"):
            parameters["allowDowngrade"] = ["true"]
        return [Operation("Update", parameters)]

    def unable(self, operation: Operation, target: Target) -> Obstacle | None:
        has = target.agent["AgentVersion"]
        if self._up_to_date(target.agent):
            return Obstacle("UpToDate", f"agent {has} needs no update")
        return None

    def _up_to_date(self, agent: dict[str, Any]) -> bool:
        if "version" not in self.data:
            return bool(agent.get("IsLatestVersion"))
        has, wanted = agents.version(agent["AgentVersion"]), agents.version(self.data["version"])
        return has == wanted if self.data.get("allow-downgrade") else has >= wanted
