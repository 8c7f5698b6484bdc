"""The task filter as a predicate: limits and shapes. What it keeps is tested on rows in test_lists.py."""

from typing import Any
from uuid import UUID

import pytest

from domain.base.errors import BadInput
from domain.tasks import filters

ID = UUID(int=7)


def _nested(depth: int) -> dict[str, Any]:
    filter: dict[str, Any] = {"number": {"eq": 1}}
    for _ in range(depth - 1):
        filter = {"not": filter}
    return filter


def test_values_are_bound_and_never_in_the_text() -> None:
    text, values = filters.predicate({"title": {"contains": "100%_'; DROP"}, "assignee": {"eq": ID}}).render()

    assert "DROP" not in text
    assert values == ["%100\\%\\_'; DROP%", ID]


def test_archived_tasks_are_left_out_unless_the_filter_speaks_of_them() -> None:
    assert "archived_at IS NULL" in filters.predicate({}).render()[0]
    assert "archived_at IS NOT NULL" in filters.predicate({"or": [{"archived": True}]}).render()[0]
    assert filters.predicate({"archived": True}).render()[0].count("archived_at") == 1


def test_five_levels_are_allowed_and_six_are_not() -> None:
    filters.predicate(_nested(5))

    with pytest.raises(BadInput, match="at most 5 deep"):
        filters.predicate(_nested(6))


def test_a_hundred_conditions_are_allowed_and_one_more_is_not() -> None:
    filters.predicate({"or": [{"number": {"eq": n}} for n in range(100)]})

    with pytest.raises(BadInput, match="at most 100 conditions"):
        filters.predicate({"or": [{"number": {"eq": n}} for n in range(101)]})


def test_a_list_of_more_than_a_hundred_is_refused() -> None:
    with pytest.raises(BadInput, match="at most 100 values"):
        filters.predicate({"id": {"in": [ID] * 101}})


def test_an_empty_or_holds_for_nothing_and_an_empty_and_for_everything() -> None:
    assert "FALSE" in filters.predicate({"or": []}).render()[0]
    assert "TRUE" in filters.predicate({"and": []}).render()[0]
