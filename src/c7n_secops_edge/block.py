"""Blocking addresses for a time: from where they come to what is written, and the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from c7n_secops.aws.calls import FAILURES, RefusedError
from c7n_secops_edge import guardduty, protected, ring, web_acl
from c7n_secops_edge.action import Target, WafAction, by_scope
from c7n_secops_edge.allow_list import AllowList
from c7n_secops_edge.expire import failure
from c7n_secops_edge.networks import FAMILIES, Network
from c7n_secops_edge.protected import UnknownError
from c7n_secops_edge.ring import Fill, Ring, RingError
from c7n_secops_edge.screen import MIN_PREFIX, Screen, Screened
from c7n_secops_edge.waf import Waf
from c7n_secops_edge.web_acl import WebAcl

FLOODS = "c7n:HttpFlood"
SLOTS, MINUTES, MAX_NEW = 6, 240, 2000


class IpBlock(WafAction):
    """What ``waf-ip-block`` does; the element's file has its schema and documentation."""

    def validate(self) -> Any:
        super().validate()
        self.check_web_acls()
        source, mode = self.data.get("from"), self.manager.data.get("mode") or {}
        if source == "annotation" and not any(
            item.type == "http-flood" for item in self.manager.iter_filters()
        ):
            raise self.invalid("from: annotation needs what a filter found; add http-flood")
        if source == "event" and mode.get("type", "pull") in ("pull", "periodic"):
            raise self.invalid("from: event needs a mode with events; set mode.type to guard-duty")
        if "direction" in self.data and source != "event":
            raise self.invalid("direction is about the connection of an event; set from: event")
        for family, least in MIN_PREFIX.items():
            least = self.data.get("min-prefix", {}).get(family, least)
            if self.data.get("widen", {}).get(family, least) < least:
                raise self.invalid(
                    f"widen.{family} is wider than min-prefix.{family}, {least}, allows; lower that"
                )
        return self

    # --- a run

    def plan(self, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What would be blocked, as far as no event is needed: nothing is written."""
        if self.data.get("from") == "event":
            return [{"resource": self.id_of(r), "skipped": "no event yet"} for r in resources]
        rows = []
        for target, screened in self._open(resources, None):
            would = {
                "block": [str(network) for network in screened.networks],
                "minutes": self.data.get("duration", MINUTES),
                "refused": screened.refused,
                "web-acls": [found.name for found in target.web_acls],
            }
            said = target.row if target.outcome else would
            rows.append({"resource": target.id, "scope": target.waf.scope, **said})
        return rows

    def process(
        self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        opened = self._open(resources, event)
        targets = [target for target, _ in opened]
        screened = {id(target): found for target, found in opened}
        for several in by_scope(targets):
            self._block([(target, screened[id(target)]) for target in several])
        return self.report(targets)

    def _open(
        self, resources: list[dict[str, Any]], event: Mapping[str, Any] | None
    ) -> list[tuple[Target, Screened]]:
        """The resources with what may be blocked for them; some have their result already."""
        targets = self.targets(resources)
        self.allowed: list[Network] = []
        opened = [(target, Screened()) for target in targets]
        try:
            offers = [list(self._offered(target.resource, event)) for target in targets]
            self.allowed = protected.allowed(self, self.data.get("allow", {}))
            if any(offers):
                screen = Screen(self, self.allowed)
                opened = list(zip(targets, screen.all(offers), strict=True))
        except UnknownError as error:
            for target in targets:
                target.end("failed", "ProtectionUnknown", f"nothing was blocked: {error}")
        except RefusedError as refused:
            self.not_known(targets, refused)
        for target, found in opened:
            if found.refused:
                target.said["refused"] = found.refused
        self.find_web_acls([target for target in targets if not target.outcome])
        return opened

    def _offered(
        self, resource: dict[str, Any], event: Mapping[str, Any] | None
    ) -> Iterator[tuple[Any, float]]:
        """What the source names, and how grave it is."""
        source = self.data["from"]
        if source == "annotation":
            for row in resource.get(FLOODS, ()):
                yield row.get("address"), float(row.get("count", 0))
        elif source == "event":
            direction = self.data.get("direction", guardduty.INBOUND)
            yield from ((text, 0) for text in guardduty.remote_addresses(event, direction))
        else:
            yield from ((text, 0) for text in source.get("addresses", ()))
            yield from ((text, 0) for text in protected.listed(self, source))

    # --- what is written

    def _block(self, several: list[tuple[Target, Screened]]) -> None:
        """Block what all resources of a scope ask for, with one write a family."""
        targets = [target for target, _ in several]
        weights: dict[Network, float] = {}
        for _, screened in several:
            for network, weight in screened.weights.items():
                weights[network] = max(weight, weights.get(network, 0))
        ranked = sorted(weights, key=lambda network: -weights[network])
        writer = Writer(self, targets[0].waf)
        try:
            writer.look(ranked)
        except RefusedError as refused:
            self.not_known(targets, refused)
            return
        except RingError as error:
            for target in targets:
                target.end("failed", error.code, f"nothing was blocked: {error}")
            return
        try:
            writer.write()
        except (*FAILURES, RingError) as error:
            code, reason = failure(error)
            for target in targets:
                target.end("failed", code, reason)
            return
        rules: dict[WebAcl, dict[str, Any]] = {}
        for target, screened in several:
            self._conclude(target, screened, writer, rules)

    def _conclude(
        self,
        target: Target,
        screened: Screened,
        writer: Writer,
        rules: dict[WebAcl, dict[str, Any]],
    ) -> None:
        """See to the rule in the resource's web ACLs, and settle its outcome."""
        its: dict[str, dict[str, Any]] = {}
        for found in target.web_acls if writer.has_ring else ():
            if found not in rules:
                rules[found] = writer.rule(found)
            its[found.name] = rules[found]
        unruled = [name for name, said in its.items() if said["rule"] == "failed"]
        if not screened.networks and not unruled:
            target.end("skipped", "NothingToBlock", "no address is left that may be blocked")
            return
        left_out = [network for network in screened.networks if network in writer.left_out]
        held = [network for network in screened.networks if network not in writer.left_out]
        target.said |= {
            "addresses": {str(n): writer.fills[n.version].expires.isoformat() for n in held},
            "web-acls": its,
        }
        if left_out:
            target.said["left-out"] = [str(network) for network in left_out]
        is_new = not writer.added.isdisjoint(held)
        if unruled:
            reason = f"the addresses are in the IP sets, but the rule is not in {unruled[0]}"
            target.end("partial", its[unruled[0]]["code"], reason)
        elif left_out:
            reason = f"no room for {len(left_out)} networks, those of least weight"
            target.end("partial", "OverCapacity", reason)
        elif is_new or any(said["rule"] != "present" for said in its.values()):
            target.end("counted" if self.data.get("rule-action") == "count" else "blocked")
        else:
            target.end("skipped", "AlreadyBlocked", "all addresses were blocked already")


class Writer:
    """The IP sets of one scope: looked at, then written."""

    def __init__(self, action: IpBlock, waf: Waf):
        self.data, self.waf = action.data, waf
        self.allowed = action.allowed if "allow" in self.data else None
        self.ring = Ring(
            waf,
            self.data["name"],
            slots=self.data.get("slots", SLOTS),
            duration=timedelta(minutes=self.data.get("duration", MINUTES)),
        )
        self.fills: dict[int, Fill] = {}

    @property
    def added(self) -> set[Network]:
        """What was not there before."""
        return {network for fill in self.fills.values() for network in fill.added}

    @property
    def left_out(self) -> set[Network]:
        """What there was no room for."""
        return {network for fill in self.fills.values() for network in fill.left_out}

    def look(self, ranked: Sequence[Network]) -> None:
        """Read what there is, and raise RingError where the policy does not want to go on."""
        self.networks = {
            version: found
            for version in FAMILIES
            if (found := [network for network in ranked if network.version == version])
        }
        self.allow = None if self.allowed is None else AllowList(self.ring.name, self.allowed)
        self.summaries = self.waf.ip_sets()
        self.slots = ring.slots_in(self.summaries, self.ring.name)
        self.open = {version: self.ring.open(self.slots, version) for version in self.networks}
        would = {
            version: self.ring.fill(self.open[version], found)
            for version, found in self.networks.items()
        }
        new = sum(len(fill.added) + len(fill.left_out) for fill in would.values())
        most = self.data.get("max-new", MAX_NEW)
        if new > most:
            raise RingError(
                "TooManyNew",
                f"{new:,} networks are new, and max-new is {most:,}; look at them, then raise it",
            )
        for version, fill in would.items():
            if fill.left_out and self._all_or_none:
                raise ring.full(f"of IPv{version}", fill)

    @property
    def _all_or_none(self) -> bool:
        return bool(self.data.get("on-full") == "fail")

    def write(self) -> None:
        """Empty what has expired, and fill the slots whose turn it is.

        An allow list reaches the ring also where nobody is to be blocked: it ends blocks.
        """
        turn, _expires = self.ring.turn()
        others = [s for s in self.slots if s.number != turn or s.version not in self.networks]
        ring.sweep(self.waf, self.ring.name, others)
        self.has_ring = bool(self.networks or (self.slots and self.allow))
        if not self.has_ring:
            return
        self.slots = self.ring.ensure(self.slots)
        self.allow_arns = self.allow.ensure(self.waf, self.summaries) if self.allow else []
        for version, found in self.networks.items():
            self.fills[version] = self.ring.add(
                self.slots, version, found, self.open[version], all_or_none=self._all_or_none
            )

    def rule(self, found: WebAcl) -> dict[str, Any]:
        """Put the ring's rule into a web ACL; says what became of it."""
        name = self.data["name"]
        slots = sorted(slot.arn for slot in self.slots)
        statement = web_acl.blocking(slots, self.allow_arns, self.data.get("forwarded-ip"))
        action = self.data.get("rule-action", "block")
        wanted = web_acl.rule(statement, action, name, self.data.get("priority", 0))
        return web_acl.put(self.waf, found, name, wanted)
