"""What our event modes share: a pattern, the ids in an event, one run inside one output."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from c7n import utils
from c7n.actions import EventAction
from c7n.exceptions import PolicyValidationError
from c7n.policy import LambdaMode

from c7n_secops import outcomes
from c7n_secops.events import read_by_id
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
    def ids_in(self, event: dict[str, Any]) -> list[str]:
        """The ids that the event names. Events are hostile: only those of the right form."""

    def load(self, ids: list[str]) -> list[dict[str, Any]]:
        """Read the resources from AWS, as far as it knows them and lets us."""
        return read_by_id(self.policy.resource_manager, ids)

    def ids_of(self, resource: dict[str, Any]) -> set[str]:
        """The ids by which an event may name a resource."""
        model = self.policy.resource_manager.get_model()
        return {resource[key] for key in (model.id, model.arn) if key and key in resource}

    def validate(self) -> None:
        super().validate()
        complete_mode(self.policy.data, type(self))

    def invalid(self, message: str) -> PolicyValidationError:
        """The error for a policy's author: raise it with what is wrong and the fix."""
        return PolicyValidationError(
            f"policy:{self.policy.name} mode:{self.options['type']} {message}"
        )

    def resolve_resources(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The resources that the event names; what AWS does not give is not evaluated."""
        self.assume_member(event)
        ids = self.ids_in(event)
        if not ids:
            self.policy.log.warning("policy:%s the event names no resource", self.policy.name)
            return []
        resources = self.load(ids)
        known = {name for resource in resources for name in self.ids_of(resource)}
        outcomes.record_ids(
            self.policy.ctx,
            f"mode:{self.options['type']}",
            [name for name in ids if name not in known],
            "NotResolved",
            "AWS returned no such resource: it is gone, or the read was refused (see the log)",
        )
        return resources

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
