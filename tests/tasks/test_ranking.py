"""Ranks, by their law: between any two there is room, and text order is their order."""

from hypothesis import given
from hypothesis import strategies as st

from domain.tasks import ranking


@given(st.lists(st.integers(min_value=0, max_value=1_000_000), max_size=60))
def test_ranks_stay_in_order_wherever_tasks_are_put(places: list[int]) -> None:
    ranks: list[str] = []
    for place in places:
        at = place % (len(ranks) + 1)
        before = ranks[at - 1] if at > 0 else None
        after = ranks[at] if at < len(ranks) else None
        ranks.insert(at, ranking.between(before, after))

    assert [rank.encode() for rank in ranks] == sorted({rank.encode() for rank in ranks})


@given(st.integers(min_value=1, max_value=200))
def test_following_gives_as_many_ranks_as_asked_for_all_after_the_last(count: int) -> None:
    (last,) = ranking.following(None, 1)

    ranks = ranking.following(last, count)

    assert len(ranks) == count
    assert [last, *ranks] == sorted({last, *ranks})


def test_no_rank_begins_with_the_letter_that_spreading_uses() -> None:
    assert not any(rank.startswith("~") for rank in ranking.following(None, 500))
