"""The Lambda function and the EventBridge rule of our own modes. Deployment only."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from c7n import mu

if TYPE_CHECKING:
    from c7n_secops.event_mode import EventBridgeMode


RULE_OPERATIONS = frozenset(
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
PERMISSION_OPERATIONS = frozenset({"add_permission", "remove_permission"})


class BusClient:
    """A client of EventBridge or Lambda that turns what Custodian asks towards one bus.

    Rules are on that bus, and the permission that lets it invoke the function has a name of its
    own: Custodian takes one of the same name for done, even where it is for another bus.
    """

    def __init__(self, client: Any, bus: str):
        self._client, self._bus = client, bus

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)
        if name in RULE_OPERATIONS:
            return lambda **params: operation(EventBusName=self._bus, **params)
        if name in PERMISSION_OPERATIONS:
            return lambda **params: operation(
                **{**params, "StatementId": self.statement(params["StatementId"])}
            )
        return operation

    def statement(self, name: str) -> str:
        """The permission's name for this bus: a bus name may hold what a statement's may not."""
        return f"{name}-{hashlib.sha256(self._bus.encode()).hexdigest()[:12]}"


class BusSession:
    """A session whose clients are all :class:`BusClient`."""

    def __init__(self, session: Any, bus: str):
        self._session, self._bus = session, bus

    def client(self, service: str) -> BusClient:
        return BusClient(self._session.client(service), self._bus)


class PatternSource(mu.CloudWatchEventSource):
    """A rule with the pattern of our mode, on the default bus or on one of the user's."""

    def __init__(self, mode: EventBridgeMode, session_factory: Any):
        super().__init__(mode.options, session_factory)
        self.mode = mode

    def render_event_pattern(self) -> str:
        return json.dumps(self.mode.event_pattern(), sort_keys=True)

    @property
    def session(self) -> Any:
        bus = self.mode.options.get("bus")
        return BusSession(super().session, bus) if bus else super().session


def policy_lambda(mode: EventBridgeMode) -> type[mu.PolicyLambda]:
    """The class of a policy's function, which Custodian's deployment makes an instance of."""

    class EventBridgeLambda(mu.PolicyLambda):
        def get_events(self, session_factory: Any) -> list[PatternSource]:
            return [PatternSource(mode, session_factory)]

    return EventBridgeLambda
