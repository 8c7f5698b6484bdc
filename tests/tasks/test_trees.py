"""Parents and subtasks: of one project, without cycles, at most 5 levels."""

import asyncio

import pytest

from domain.base.clock import new_id
from domain.tasks import service as tasks
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests.factories import Tenant, rows
from tests.tasks.board import CREATE, UPDATE, Board, id_of, make_board, refusals, unchanged
from tests.tasks.races import uncommitted, waiting

LEVELS = """
query ($id: ID!) {
  task(id: $id) {
    parent { title }
    subtasks { totalCount nodes { title subtasks { totalCount nodes { title } } } }
  }
}
"""


async def line(board: Board, length: int) -> list[TaskRow]:
    """Tasks, each below the one before."""
    made: list[TaskRow] = []
    for level in range(1, length + 1):
        made.append(await board.task(f"Level {level}", parent_id=made[-1].id if made else None))
    return made


async def test_subtasks_are_listed_by_state_and_rank(board: Board) -> None:
    top = await board.task("Top")
    for title, state in (("Third", "Todo"), ("Fourth", "Done"), ("Second", "Backlog")):
        child = await board.task(title, state=state, parent_id=top.id)
    await board.task("Grandchild", parent_id=child.id)

    found = await board.client.ok(LEVELS, id=id_of(top))

    none = {"totalCount": 0, "nodes": []}
    assert found["task"] == {
        "parent": None,
        "subtasks": {
            "totalCount": 3,
            "nodes": [
                {"title": "Second", "subtasks": {"totalCount": 1, "nodes": [{"title": "Grandchild"}]}},
                {"title": "Third", "subtasks": none},
                {"title": "Fourth", "subtasks": none},
            ],
        },
    }


async def test_five_levels_are_made_and_the_sixth_is_refused(board: Board) -> None:
    made = await line(board, 5)

    async with unchanged(board.tenant):
        errors = await board.client.refused(
            CREATE, input={"projectId": board.id, "title": "Level 6", "parentId": id_of(made[-1])}
        )

    assert refusals(errors) == [("INVALID", ["input", "parentId"])]


@pytest.mark.parametrize(("above", "below", "allowed"), [(2, 3, True), (3, 2, True), (3, 3, False), (5, 1, False)])
async def test_a_tree_fits_below_a_parent_when_both_together_have_five_levels(
    board: Board, above: int, below: int, allowed: bool
) -> None:
    upper, lower = await line(board, above), await line(board, below)

    data = await board.client.ok(UPDATE, id=id_of(lower[0]), input={"parentId": id_of(upper[-1])})

    found = refusals(data["taskUpdate"]["errors"])
    assert found == ([] if allowed else [("INVALID", ["input", "parentId"])])
    assert (await board.row(lower[0]))["parent_id"] == (upper[-1].id if allowed else None)


@pytest.mark.parametrize("below", [0, 1, 3])
async def test_a_task_cannot_be_below_itself(board: Board, below: int) -> None:
    made = await line(board, 4)

    async with unchanged(board.tenant):
        errors = await board.client.refused(UPDATE, id=id_of(made[0]), input={"parentId": id_of(made[below])})

    assert refusals(errors) == [("INVALID", ["input", "parentId"])]


async def test_a_parent_is_set_changed_and_cleared(board: Board) -> None:
    first, second, task = await board.tasks("First", "Second", "Task")

    seen = [
        (await board.client.done(UPDATE, id=id_of(task), input={"parentId": parent}))["task"]["parent"]
        for parent in (id_of(first), id_of(second), None)
    ]

    assert seen == [{"id": id_of(first)}, {"id": id_of(second)}, None]
    assert [fact["parent_id"] for _, fact in await board.facts("TASK_UPDATED")] == [
        {"was": None, "now": str(first.id)},
        {"was": str(first.id), "now": str(second.id)},
        {"was": str(second.id), "now": None},
    ]


async def test_a_new_parent_must_be_of_the_project(board: Board, globex: Tenant) -> None:
    other, foreign = await make_board(board.tenant, name="Other"), await make_board(globex)
    task = await board.task()
    parents = [global_id("task", new_id()), id_of(await other.task()), id_of(await foreign.task()), board.id]
    answers = []

    async with unchanged(board.tenant, globex):
        for parent_id in parents:
            answers.append(await board.client.refused(UPDATE, id=id_of(task), input={"parentId": parent_id}))

    assert refusals(answers[0]) == [("INVALID", ["input", "parentId"])]
    assert answers == [answers[0]] * 4


async def test_two_changes_at_once_make_no_cycle(board: Board) -> None:
    a, b = await board.tasks("A", "B")

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, a.id, parent_id=b.id)):
        other = await waiting(board.client.refused(UPDATE, id=id_of(b), input={"parentId": id_of(a)}))
        waited = not other.done()

    assert waited
    assert refusals(await other) == [("INVALID", ["input", "parentId"])]
    assert (await board.row(b))["parent_id"] is None


async def test_many_changes_at_once_make_no_cycle_and_no_sixth_level(board: Board) -> None:
    made = await board.tasks(*"ABCDEFGH")
    pairs = [(child, parent) for child in made for parent in made if child is not parent]

    await asyncio.gather(
        *(board.client.ok(UPDATE, id=id_of(child), input={"parentId": id_of(parent)}) for child, parent in pairs)
    )

    found = await rows(
        "WITH RECURSIVE tree AS (SELECT id, 1 AS level FROM task WHERE project_id = $1 AND parent_id IS NULL "
        "UNION ALL SELECT child.id, level + 1 FROM task AS child JOIN tree ON child.parent_id = tree.id) "
        "SELECT count(*) AS reached, max(level) AS deepest FROM tree",
        board.project.id,
    )
    assert found[0]["reached"] == 8
    assert found[0]["deepest"] <= 5


async def test_a_subtask_made_while_its_parent_goes_deeper_does_not_pass_the_cap(board: Board) -> None:
    upper, lower = await line(board, 3), await line(board, 2)

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, lower[0].id, parent_id=upper[-1].id)):
        given = {"projectId": board.id, "title": "Level 6", "parentId": id_of(lower[-1])}
        creating = await waiting(board.client.refused(CREATE, input=given))

    assert refusals(await creating) == [("INVALID", ["input", "parentId"])]


async def test_no_subtask_is_made_below_a_task_that_is_being_deleted(board: Board) -> None:
    parent = await board.task()

    async with uncommitted(board.tenant.admin, lambda actor: tasks.delete(actor, parent.id)):
        given = {"projectId": board.id, "title": "Orphan", "parentId": id_of(parent)}
        creating = await waiting(board.client.refused(CREATE, input=given))

    assert refusals(await creating) == [("INVALID", ["input", "parentId"])]
    assert await board.order() == []
