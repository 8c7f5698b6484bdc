"""How the quality of a search is counted."""

import pytest

from bench.search_quality.__main__ import ndcg

JUDGED = {"a": 3, "b": 2, "c": 1}


@pytest.mark.parametrize(
    ("found", "figure"),
    [
        (["a", "b", "c"], 1.0),
        (["a", "b", "c", "x"], 1.0),
        ([], 0.0),
        (["x", "y"], 0.0),
        # 7 / log2(3), of 7 + 3 / log2(3) + 1 / log2(4).
        (["x", "a"], 0.470),
        # 1 + 3 / log2(3) + 7 / log2(4), of the same.
        (["c", "b", "a"], 0.681),
        # The tenth place is the last that counts.
        ([*"qrstuvwxy", "a"], 0.215),
        ([*"qrstuvwxyz", "a"], 0.0),
    ],
)
def test_what_was_looked_for_counts_by_how_far_up_it_stands(found: list[str], figure: float) -> None:
    assert ndcg(found, JUDGED) == pytest.approx(figure, abs=0.001)
