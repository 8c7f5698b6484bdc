"""What the referee lets pass between two answers, and what it does not."""

from typing import Any

import pytest

from tests.compiler.referee import Outcome, disagreement


def failed(*names: str) -> dict[str, Any]:
    """The error of a field below the viewer, which is null by it."""
    return {"message": "It failed.", "path": ["viewer", *names], "extensions": {"code": "INTERNAL"}}


def told(*errors: dict[str, Any]) -> Outcome:
    return Outcome({"viewer": None}, list(errors))


@pytest.mark.parametrize(
    ("mine", "theirs", "possible"),
    [
        ([failed("a")], [failed("a")], []),
        ([failed("a")], [failed("b")], [failed("a"), failed("b")]),
        ([failed("a")], [failed("a"), failed("b")], [failed("b")]),
    ],
)
def test_which_of_several_failures_is_told_is_left_open(mine: Any, theirs: Any, possible: Any) -> None:
    assert disagreement(told(*mine), told(*theirs), possible) is None


@pytest.mark.parametrize(
    ("mine", "theirs", "possible", "why"),
    [
        ([failed("a")], [failed("b")], None, "The errors differ."),
        ([failed("a")], [failed("b")], [failed("b")], "The compiler alone finds"),
        ([failed("a"), failed("a")], [failed("a")], [failed("a")], "The compiler alone finds"),
        ([failed("a")], [], [failed("a")], "One alone tells"),
        ([failed()], [failed("a")], [failed(), failed("a")], "itself differ"),
    ],
)
def test_what_graphql_core_never_tells_is_a_disagreement(mine: Any, theirs: Any, possible: Any, why: str) -> None:
    fault = disagreement(told(*mine), told(*theirs), possible)

    assert fault is not None
    assert why in fault
