"""Who would be blocked, from when, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from c7n_secops_edge import protected
from c7n_secops_edge.block import MAX_NEW, MINUTES, SLOTS
from c7n_secops_edge.networks import Network, Ranges, parse
from c7n_secops_edge.ring import Ring
from c7n_secops_edge.screen import Screen, Screened
from c7n_secops_edge.waf import Waf
from c7n_secops_tools.replay_logs.policy import Chosen

LOOKBACK = 20
"""Minutes that ``http-flood`` looks back unless the policy says otherwise."""
NO_ACTION = "the policy has no waf-ip-block"


class Verdict(NamedTuple):
    """What becomes of one offender. Times are None, and ``reason`` says why, where it is spared.

    ``until`` is when its block ends at the earliest, ``latest`` when it may still last.
    """

    offender: dict[str, Any]
    since: datetime | None
    until: datetime | None
    latest: datetime | None
    reason: str

    @property
    def is_blocked(self) -> bool:
        return self.since is not None


@dataclass
class Blocks:
    """The verdicts, in the order of the offenders; ``notes`` say what they do not consider."""

    verdicts: list[Verdict]
    notes: list[str]


def judge(
    chosen: Chosen, offenders: Sequence[dict[str, Any]], allowed: Sequence[str], delay: int
) -> Blocks:
    """Ask the policy's own rules about each offender, as far as they need no account.

    ``delay`` minutes pass from a request until a run of the policy reads its log. ``allowed`` are
    networks that nobody blocks, besides those that the policy writes down. Raises UnknownError
    where one of these is no address.
    """
    block = chosen.block
    if block is None:
        return Blocks([Verdict(each, None, None, None, NO_ACTION) for each in offenders], [])
    notes = list(_not_considered(block))
    kinds = [kind for kind in block.get("protect", protected.DEFAULT) if kind == protected.PRIVATE]
    element = SimpleNamespace(data={**block, "protect": kinds})
    written = [*block.get("allow", {}).get("addresses", ()), *allowed]
    screen = Screen(element, protected.allowed(element, {"addresses": written}))
    (screened,) = screen.all([[(each["address"], each["count"]) for each in offenders]])
    most = block.get("max-new", MAX_NEW)
    if len(screened.networks) > most:
        notes.append(
            f"{len(screened.networks):,} networks, and max-new is {most:,}: a run that finds more "
            "new ones than that at once blocks nobody"
        )
    lookback = chosen.flood.get("lookback", LOOKBACK)
    times = Times(block, delay, lookback)
    return Blocks([times.verdict(each, screened) for each in offenders], notes)


class Times:
    """When a block begins and ends: the ring's own expiry, at the moments that are possible."""

    def __init__(self, block: dict[str, Any], delay: int, lookback: int):
        self.block = block
        self.delay, self.lookback = timedelta(minutes=delay), timedelta(minutes=lookback)

    def verdict(self, offender: dict[str, Any], screened: Screened) -> Verdict:
        """What becomes of an offender, once it is known who may be blocked."""
        network = parse(offender["address"])
        if not _overlaps(network, screened.networks):
            refused = {row["address"]: row for row in screened.refused}
            return Verdict(offender, None, None, None, refused[str(network)]["reason"])
        found = _end_of(offender["firstOver"]) + self.delay
        last = _end_of(offender["lastOver"]) + self.delay
        return Verdict(offender, found, self.expiry(last), self.expiry(last + self.lookback), "")

    def expiry(self, found: datetime) -> datetime:
        """Until when the ring holds what is found at this moment."""
        ring = Ring(
            cast("Waf", None),
            self.block["name"],
            slots=self.block.get("slots", SLOTS),
            duration=timedelta(minutes=self.block.get("duration", MINUTES)),
            now=lambda: found,
        )
        return ring.turn()[1]


def _overlaps(network: Network, blocked: Sequence[Network]) -> bool:
    ranges = Ranges(blocked)
    return bool(ranges.holding(network) or ranges.inside(network))


def _end_of(minute: str) -> datetime:
    return datetime.fromisoformat(minute.replace("Z", "+00:00")) + timedelta(minutes=1)


def _not_considered(block: dict[str, Any]) -> list[str]:
    """What of the policy is not as the verdicts have it: what needs an account or the network."""
    protect = block.get("protect", protected.DEFAULT)
    unread = [kind for kind in protect if kind != protected.PRIVATE]
    notes = []
    if unread:
        notes.append(f"whom protect names besides private is not known here: {', '.join(unread)}")
    if url := block.get("allow", {}).get("value_from", {}).get("url"):
        notes.append(f"the allow list {url} was not read; give a copy with --allow")
    if block.get("rule-action") == "count":
        notes.append("the policy's rule only counts; it blocks with rule-action: block")
    return notes
