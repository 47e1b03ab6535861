"""The Lambda function and the EventBridge rule of our own modes. Deployment only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from c7n import mu

if TYPE_CHECKING:
    from c7n_secops.event_mode import EventBridgeMode


class BusClient:
    """An EventBridge client whose rule operations all name one bus."""

    ON_A_BUS = frozenset(
        {
            "delete_rule",
            "describe_rule",
            "disable_rule",
            "enable_rule",
            "list_targets_by_rule",
            "put_rule",
            "put_targets",
            "remove_targets",
        }
    )

    def __init__(self, client: Any, bus: str):
        self._client, self._bus = client, bus

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)
        if name not in self.ON_A_BUS:
            return operation
        return lambda **params: operation(EventBusName=self._bus, **params)


class PatternSource(mu.CloudWatchEventSource):
    """A rule with the pattern of our mode, on the default bus or on one of the user's."""

    def __init__(self, mode: EventBridgeMode, session_factory: Any):
        super().__init__(mode.options, session_factory)
        self.mode = mode

    def render_event_pattern(self) -> str:
        return json.dumps(self.mode.event_pattern(), sort_keys=True)

    @property
    def client(self) -> Any:
        client = super().client
        bus = self.mode.options.get("bus")
        return BusClient(client, bus) if bus else client


def policy_lambda(mode: EventBridgeMode) -> type[mu.PolicyLambda]:
    """The class of a policy's function, which Custodian's deployment makes an instance of."""

    class EventBridgeLambda(mu.PolicyLambda):
        def get_events(self, session_factory: Any) -> list[PatternSource]:
            return [PatternSource(mode, session_factory)]

    return EventBridgeLambda
