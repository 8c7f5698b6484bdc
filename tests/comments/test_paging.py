"""The comments of a task, paged to the end in both directions."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.base.clock import frozen
from tests.comments.thread import write
from tests.factories import rows, statements
from tests.tasks.board import Board, id_of
from tests.tasks.walks import CONNECTION, backward, forward, ids_of, reader

COMMENTS = f"""
query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {{
  task(id: $id) {{ comments(first: $first, after: $after, last: $last, before: $before) {{ {CONNECTION} }} }}
}}
"""


async def test_pages_put_together_are_the_whole_thread(board: Board) -> None:
    task, other = await board.tasks("Task", "Other")
    for n in range(11):
        # Three comments of one instant each: the id decides.
        with frozen(datetime(2026, 1, 1 + n // 3, tzinfo=UTC)):
            await write(board.tenant.guest, task, f"Comment {n}")
            await write(board.tenant.guest, other)
    found = await rows("SELECT id FROM comment WHERE task_id = $1 ORDER BY created_at, id", task.id)
    expected = [f"comment_{row['id'].hex}" for row in found]
    read = reader(board.client, COMMENTS, "task", "comments", id=id_of(task))

    for size in (1, 3, 4, 11, 100):
        assert await forward(read, itertools.repeat(size)) == expected
        assert await backward(read, itertools.repeat(size)) == expected
    every = await read(first=100)
    for place, edge in enumerate(every["edges"]):
        assert ids_of(await read(first=2, after=edge["cursor"])) == expected[place + 1 : place + 3]
        assert ids_of(await read(last=2, before=edge["cursor"])) == expected[max(place - 2, 0) : place]


@pytest.mark.parametrize(
    "place",
    [
        {"first": 0},
        {"first": 101},
        {"first": -1},
        {"first": None},
        {"last": 0},
        {"last": 101},
        {"first": 1, "after": ""},
        {"first": 1, "after": "W10"},
        {"last": 1, "before": "not a cursor"},
        {"first": 1, "before": "W10"},
    ],
    ids=str,
)
async def test_a_page_that_cannot_be_is_bad_input(board: Board, place: dict[str, Any]) -> None:
    answer = await board.client.run(COMMENTS, id=id_of(await board.task()), **place)

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_a_cursor_of_tasks_is_not_one_of_comments(board: Board) -> None:
    task = await board.task()
    await write(board.tenant.member, task)
    document = "query ($id: ID!) { project(id: $id) { tasks(first: 1) { pageInfo { endCursor } } } }"
    cursor = (await board.client.ok(document, id=board.id))["project"]["tasks"]["pageInfo"]["endCursor"]

    answer = await board.client.run(COMMENTS, id=id_of(task), first=1, after=cursor)

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_the_total_is_counted_only_when_asked_for(board: Board) -> None:
    task = await board.task()
    await write(board.tenant.member, task)
    document = "query ($id: ID!) { task(id: $id) { comments(first: 1) { nodes { body } %s } } }"

    with statements() as without:
        await board.client.ok(document % "", id=id_of(task))
    with statements() as with_total:
        await board.client.ok(document % "totalCount", id=id_of(task))

    assert len(with_total) == len(without) + 1
    assert [text for text in without if "count(*)" in text] == []
