"""Blocks that expire: a ring of IP sets, each of which says in its description until when it holds.

A ring ``secops-block`` of six slots is the IP sets ``secops-block-ipv4-0`` to ``-5``, and the same
for ``ipv6``. Time is cut into slots of equal width, and what is blocked in one goes into the IP set
whose turn it is. Addresses and expiry stand in one IP set, so AWS changes them in one update under
one lock token: two writers cannot lose each other's addresses, and a sweep cannot empty a set that
somebody has just filled anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from c7n_secops.aws import calls
from c7n_secops_edge.networks import FAMILIES, Network, Ranges, collapse, parse
from c7n_secops_edge.waf import Waf, until_saved, utcnow

CAPACITY = 10_000
"""Addresses that AWS allows in an IP set."""

EXPIRES = re.compile(r"c7n:expires=([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)")
EMPTY = "c7n:expires=empty"


class RingError(Exception):
    """The ring cannot take what it is given; nothing was changed. ``code`` is for results."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Slot:
    """An IP set of the ring as AWS lists it; ``expires`` is None where it is empty."""

    name: str
    id: str
    arn: str
    token: str
    version: int
    number: int
    expires: datetime | None

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True)
class Fill:
    """What becomes of a slot when addresses are added: all that it then holds, and until when.

    ``added`` are those that were not there, ``left_out`` those for which there is no room.
    """

    networks: Sequence[Network]
    expires: datetime
    added: Sequence[Network]
    left_out: Sequence[Network]
    is_change: bool


def describe(expires: datetime) -> str:
    """The description of an IP set that holds until then."""
    return f"c7n:expires={expires.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def expiry(name: str, description: str) -> datetime | None:
    """When an IP set expires, None for an empty one; RingError where it is not one of a ring."""
    if description == EMPTY:
        return None
    found = EXPIRES.fullmatch(description)
    if not found:
        raise RingError(
            "ForeignIpSet",
            f"the IP set {name} has the name of a slot, but its description does not say when it "
            f"expires; rename the policy's ring, or empty the set and set its description to "
            f"{EMPTY}",
        )
    return datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def read(waf: Waf, ring: str) -> list[Slot]:
    """The slots of a ring that there are, both families; one question of AWS for a hundred sets."""
    return slots_in(waf.ip_sets(), ring)


def slots_in(summaries: Iterable[dict[str, Any]], ring: str) -> list[Slot]:
    """The slots of a ring among listed IP sets."""
    pattern = re.compile(rf"{re.escape(ring)}-ipv([46])-([0-9]{{1,2}})")
    return [
        Slot(
            row["Name"],
            row["Id"],
            row["ARN"],
            row["LockToken"],
            int(found[1]),
            int(found[2]),
            expiry(row["Name"], row.get("Description", "")),
        )
        for row in summaries
        if (found := pattern.fullmatch(row["Name"]))
    ]


def sweep(
    waf: Waf, ring: str, slots: list[Slot], now: Callable[[], datetime] = utcnow
) -> list[str]:
    """Empty the slots whose time is over; returns the names of those that were.

    Costs one call a slot, none where nothing has expired. Where a slot was changed since it was
    listed, AWS refuses the token, and all are listed anew.
    """
    emptied: list[str] = []
    listed: list[list[Slot]] = [slots]

    def empty() -> None:
        for slot in listed.pop() if listed else read(waf, ring):
            if slot.has_expired(now()):
                waf.client.update_ip_set(
                    Name=slot.name,
                    Scope=waf.scope,
                    Id=slot.id,
                    LockToken=slot.token,
                    Addresses=[],
                    Description=EMPTY,
                )
                emptied.append(slot.name)

    until_saved(empty)
    return emptied


class Ring:
    """A ring to which addresses are added, for at least ``duration``.

    A block lives for ``duration`` to ``duration + width``, where the width of a slot is
    ``duration / (slots - 2)``: a slot is used for one width, holds for one duration more, and is
    empty for one width before its turn comes again.
    """

    def __init__(
        self,
        waf: Waf,
        name: str,
        *,
        slots: int = 6,
        duration: timedelta = timedelta(hours=4),
        now: Callable[[], datetime] = utcnow,
    ):
        self.waf, self.name, self.slots, self.now = waf, name, slots, now
        self.duration = int(duration.total_seconds())
        self.width = -(-self.duration // (slots - 2))

    def turn(self) -> tuple[int, datetime]:
        """The number of the slot whose turn it is, and when what it takes expires."""
        lap = int(self.now().timestamp()) // self.width
        end = (lap + 1) * self.width + self.duration
        return lap % self.slots, datetime.fromtimestamp(end, timezone.utc)

    def ensure(self, slots: list[Slot]) -> list[Slot]:
        """Make the IP sets that are missing, empty ones; returns all of the ring."""
        listed = [slots]

        def make() -> list[Slot]:
            there = listed.pop() if listed else read(self.waf, self.name)
            names = {slot.name for slot in there}
            made = [
                self._make(version, number)
                for version in FAMILIES
                for number in range(self.slots)
                if self._name(version, number) not in names
            ]
            return there + made

        return until_saved(make, also=("WAFDuplicateItemException",))

    def _name(self, version: int, number: int) -> str:
        return f"{self.name}-ipv{version}-{number}"

    def _make(self, version: int, number: int) -> Slot:
        name = self._name(version, number)
        answer = self.waf.client.create_ip_set(
            Name=name,
            Scope=self.waf.scope,
            IPAddressVersion=FAMILIES[version],
            Addresses=[],
            Description=EMPTY,
        )["Summary"]
        token = answer["LockToken"]
        return Slot(name, answer["Id"], answer["ARN"], token, version, number, None)

    def open(self, slots: list[Slot], version: int) -> OpenSlot | None:
        """The slot of a family whose turn it is, with what it holds; None where there is none."""
        number, _expires = self.turn()
        slot = next((s for s in slots if (s.version, s.number) == (version, number)), None)
        return OpenSlot.read(self, slot) if slot else None

    def fill(self, held: OpenSlot | None, wanted: Sequence[Network]) -> Fill:
        """What adding networks to a slot would make of it; ``wanted`` has the gravest first."""
        _number, expires = self.turn()
        holds: list[Network] = []
        until = held.slot.expires if held else None
        if held and until and until > self.now():  # otherwise it is what an earlier lap left
            holds, expires = held.networks, max(expires, until)
        there = Ranges(holds)
        added = [network for network in dict.fromkeys(wanted) if not there.holding(network)]
        taken, left_out = _fitting(holds, added)
        is_longer = bool(holds and wanted) and expires != until
        return Fill(_put_together(holds, taken), expires, taken, left_out, bool(taken) or is_longer)

    def add(
        self,
        slots: list[Slot],
        version: int,
        wanted: Sequence[Network],
        held: OpenSlot | None = None,
        *,
        all_or_none: bool = False,
    ) -> Fill:
        """Add networks of a family to the slot whose turn it is, whoever else writes to it.

        ``held`` is what :meth:`open` gave a moment ago. Changes nothing where all are there.
        Where the slot has no room for all, the gravest are added, or RingError is raised.
        """
        known = [held]

        def change() -> Fill:
            current = known.pop() if known else None
            if current is None or current.slot.number != self.turn()[0]:
                current = self.open(slots, version)
            if current is None:
                raise RingError("NoSlot", f"the ring {self.name} has no slot {self.turn()[0]}")
            fill = self.fill(current, wanted)
            if fill.left_out and all_or_none:
                raise full(current.slot.name, fill)
            if fill.is_change:
                self.waf.client.update_ip_set(
                    Name=current.slot.name,
                    Scope=self.waf.scope,
                    Id=current.slot.id,
                    LockToken=current.slot.token,
                    Addresses=[str(network) for network in fill.networks],
                    Description=describe(fill.expires),
                )
            return fill

        return until_saved(change)


@dataclass(frozen=True)
class OpenSlot:
    """A slot with the networks that it holds, and the token of that moment."""

    slot: Slot
    networks: list[Network]

    @classmethod
    def read(cls, ring: Ring, slot: Slot) -> OpenSlot:
        get = ring.waf.client.get_ip_set
        answer = calls.read(get, Name=slot.name, Scope=ring.waf.scope, Id=slot.id)
        now = answer["IPSet"]
        expires = expiry(slot.name, now.get("Description", ""))
        fresh = replace(slot, token=answer["LockToken"], expires=expires)
        return cls(fresh, [parse(text) for text in now["Addresses"]])


def full(name: str, fill: Fill) -> RingError:
    """The error for a slot that has no room for all that it is given."""
    return RingError(
        "OverCapacity",
        f"the IP set {name} has no room for {len(fill.left_out)} of "
        f"{len(fill.left_out) + len(fill.added)} networks; an IP set holds {CAPACITY:,}",
    )


def _fitting(holds: Sequence[Network], added: list[Network]) -> tuple[list[Network], list[Network]]:
    """Divide what is added into what there is room for, the gravest first, and the rest."""
    if len(holds) + len(added) <= CAPACITY or len(collapse([*holds, *added])) <= CAPACITY:
        return added, []
    room = max(0, CAPACITY - len(collapse(holds)))
    return added[:room], added[room:]


def _put_together(holds: Sequence[Network], taken: Sequence[Network]) -> list[Network]:
    together = [*holds, *taken]
    return collapse(together) if len(together) > CAPACITY else together
