"""Every order in both directions, paged to the end; cursors that belong to another list, or to none."""

import base64
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.adapters.wiring import Adapters
from domain.base.clock import frozen
from domain.tasks.models import Priority
from domain.tasks.queries import TaskRow
from tests import factories
from tests.client import Answer
from tests.factories import rows
from tests.tasks.board import Board, id_of, make_board
from tests.tasks.walks import CONNECTION, Read, backward, forward, ids_of, reader

PLACE = "$first: Int, $after: String"
BOTH = f"{PLACE}, $last: Int, $before: String"
PROJECT = f"""
query ($id: ID!, {BOTH}, $filter: TaskFilter, $orderBy: [TaskOrder!]) {{
  project(id: $id) {{
    tasks(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {{
      {CONNECTION}
    }}
  }}
}}
"""
ORGANIZATION = f"""
query ($id: ID!, {PLACE}, $filter: TaskFilter, $orderBy: [TaskOrder!]) {{
  tasks(organizationId: $id, first: $first, after: $after, filter: $filter, orderBy: $orderBy) {{ {CONNECTION} }}
}}
"""
VIEWER = f"""
query ({PLACE}, $orderBy: [TaskOrder!]) {{
  viewer {{ assignedTasks(first: $first, after: $after, orderBy: $orderBy) {{ {CONNECTION} }} }}
}}
"""
STATE = f"""
query ($id: ID!, {PLACE}) {{
  node(id: $id) {{ ... on WorkflowState {{ tasks(first: $first, after: $after) {{ {CONNECTION} }} }} }}
}}
"""
SUBTASKS = (
    f"query ($id: ID!, {PLACE}) {{ task(id: $id) {{ subtasks(first: $first, after: $after) {{ {CONNECTION} }} }} }}"
)

SORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "RANK": lambda row: row["rank"].encode(),
    "CREATED_AT": lambda row: row["created_at"],
    "UPDATED_AT": lambda row: row["updated_at"],
    "DUE_DATE": lambda row: row["due_date"],
    "PRIORITY": lambda row: row["priority"],
    "NUMBER": lambda row: row["number"],
}
orders = st.lists(st.sampled_from(sorted(SORTS)), unique=True, max_size=3).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), st.sampled_from(["ASC", "DESC"])) for name in names))
)
sizes = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(itertools.cycle)


@dataclass(frozen=True)
class Crowd:
    """Twenty-three tasks, many of which are alike in what they can be sorted by, below one parent, and the parent."""

    board: Board
    parent: TaskRow

    async def expected(self, *order: tuple[str, str]) -> list[str]:
        """The ids of the project's tasks as they have to come: nulls last in both directions, ids decide."""
        found = await rows(
            "SELECT task.*, position FROM task JOIN workflow_state ON workflow_state.id = state_id "
            "WHERE task.project_id = $1 ORDER BY task.id",
            self.board.project.id,
        )
        if not order:
            found.sort(key=lambda row: (row["position"], row["rank"].encode()))
        for name, direction in reversed(order):
            value = SORTS[name]
            known = [row for row in found if value(row) is not None]
            # Sorting backwards keeps the order of equals only between two turns.
            known = sorted(known[::-1], key=value)[::-1] if direction == "DESC" else sorted(known, key=value)
            found = known + [row for row in found if value(row) is None]
        return [f"task_{row['id'].hex}" for row in found]

    def reader(self, document: str, *path: str, **variables: Any) -> Read:
        """Reads pages as the member."""
        return reader(self.board.client, document, *path, **variables)


@pytest.fixture(scope="module")
async def crowd(adapters: Adapters) -> Crowd:
    """Read by all tests of this file, changed by none."""
    board = await make_board(await factories.make_tenant("acme"))
    states = itertools.cycle(board.states)
    parent = await board.task("Parent")
    for n in range(23):
        with frozen(datetime(2026, 1, 1 + n // 5, microsecond=n % 3, tzinfo=UTC)):
            await board.task(
                f"Task {n}",
                state=next(states),
                priority=Priority(n % 3),
                due_date=None if n % 4 == 0 else date(2026, 2, 1 + n % 5),
                assignee_id=board.tenant.member.user_id,
                parent_id=parent.id,
            )
    return Crowd(board, parent)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=orders, steps=sizes)
async def test_pages_put_together_are_the_whole_list(
    crowd: Crowd, order: tuple[tuple[str, str], ...], steps: "itertools.cycle[int]"
) -> None:
    by = [{"field": name, "direction": direction} for name, direction in order]
    read = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, orderBy=by)
    expected = await crowd.expected(*order)

    assert await forward(read, steps) == expected
    assert await backward(read, steps) == expected


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("field", sorted(SORTS))
async def test_every_order_in_both_directions(crowd: Crowd, field: str, direction: str) -> None:
    by = [{"field": field, "direction": direction}]
    in_project = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, orderBy=by)
    in_organization = crowd.reader(ORGANIZATION, "tasks", id=crowd.board.tenant.id, orderBy=by)
    assigned = crowd.reader(VIEWER, "viewer", "assignedTasks", orderBy=by)
    expected = await crowd.expected((field, direction))

    assert await forward(in_project, itertools.repeat(4)) == expected
    assert await backward(in_project, itertools.repeat(4)) == expected
    assert await forward(in_organization, itertools.repeat(5)) == expected
    assert await forward(assigned, itertools.repeat(7)) == [id for id in expected if id != id_of(crowd.parent)]


async def test_lists_without_an_order_come_by_state_and_rank(crowd: Crowd) -> None:
    expected = await crowd.expected()
    in_project = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id)
    in_organization = crowd.reader(ORGANIZATION, "tasks", id=crowd.board.tenant.id, orderBy=[])
    below = crowd.reader(SUBTASKS, "task", "subtasks", id=id_of(crowd.parent))

    assert await backward(in_project, itertools.repeat(3)) == expected
    assert await forward(in_organization, itertools.repeat(3)) == expected
    assert await forward(below, itertools.repeat(3)) == [id for id in expected if id != id_of(crowd.parent)]


async def test_a_column_of_the_board_comes_by_rank(crowd: Crowd) -> None:
    found = await rows("SELECT id FROM task WHERE state_id = $1 ORDER BY rank", crowd.board.states["Todo"])
    in_state = crowd.reader(STATE, "node", "tasks", id=crowd.board.state("Todo"))

    assert await forward(in_state, itertools.repeat(2)) == [f"task_{row['id'].hex}" for row in found]


async def test_a_page_ends_before_or_begins_after_any_row(crowd: Crowd) -> None:
    read = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, orderBy=[{"field": "DUE_DATE"}])
    every = await read(first=100)
    ids = ids_of(every)

    for place, edge in enumerate(every["edges"]):
        assert ids_of(await read(first=3, after=edge["cursor"])) == ids[place + 1 : place + 4]
        assert ids_of(await read(first=20, last=3, before=edge["cursor"])) == ids[max(place - 3, 0) : place]


async def test_a_filter_goes_through_all_pages(crowd: Crowd) -> None:
    keep = {"priority": {"eq": "LOW"}}
    read = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, filter=keep, orderBy=[{"field": "DUE_DATE"}])
    low = await rows("SELECT id FROM task WHERE project_id = $1 AND priority = 1", crowd.board.project.id)
    expected = [
        id for id in await crowd.expected(("DUE_DATE", "ASC")) if id in {f"task_{row['id'].hex}" for row in low}
    ]

    assert len(expected) == 8
    assert await forward(read, itertools.repeat(3)) == await backward(read, itertools.repeat(3)) == expected


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"first": -1}, "first"),
        ({"first": None}, "first"),
        ({"first": 5, "last": 0}, "last"),
        ({"first": None, "last": 101}, "last"),
        ({"first": None, "last": -1}, "last"),
        ({"first": None, "last": None}, "first"),
        ({"first": 2**31 - 1}, "first"),
    ],
    ids=str,
)
async def test_a_page_has_one_to_a_hundred_rows(crowd: Crowd, place: dict[str, Any], path: str) -> None:
    answer = await crowd.board.client.run(PROJECT, id=crowd.board.id, **place)

    assert answer.codes == ["BAD_USER_INPUT"]
    assert answer.errors[0]["extensions"]["path"] == [path]


async def test_after_goes_with_first_and_before_with_last(crowd: Crowd) -> None:
    cursor = (await crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id)(first=1))["pageInfo"]["endCursor"]

    mixed = await crowd.board.client.run(PROJECT, id=crowd.board.id, first=5, after=cursor, last=5)
    lonely = await crowd.board.client.run(PROJECT, id=crowd.board.id, first=5, before=cursor)

    assert mixed.codes == lonely.codes == ["BAD_USER_INPUT"]


async def test_a_field_is_sorted_by_once(crowd: Crowd) -> None:
    by = [{"field": "RANK"}, {"field": "RANK", "direction": "DESC"}]

    answer = await crowd.board.client.run(PROJECT, id=crowd.board.id, first=5, orderBy=by)

    assert answer.codes == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    "other",
    [
        {"orderBy": [{"field": "DUE_DATE", "direction": "DESC"}]},
        {"orderBy": [{"field": "CREATED_AT"}]},
        {"orderBy": [{"field": "DUE_DATE"}, {"field": "NUMBER"}]},
        {"orderBy": []},
        {"orderBy": [{"field": "DUE_DATE"}], "filter": {"estimate": {"isNull": True}}},
    ],
    ids=str,
)
async def test_a_cursor_belongs_to_its_order_and_filter(crowd: Crowd, other: dict[str, Any]) -> None:
    by = {"orderBy": [{"field": "DUE_DATE"}]}
    page = await crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, **by)(first=3)
    cursor = page["pageInfo"]["endCursor"]

    after = await crowd.board.client.run(PROJECT, id=crowd.board.id, first=3, after=cursor, **other)
    before = await crowd.board.client.run(PROJECT, id=crowd.board.id, last=3, before=cursor, **other)

    assert (after.codes, after.errors[0]["extensions"]["path"]) == (["BAD_USER_INPUT"], ["after"])
    assert (before.codes, before.errors[0]["extensions"]["path"]) == (["BAD_USER_INPUT"], ["before"])


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


async def with_cursor(crowd: Crowd, cursor: str, field: str) -> Answer:
    return await crowd.board.client.run(PROJECT, id=crowd.board.id, first=3, after=cursor, orderBy=[{"field": field}])


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        " ",
        "!",
        "A",
        "AAAA",
        "é",
        "bnVsbA",
        "W10",
        "e30",
        "MQ",
        "=" * 5,
        "W" * 10_000,
        encoded([[]] * 3),
        "\n",
        "a\tb",
    ],
    ids=lambda cursor: repr(cursor)[:20],
)
@pytest.mark.parametrize("field", ["DUE_DATE", "RANK"])
async def test_what_is_no_cursor_is_bad_input(crowd: Crowd, cursor: str, field: str) -> None:
    assert (await with_cursor(crowd, cursor, field)).codes == ["BAD_USER_INPUT"]


FORGED: list[object] = [
    None, True, 1.5, "", "x", -1, 2**63, -(2**63), 2**64 - 1, "\x00", "0001-01-01", "0000-01-01", "9999-12-31",
    "2026-W01-1", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00",
    "2026-01-01T00:00:00+00:00", "0" * 32, "{" + "0" * 32 + "}", [], {}, [[]], "💥", "a" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("field", sorted(SORTS))
async def test_a_forged_cursor_is_bad_input_or_a_place_but_never_a_fault(crowd: Crowd, field: str) -> None:
    read = crowd.reader(PROJECT, "project", "tasks", id=crowd.board.id, orderBy=[{"field": field}])
    cursor = (await read(first=1))["pageInfo"]["endCursor"]
    scope, value, id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))

    for forged in FORGED:
        for values in ([scope, forged, id], [scope, value, forged], [forged, value, id], [scope, value, id, forged]):
            answer = await with_cursor(crowd, encoded(values), field)
            assert answer.codes in ([], ["BAD_USER_INPUT"]), (values, answer.errors)
