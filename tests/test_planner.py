"""The planner: every wanted item is found, for no more calls than promised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from c7n_secops.aws.planner import Axis, batches, search

PAGE = 5
LIMIT = 3


class Catalogue:
    """A paged search over (owner, item) rows that counts its calls."""

    def __init__(self, owners: list[str]):
        self.rows = list(enumerate(owners))
        self.calls = 0

    def ask(self, narrowed: dict[str, list[str]]):
        wanted = narrowed.get("owner")
        rows = [row for row in self.rows if wanted is None or row[1] in wanted]
        for page in list(batches(rows, PAGE)) or [[]]:
            self.calls += 1
            yield page


def owner_axis(ids: list[str]) -> Axis:
    return Axis("owner", ids, LIMIT, lambda row: (row[1],))


def pages(rows: int) -> int:
    return max(1, -(-rows // PAGE))


owners = st.sampled_from([f"o{number}" for number in range(12)])


@given(st.lists(owners, max_size=120), st.sets(owners, min_size=1))
def test_a_search_finds_all_that_is_wanted_within_three_times_the_least_calls(rows, wanted):
    catalogue = Catalogue(rows)
    ids = sorted(wanted)
    found = {
        row for page in search(catalogue.ask, [owner_axis(ids)]) for row in page if row[1] in wanted
    }
    assert found == {row for row in enumerate(rows) if row[1] in wanted}
    narrowed = sum(
        pages(sum(1 for owner in rows if owner in chunk)) for chunk in batches(ids, LIMIT)
    )
    least = min(pages(len(rows)), narrowed)
    assert catalogue.calls <= 3 * least + 1


def test_one_narrowed_call_is_made_at_once():
    catalogue = Catalogue(["other"] * 500 + ["mine"])
    list(search(catalogue.ask, [owner_axis(["mine"])]))
    assert catalogue.calls == 1


def test_a_whole_search_that_is_cheaper_is_never_narrowed():
    catalogue = Catalogue(["a"] * 20)
    list(search(catalogue.ask, [owner_axis([f"o{n}" for n in range(30)])]))
    assert catalogue.calls == 4


def test_a_search_whose_items_are_all_wanted_is_never_narrowed():
    ids = [f"o{number}" for number in range(12)]
    catalogue = Catalogue(ids * 10)
    list(search(catalogue.ask, [owner_axis(ids)]))
    assert catalogue.calls == 24


def test_a_search_is_narrowed_once_most_of_it_is_not_wanted():
    ids = [f"o{number}" for number in range(12)]
    catalogue = Catalogue(["other"] * 500 + ids)
    list(search(catalogue.ask, [owner_axis(ids)]))
    assert catalogue.calls == 5 + 4


def test_the_cheaper_of_two_axes_is_taken():
    asked = []

    def ask(narrowed):
        asked.append(narrowed)
        for _ in range(50):
            yield [0]

    axes = [Axis("wide", list("abcdefghij"), LIMIT, str), Axis("narrow", ["a"], LIMIT, str)]
    list(search(ask, axes))
    assert asked == [{"narrow": ["a"]}]


@given(st.lists(st.integers()), st.integers(min_value=1, max_value=20))
def test_batches_lose_nothing_and_are_as_few_as_can_be(things, limit):
    cut = list(batches(things, limit))
    assert [thing for batch in cut for thing in batch] == things
    assert len(cut) == -(-len(things) // limit)
