"""What our event modes share: a pattern, the ids in an event, one run inside one output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from c7n import utils
from c7n.actions import EventAction
from c7n.exceptions import PolicyValidationError
from c7n.policy import LambdaMode

from c7n_secops.serverless import complete_mode


class EventBridgeMode(LambdaMode):
    """A policy in a Lambda function behind an EventBridge rule whose pattern the mode gives.

    Stock modes filter before Custodian opens its output; here the whole run is inside it, so that
    ``resources.json``, what was not evaluated and each action's result are written together.
    """

    @property
    def options(self) -> dict[str, Any]:
        """The policy's ``mode`` block."""
        mode: dict[str, Any] = self.policy.data["mode"]
        return mode

    @abstractmethod
    def event_pattern(self) -> dict[str, Any]:
        """The EventBridge pattern of the rule."""

    @abstractmethod
    def load_resources(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Read from AWS the resources that the event names. Events are hostile: check the ids."""

    def validate(self) -> None:
        super().validate()
        complete_mode(self.policy.data)

    def invalid(self, message: str) -> PolicyValidationError:
        """The error for a policy's author: raise it with what is wrong and the fix."""
        return PolicyValidationError(
            f"policy:{self.policy.name} mode:{self.options['type']} {message}"
        )

    def resolve_resources(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        self.assume_member(event)
        return self.load_resources(event)

    def run(self, event: dict[str, Any], lambda_context: Any) -> list[dict[str, Any]] | None:
        self.setup_exec_environment(event)
        if not self.policy.is_runnable(event):
            return None
        with self.policy.ctx as ctx:
            manager = self.policy.resource_manager
            resources: list[dict[str, Any]] = manager.filter_resources(
                self.resolve_resources(event), event
            )
            ctx.metrics.put_metric("ResourceCount", len(resources), "Count", Scope="Policy")
            ctx.output.write_file("resources.json", utils.dumps(resources, indent=2))
            self.policy.log.info(
                "policy:%s resource:%s matched:%d",
                self.policy.name,
                self.policy.resource_type,
                len(resources),
            )
            for action in manager.actions if resources else ():
                with_event = (event,) if isinstance(action, EventAction) else ()
                results = action.process(resources, *with_event)
                if results:
                    ctx.output.write_file(f"action-{action.name}", utils.dumps(results))
                    self.policy.log.info(
                        "policy:%s action:%s results:%s",
                        self.policy.name,
                        action.name,
                        utils.dumps(results, indent=None),
                    )
        return resources

    @property
    def policy_lambda(self) -> Any:
        from c7n_secops.lambdas import policy_lambda  # c7n.mu is needed to deploy, not to run

        return policy_lambda(self)
