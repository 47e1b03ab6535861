"""The ring of IP sets: nothing is lost between writers, and nothing stays when its time is over."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from threading import Event

import pytest

from c7n_secops_edge import ring as rings
from c7n_secops_edge import waf as waf_module
from c7n_secops_edge.networks import Network, Ranges, parse, subtract
from c7n_secops_edge.ring import CAPACITY, EMPTY, Ring, RingError, describe
from c7n_secops_edge.waf import Waf
from tests.emulator import Emulator
from tests.harness import ACCOUNT, REGION

START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
WRITERS, EACH, PART = 8, 200, 100


class Clock:
    """Time as a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **length: float) -> None:
        self.time += timedelta(**length)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waf(emulator: Emulator) -> Waf:
    return Waf(emulator.client("wafv2", ACCOUNT, REGION), "REGIONAL")


@pytest.fixture
def ring(waf: Waf, clock: Clock) -> Ring:
    """A ring of four hours in six slots, each an hour wide."""
    return Ring(waf, "block", slots=6, duration=timedelta(hours=4), now=clock)


def block(ring: Ring, *texts: str) -> rings.Fill:
    slots = ring.ensure(rings.read(ring.waf, ring.name))
    return ring.add(slots, 4, [parse(text) for text in texts])


def sweep(ring: Ring) -> list[str]:
    return rings.sweep(ring.waf, ring.name, rings.read(ring.waf, ring.name), ring.now)


def blocked(ring: Ring, version: int = 4) -> set[str]:
    """All that the ring's IP sets hold."""
    return {
        str(network)
        for slot in rings.read(ring.waf, ring.name)
        if slot.version == version
        for network in rings.OpenSlot.read(ring, slot).networks
    }


# --- a block's life -----------------------------------------------------------------------------


def test_a_block_lives_for_its_duration_and_less_than_a_width_more(
    ring: Ring, clock: Clock
) -> None:
    for minute in range(0, 60, 7):
        clock.time = START + timedelta(minutes=minute)
        life = block(ring, f"9.9.9.{minute}").expires - clock.time
        assert timedelta(hours=4) <= life <= timedelta(hours=5)


def test_it_is_there_until_its_time_is_over_and_gone_at_the_next_sweep(
    ring: Ring, clock: Clock
) -> None:
    expires = block(ring, "9.9.9.9").expires
    clock.time = expires - timedelta(seconds=1)
    assert sweep(ring) == []
    assert blocked(ring) == {"9.9.9.9/32"}
    clock.time = expires
    assert sweep(ring) == ["block-ipv4-0"]
    assert blocked(ring) == set()


def test_what_is_blocked_in_the_next_width_goes_into_the_next_slot(
    ring: Ring, clock: Clock
) -> None:
    first = block(ring, "9.9.9.9").expires
    clock.forward(hours=1)
    second = block(ring, "8.8.8.8").expires
    assert second - first == timedelta(hours=1)
    clock.time = first
    sweep(ring)
    assert blocked(ring) == {"8.8.8.8/32"}


def test_who_attacks_again_is_blocked_from_then_on(ring: Ring, clock: Clock) -> None:
    first = block(ring, "9.9.9.9").expires
    clock.forward(hours=2)
    block(ring, "9.9.9.9")
    clock.time = first
    sweep(ring)
    assert blocked(ring) == {"9.9.9.9/32"}


def test_a_slot_that_nobody_has_swept_is_filled_anew_and_not_added_to(
    ring: Ring, clock: Clock
) -> None:
    block(ring, "9.9.9.9")
    clock.forward(hours=6)
    fill = block(ring, "8.8.8.8")
    assert blocked(ring) == {"8.8.8.8/32"}
    assert fill.expires > clock.time


def test_a_longer_block_of_the_same_slot_is_not_cut_short(
    waf: Waf, ring: Ring, clock: Clock
) -> None:
    longer = Ring(waf, "block", slots=6, duration=timedelta(hours=24), now=clock)
    clock.time = datetime(2026, 3, 2, tzinfo=timezone.utc)
    assert longer.turn()[0] == ring.turn()[0]
    until = block(longer, "9.9.9.9").expires
    assert block(ring, "8.8.8.8").expires == until


def test_who_is_blocked_already_costs_no_update(emulator: Emulator, ring: Ring) -> None:
    block(ring, "9.9.9.0/28")
    emulator.clear_calls()
    fill = block(ring, "9.9.9.0/28", "9.9.9.5")
    assert not fill.is_change
    assert [call.operation for call in emulator.calls("wafv2")] == ["ListIPSets", "GetIPSet"]


def test_an_idle_sweep_is_one_call_and_a_busy_one_a_call_more_for_each_slot(
    emulator: Emulator, ring: Ring, clock: Clock
) -> None:
    block(ring, "9.9.9.9")
    emulator.clear_calls()
    sweep(ring)
    assert [call.operation for call in emulator.calls("wafv2")] == ["ListIPSets"]
    clock.forward(days=2)
    emulator.clear_calls()
    sweep(ring)
    sweep(ring)
    operations = [call.operation for call in emulator.calls("wafv2")]
    assert operations == ["ListIPSets", "UpdateIPSet", "ListIPSets"]


def test_more_ip_sets_than_a_page_are_all_read(
    waf: Waf, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waf_module, "PAGE", 5)
    ring.ensure(rings.read(waf, "block"))
    assert len(waf.ip_sets()) == 12
    assert len(rings.read(waf, "block")) == 12


# --- other people's IP sets ---------------------------------------------------------------------


@pytest.mark.parametrize("description", ["c7n:expires=soon", "office network", "c7n:allow=00"])
def test_an_ip_set_of_somebody_else_is_neither_filled_nor_emptied(
    waf: Waf, ring: Ring, description: str
) -> None:
    waf.client.create_ip_set(
        Name="block-ipv4-0",
        Scope="REGIONAL",
        IPAddressVersion="IPV4",
        Addresses=["9.9.9.9/32"],
        Description=description,
    )
    for act in (lambda: block(ring, "8.8.8.8"), lambda: sweep(ring)):
        with pytest.raises(RingError, match="block-ipv4-0 has the name of a slot") as raised:
            act()
        assert raised.value.code == "ForeignIpSet"
    (row,) = waf.ip_sets()
    held = waf.client.get_ip_set(Name=row["Name"], Scope="REGIONAL", Id=row["Id"])["IPSet"]
    assert held["Addresses"] == ["9.9.9.9/32"]


@pytest.mark.parametrize("name", ["my-block", "block-ipv4", "block-ipv4-1"])
def test_a_ring_s_name_does_not_reach_the_sets_of_a_longer_name(
    waf: Waf, clock: Clock, name: str
) -> None:
    longer = Ring(waf, name, now=clock)
    block(longer, "9.9.9.9")
    assert rings.read(waf, "block") == []


# --- room ---------------------------------------------------------------------------------------


def spread(number: int, first: str = "11.0.0.0") -> list[Network]:
    """Addresses no two of which make a wider network."""
    start = int(parse(first).network_address)
    return [type(parse(first))((start + 2 * each, 32)) for each in range(number)]


def test_where_there_is_no_room_for_all_the_first_are_taken(ring: Ring) -> None:
    slots = ring.ensure([])
    ring.add(slots, 4, spread(CAPACITY - 2))
    wanted = spread(4, "12.0.0.0")
    fill = ring.add(slots, 4, wanted)
    assert (list(fill.added), list(fill.left_out)) == (wanted[:2], wanted[2:])
    assert len(blocked(ring)) == CAPACITY


def test_neighbours_are_put_together_before_anybody_is_left_out(ring: Ring) -> None:
    slots = ring.ensure([])
    ring.add(slots, 4, spread(CAPACITY - 1))
    neighbours = [parse(f"12.0.0.{number}") for number in range(256)]
    fill = ring.add(slots, 4, neighbours)
    assert not fill.left_out
    held = blocked(ring)
    assert len(held) == CAPACITY
    assert "12.0.0.0/24" in held


def test_all_or_none_leaves_the_set_as_it_was(ring: Ring) -> None:
    slots = ring.ensure([])
    ring.add(slots, 4, spread(CAPACITY - 1))
    with pytest.raises(RingError, match="no room for 1 of 2") as raised:
        ring.add(slots, 4, spread(2, "12.0.0.0"), all_or_none=True)
    assert raised.value.code == "OverCapacity"
    assert len(blocked(ring)) == CAPACITY - 1


# --- several writers ----------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are a tenth as long."""
    monkeypatch.setattr(waf_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(waf_module, "LONGEST_PAUSE", 0.2)


@pytest.fixture
def sweeping(ring: Ring) -> Iterator[Callable[[], None]]:
    """Starts two sweepers, which go on until the test ends or they are called off."""
    over = Event()

    def run() -> None:
        while not over.is_set():
            waf_module.until_saved(lambda: sweep(ring))

    pool = ThreadPoolExecutor(2)
    running = [pool.submit(run) for _ in range(2)]

    def stop() -> None:
        over.set()
        for each in running:
            each.result(60)

    yield stop
    over.set()
    pool.shutdown()


def addresses_of(writer: int, lap: int) -> list[str]:
    return [f"{20 + lap}.{writer}.{number % 2}.{number}" for number in range(EACH)]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_eight_writers_and_two_sweepers_lose_nothing_and_leave_nothing(
    emulator: Emulator, ring: Ring, clock: Clock, sweeping: Callable[[], None], seed: int
) -> None:
    block(ring, "9.9.9.9")  # what the writers find in their slot is of the lap before
    clock.forward(hours=6)
    faults = (
        ("UpdateIPSet", "WAFOptimisticLockException", 0.2),
        ("UpdateIPSet", "ThrottlingException", 0.1),
        ("GetIPSet", "ThrottlingException", 0.1),
        ("ListIPSets", "ThrottlingException", 0.05),
        ("GetIPSet", "WAFInternalErrorException", 0.05),
    )
    for number, (operation, code, often) in enumerate(faults):
        emulator.fault(
            "wafv2", operation, code=code, times=None, probability=often, seed=seed + 10 * number
        )
    allow = Ranges([parse("20.3.0.0/25"), parse("20.5.1.7")])

    def write(writer: int, lap: int) -> None:
        dice = random.Random(seed * 100 + writer)  # noqa: S311  a test's dice
        mine = [parse(text) for text in addresses_of(writer, lap)]
        dice.shuffle(mine)
        slots = waf_module.until_saved(lambda: rings.read(ring.waf, ring.name))
        for start in range(0, EACH, PART):
            part = [n for each in mine[start : start + PART] for n in subtract(each, allow)]
            ring.add(slots, 4, part)

    def write_all(lap: int) -> datetime:
        with ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(write, writer, lap) for writer in range(WRITERS)]:
                done.result(120)
        return ring.turn()[1]

    def wanted(lap: int) -> set[str]:
        networks = [parse(a) for writer in range(WRITERS) for a in addresses_of(writer, lap)]
        return {str(network) for network in networks if not allow.holding(network)}

    first_ends = write_all(0)
    clock.forward(hours=1)
    second_ends = write_all(1)
    sweeping()
    struck = {row["code"] for row in emulator.faults() if row["used"]}
    emulator.clear_faults()
    assert struck == {code for _, code, _ in faults}
    assert len(wanted(0)) == WRITERS * EACH - 65
    assert blocked(ring) == wanted(0) | wanted(1)
    clock.time = first_ends
    sweep(ring)
    assert blocked(ring) == wanted(1)
    clock.time = second_ends
    sweep(ring)
    assert blocked(ring) == set()
    assert {row["Description"] for row in ring.waf.ip_sets()} == {EMPTY}


@pytest.mark.usefixtures("hurried")
def test_two_that_make_the_ring_at_once_make_one(ring: Ring) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [each.result(60) for each in [pool.submit(ring.ensure, []) for _ in range(4)]]
    assert {len(slots) for slots in made} == {12}
    assert len({slot.id for slots in made for slot in slots}) == 12


def test_a_sweep_does_not_empty_what_was_filled_after_it_had_looked(
    ring: Ring, clock: Clock
) -> None:
    block(ring, "9.9.9.9")
    clock.forward(hours=6)
    seen = rings.read(ring.waf, ring.name)
    block(ring, "8.8.8.8")
    assert rings.sweep(ring.waf, ring.name, seen, clock) == []
    assert blocked(ring) == {"8.8.8.8/32"}


def test_an_answer_that_was_lost_after_the_update_does_no_harm(
    emulator: Emulator, ring: Ring
) -> None:
    block(ring, "9.9.9.9")
    emulator.fault("wafv2", "UpdateIPSet", code="WAFInternalErrorException", when="after", times=1)
    block(ring, "8.8.8.8")
    assert blocked(ring) == {"9.9.9.9/32", "8.8.8.8/32"}


def test_a_refusal_that_is_no_conflict_is_raised_at_once(emulator: Emulator, ring: Ring) -> None:
    block(ring, "9.9.9.9")
    emulator.clear_calls()
    emulator.fault("wafv2", "UpdateIPSet", code="AccessDeniedException", times=None)
    with pytest.raises(Exception, match="AccessDeniedException"):
        block(ring, "8.8.8.8")
    assert len(emulator.calls("wafv2", "UpdateIPSet")) == 1


def test_who_never_gets_through_gives_up_in_the_end(
    emulator: Emulator, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waf_module, "PATIENCE", 0.3)
    block(ring, "9.9.9.9")
    emulator.fault("wafv2", "UpdateIPSet", code="WAFOptimisticLockException", times=None)
    with pytest.raises(Exception, match="WAFOptimisticLockException"):
        block(ring, "8.8.8.8")


def test_the_description_is_one_that_aws_takes(ring: Ring) -> None:
    expires = block(ring, "9.9.9.9").expires
    (row,) = (row for row in ring.waf.ip_sets() if row["Description"] != EMPTY)
    assert row["Description"] == describe(expires) == "c7n:expires=2026-03-01T17:00:00Z"
