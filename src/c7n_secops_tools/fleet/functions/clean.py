"""Functions whose policy is gone, and rules that ``mugc`` leaves behind on other buses."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from c7n.utils import local_session

from c7n_secops_tools.fleet import outcome, unit
from c7n_secops_tools.fleet.functions import built, drift
from c7n_secops_tools.fleet.functions.deployed import CUSTOM_ACTION, Deployed, Rule, found_by
from c7n_secops_tools.fleet.functions.drift import ERRORS, KEPT, REMOVED, STALE, UNKNOWN, Row, row
from c7n_secops_tools.fleet.unit import Place

PREFIX = "custodian-"
HUB_MODE = "hub-action"
CONFIG_MODES = ("config-rule", "config-poll-rule")
MODE = re.compile(r"^mode=([a-z0-9-]+):version=")
SCHEDULE = re.compile(r"^name=(?P<Name>[\w-]{1,64}):group=(?P<GroupName>[\w.-]{1,64})$")
log = logging.getLogger("c7n_secops.fleet")


@dataclass(frozen=True)
class Cleaner:
    """Finds what no policy builds any more in one account and region, and removes it if told to.

    A function is taken only where its name has the prefix of a policy, or Custodian's, and its
    tags say that it was deployed from here; with ``stock``, by stock Custodian too.
    """

    remove: bool = False
    stock: bool = False

    def __call__(self, place: Place) -> list[Row]:
        """The rows of one account and region."""
        with ExitStack() as stack:
            try:
                sessions = unit.enter(stack, place)
                meant = {}
                for data in place.policies:
                    policy = unit.prepared(place, data, sessions)
                    name = policy.data["mode"].get("function-prefix", PREFIX) + policy.name
                    meant[name] = policy.data["mode"]
                return list(self._rows(place, meant, Deployed(local_session(sessions))))
            except ERRORS as error:
                why = outcome.of_session(error)
                return [row(place, "", UNKNOWN, why=f"{why.why}: {why.reason}")]

    def _rows(self, place: Place, meant: dict[str, Any], deployed: Deployed) -> Iterator[Row]:
        prefixes = sorted(
            {PREFIX, *(mode.get("function-prefix", PREFIX) for mode in meant.values())}
        )
        there = dict(deployed.names(*prefixes))
        stale = {
            name: tags
            for name, arn in there.items()
            if name not in meant and self._ours(tags := deployed.tags(arn))
        }
        for name, tags in stale.items():
            others = sorted(
                str(rule) for rule in deployed.invokers(there[name]) if rule.name != name
            )
            if others:
                yield row(place, name, KEPT, why=f"invoked by the rule {', '.join(others)}")
                continue
            yield self._cleaned(place, name, lambda n=name, t=tags: _remove(deployed, n, t, meant))
        for rule in sorted(
            {rule for prefix in prefixes for rule in deployed.rules(prefix)}, key=str
        ):
            if _stray(rule, meant, there, stale, deployed):
                yield self._cleaned(place, str(rule), lambda r=rule: _remove_rule(deployed, r))

    def _ours(self, tags: dict[str, str]) -> bool:
        return built.ARCHIVE_TAG in tags or (self.stock and built.STOCK_TAG in tags)

    def _cleaned(self, place: Place, name: str, remove: Any) -> Row:
        if not self.remove:
            return row(place, name, STALE)
        try:
            remove()
        except ERRORS as error:
            why = outcome.of_error(error, absent=False)
            return row(place, name, UNKNOWN, why=f"not removed: {why.reason}")
        return row(place, name, REMOVED)


def _stray(
    rule: Rule, meant: dict[str, Any], there: dict[str, str], stale: Any, deployed: Deployed
) -> bool:
    """Whether a rule is left over: its function is gone, or has its rule on another bus now.

    Rules of stale functions go with these. A rule with any other target is somebody's own.
    """
    if rule.name in stale:
        return False
    if rule.name in meant:
        if rule.bus == drift.bus_of(meant[rule.name]):
            return False
    elif rule.name in there:
        return False
    arns = [target["Arn"] for target in deployed.targets(rule)]
    return bool(arns) and all(
        ":lambda:" in arn and arn.partition(":function:")[2] == rule.name for arn in arns
    )


def _remove(deployed: Deployed, name: str, tags: dict[str, str], meant: dict[str, Any]) -> None:
    """Remove what invokes a function, then the function, with which its permissions go."""
    found = MODE.match(tags.get(built.STOCK_TAG, ""))
    mode = found.group(1) if found else ""
    for rule in [rule for rule in deployed.rules(name) if rule.name == name]:
        actions = _custom_actions(deployed, rule, meant) if mode == HUB_MODE else ()
        _remove_rule(deployed, rule, *actions)
    schedule = SCHEDULE.match(tags.get(built.SCHEDULE_TAG, ""))
    if schedule:
        scheduler = deployed.session.client("scheduler")
        found_by(scheduler.delete_schedule, **schedule.groupdict())
    if mode in CONFIG_MODES:
        found_by(deployed.session.client("config").delete_config_rule, ConfigRuleName=name)
    log.info("Removing lambda function %s", name)
    found_by(deployed.functions.delete_function, FunctionName=name)


def _custom_actions(deployed: Deployed, rule: Rule, meant: dict[str, Any]) -> Iterator[str]:
    """The custom actions that a rule names for the policy of its function, and for no other.

    A policy that is still there may share one: with the same name, behind another prefix.
    """
    shared = {
        name.removeprefix(mode.get("function-prefix", PREFIX))
        for name, mode in meant.items()
        if mode["type"] == HUB_MODE
    }
    for arn in deployed.custom_actions(rule):
        policy = arn.partition(CUSTOM_ACTION)[2]
        if rule.name.endswith(policy) and policy not in shared:
            yield arn


def _remove_rule(deployed: Deployed, rule: Rule, *actions: str) -> None:
    """Remove a rule, and before it the custom actions it is for, unless it also serves others."""
    targets = deployed.targets(rule)
    own = [each["Id"] for each in targets if each["Arn"].rpartition(":")[2] == rule.name]
    bus = {"EventBusName": rule.bus}
    if own:
        deployed.events.remove_targets(Rule=rule.name, Ids=own, **bus)
    if len(own) == len(targets):
        for arn in actions:
            hub = deployed.session.client("securityhub")
            found_by(hub.delete_action_target, ActionTargetArn=arn)
        found_by(deployed.events.delete_rule, Name=rule.name, **bus)
