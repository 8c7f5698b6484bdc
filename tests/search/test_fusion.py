"""Fusion of rankings, by its laws, and places in a ranking that has changed meanwhile."""

import itertools
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.search.models import Subject
from domain.search.ranking import MOST_RANKED, Ranked, beyond, fused, in_order, led_by, place_of

IDS = st.lists(st.integers(min_value=1, max_value=400).map(lambda number: UUID(int=number)), unique=True, max_size=300)


def ranking(ids: list[UUID], passage: UUID | None = None, weight: float = 1.0) -> list[Ranked]:
    """The ids in this order."""
    return [Ranked(Subject.TASK, id, 1.0 - place / 1_000, passage, weight) for place, id in enumerate(ids)]


def ids_of(ranked: list[Ranked]) -> list[UUID]:
    """The ids alone."""
    return [each.id for each in ranked]


@given(IDS)
def test_one_ranking_keeps_its_order(ids: list[UUID]) -> None:
    assert ids_of(fused([ranking(ids)])) == ids[:MOST_RANKED]


@given(IDS, IDS)
def test_it_is_the_best_first_and_each_once_whichever_list_comes_first(one: list[UUID], other: list[UUID]) -> None:
    found = fused([ranking(one), ranking(other)])

    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids_of(found))) == len(found) <= MOST_RANKED
    assert set(ids_of(found)) <= set(one) | set(other)
    assert ids_of(found) == ids_of(fused([ranking(other), ranking(one)]))


@given(IDS, IDS)
def test_what_is_better_in_both_is_better(one: list[UUID], other: list[UUID]) -> None:
    found = ids_of(fused([ranking(one), ranking(other)]))

    both = [id for id in found if id in one and id in other]
    for first, second in itertools.pairwise(both):
        assert one.index(first) < one.index(second) or other.index(first) < other.index(second)


def test_scores_are_sums_over_the_places() -> None:
    a, b, c = (UUID(int=number) for number in (1, 2, 3))

    found = fused([ranking([a, b]), ranking([b, c])])

    assert {each.id: each.score for each in found} == pytest.approx({a: 1 / 61, b: 1 / 62 + 1 / 61, c: 1 / 62})
    assert ids_of(found) == [b, a, c]


def test_what_answers_a_part_of_the_query_counts_for_that_part() -> None:
    a, b, c = (UUID(int=number) for number in (1, 2, 3))

    found = fused([ranking([a, b], weight=0.5), ranking([b, c])])

    assert {each.id: each.score for each in found} == pytest.approx({a: 0.5 / 61, b: 0.5 / 62 + 1 / 61, c: 1 / 62})
    assert ids_of(found) == [b, c, a]


def test_the_passage_is_kept_whichever_list_has_it() -> None:
    a, passage = UUID(int=1), UUID(int=9)

    for lists in ([ranking([a]), ranking([a], passage)], [ranking([a], passage), ranking([a])]):
        assert [each.passage_id for each in fused(lists)] == [passage]


def test_equals_are_in_the_order_of_their_ids() -> None:
    ids = [UUID(int=number) for number in (3, 1, 2)]

    assert ids_of(in_order([Ranked(Subject.TASK, id, 0.5) for id in ids])) == sorted(ids)


@given(IDS, st.data())
def test_pages_are_the_whole_once(ids: list[UUID], data: st.DataObject) -> None:
    whole, size = ranking(ids), data.draw(st.integers(min_value=1, max_value=50))

    seen: list[Ranked] = []
    rest = whole
    while rest:
        seen += rest[:size]
        rest = beyond(whole, place_of(seen[-1]))

    assert seen == whole


@given(IDS)
def test_a_place_whose_thing_is_gone_is_where_it_stood(ids: list[UUID]) -> None:
    whole = in_order(ranking(ids))

    for place, gone in enumerate(whole):
        assert beyond([each for each in whole if each != gone], place_of(gone)) == whole[place + 1 :]


def test_a_place_whose_thing_has_moved_is_where_it_stands() -> None:
    a, b, c = (UUID(int=number) for number in (1, 2, 3))

    assert ids_of(beyond(ranking([b, a, c]), place_of(Ranked(Subject.TASK, a, 1.0)))) == [c]


def test_what_leads_comes_first_in_its_order_and_once() -> None:
    a, b, c = (UUID(int=number) for number in (1, 2, 3))

    found = led_by([c, b], ranking([a, b]))

    assert ids_of(found) == [c, b, a]
    assert ids_of(led_by([c], [])) == [c]
    assert led_by([], ranking([a, b])) == ranking([a, b])
