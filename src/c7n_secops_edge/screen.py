"""Which of the addresses that a source names may be blocked, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from c7n_secops_edge import protected
from c7n_secops_edge.networks import FAMILIES, MalformedError, Network, parse, shown, widen
from c7n_secops_edge.protected import Guard, Refusal

MIN_PREFIX = {"ipv4": 24, "ipv6": 48}
MIN_HOSTS = 32

ALLOWED = Refusal("Allowed", "in the policy's allow list")
PRIVATE = Refusal("Protected", "not an address of the public internet (private)")
OWN = Refusal("Protected", "an address of this account (own-eips)")
BOT = Refusal("Protected", "a search engine by its name, which leads back to it (verified-bots)")


@dataclass
class Screened:
    """What may be blocked for one resource, each with its weight, and what was refused."""

    weights: dict[Network, float] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    @property
    def networks(self) -> list[Network]:
        return list(self.weights)

    def refuse(self, what: object, why: Refusal, left: Sequence[Network] = ()) -> None:
        """Note a refusal; ``left`` is what of it may be blocked all the same."""
        row: dict[str, Any] = {"address": str(what), **why._asdict()}
        self.refused.append({**row, "still": [str(network) for network in left]} if left else row)

    def add(self, network: Network, weight: float) -> None:
        self.weights[network] = max(weight, self.weights.get(network, 0))


class Screen:
    """Asks of each address whether the policy lets it be blocked.

    Raises UnknownError or RefusedError where it cannot be known whom the policy protects.
    """

    def __init__(self, element: Any, allowed: Sequence[Network]):
        self.element, self.data = element, element.data
        self.kinds: Sequence[str] = self.data.get("protect", protected.DEFAULT)
        self.guard = self._guard(allowed)

    def all(self, offers: Sequence[Sequence[tuple[Any, float]]]) -> list[Screened]:
        """What may be blocked of what the source names, for each resource."""
        several = [Screened() for _ in offers]
        for screened, offered in zip(several, offers, strict=True):
            for text, weight in offered:
                self._take(screened, text, weight)
        guard = self.guard
        if protected.BOTS in self.kinds:
            hosts = {network for screened in several for network in screened.networks}
            guard = guard.and_also(BOT, protected.verified_bots(hosts))
        for screened in several:
            self._widen(screened, guard)
        return several

    def _take(self, screened: Screened, text: Any, weight: float) -> None:
        try:
            network = parse(text)
        except MalformedError as error:
            screened.refuse(shown(text), Refusal("Malformed", str(error)))
            return
        family = f"ipv{network.version}"
        least = self.data.get("min-prefix", {}).get(family, MIN_PREFIX[family])
        if network.prefixlen < least:
            screened.refuse(network, Refusal("TooWide", f"wider than /{least} (min-prefix)"))
            return
        left, why = self.guard.split(network)
        if why:
            screened.refuse(network, why, left)
        for piece in left:
            screened.add(piece, weight)

    def _widen(self, screened: Screened, guard: Guard) -> None:
        """Put wider networks where many hosts are, still without anyone who is protected."""
        options = self.data.get("widen", {})
        lengths = {v: options[f"ipv{v}"] for v in FAMILIES if f"ipv{v}" in options}
        weights, screened.weights = screened.weights, {}
        wide = widen(weights, lengths, options.get("min-hosts", MIN_HOSTS))
        for network, members in wide.items():
            left, why = guard.split(network)
            if why and network in weights:
                screened.refuse(network, why, left)
            for piece in left:
                screened.add(piece, sum(weights[member] for member in members))

    def _guard(self, allowed: Sequence[Network]) -> Guard:
        parts: list[tuple[Refusal, Sequence[Network]]] = [(ALLOWED, allowed)]
        if protected.PRIVATE in self.kinds:
            parts.append((PRIVATE, protected.NOT_GLOBAL))
        if protected.OWN in self.kinds:
            parts.append((OWN, protected.own_addresses(self.element)))
        named = [kind for kind in protected.SERVICES if kind in self.kinds]
        if named:
            url = self.data.get("ip-ranges", protected.IP_RANGES)
            for kind, networks in protected.published(self.element, url, named).items():
                parts.append((Refusal("Protected", f"of {kind} in {url}"), networks))
        return Guard(parts)
