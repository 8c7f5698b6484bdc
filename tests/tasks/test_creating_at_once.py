"""New tasks beside each other and beside what changes their project, their state or the places in it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from domain.base.actor import Actor
from domain.base.database import tx
from domain.projects import service as projects
from domain.projects import workflow_states as states
from domain.projects.models import StateCategory
from domain.tasks import columns, ranking
from domain.tasks import service as tasks
from tests.events.chain import first_fault
from tests.factories import rows
from tests.tasks.board import ARCHIVE_PROJECT, CREATE, Board, id_of, refusals, unchanged
from tests.tasks.races import uncommitted, waiting


class Undone(Exception):
    """Ends a transaction without a commit."""


async def create(board: Board, title: str = "New", **given: Any) -> list[dict[str, Any]]:
    """The errors of creating the task."""
    payload: dict[str, Any] = (await board.client.ok(CREATE, input={"projectId": board.id, "title": title, **given}))[
        "taskCreate"
    ]
    return payload["errors"] or []


async def numbers(board: Board) -> list[int]:
    """Of the project's tasks by rank."""
    found = await rows("SELECT number FROM task WHERE project_id = $1 ORDER BY state_id, rank", board.project.id)
    return [row["number"] for row in found]


def ways(board: Board) -> dict[str, dict[str, Any]]:
    """What a task in Todo may be created with: its locks are taken at once, or one by one."""
    return {
        "state": {"stateId": board.state("Todo")},
        "no state": {},
        "assignee": {"stateId": board.state("Todo"), "assigneeId": board.tenant.guest.id},
    }


@pytest.mark.parametrize("way", ["state", "no state", "assignee"])
@pytest.mark.parametrize("before", [0, 1])
async def test_of_two_in_one_state_the_second_comes_behind_the_first(board: Board, way: str, before: int) -> None:
    await board.tasks(*["Old"] * before)
    first = board.states["Todo"]

    async with uncommitted(
        board.tenant.admin, lambda actor: tasks.create(actor, board.project.id, title="First", state_id=first)
    ):
        second = await waiting(create(board, "Second", **ways(board)[way]))
        waited = not second.done()

    assert waited
    assert await second == []
    assert await board.order() == ["Old"] * before + ["First", "Second"]
    assert await numbers(board) == list(range(1, before + 3))
    assert await first_fault(board.org_id) is None


async def test_two_in_two_states_of_a_project_get_different_numbers(board: Board) -> None:
    first = board.states["Done"]

    async with uncommitted(
        board.tenant.admin, lambda actor: tasks.create(actor, board.project.id, title="First", state_id=first)
    ):
        second = await waiting(create(board, "Second", stateId=board.state("Todo")))

    assert await second == []
    assert sorted(await numbers(board)) == [1, 2]


@pytest.mark.parametrize("way", ["state", "no state", "assignee"])
async def test_what_is_undone_leaves_no_gap(board: Board, way: str) -> None:
    with suppress(Undone):
        async with board.tenant.admin.acting() as actor, tx():
            await tasks.create(actor, board.project.id, title="Gone", state_id=board.states["Todo"])
            raise Undone

    assert await create(board, **ways(board)[way]) == []
    assert await numbers(board) == [1]


Change = Callable[[Board, Actor], Awaitable[Any]]


async def move_behind(board: Board, actor: Actor) -> None:
    """The only task of Backlog goes behind the last of Todo."""
    (backlog,) = await rows("SELECT id FROM task WHERE state_id = $1", board.states["Backlog"])
    await tasks.move(actor, backlog["id"], state_id=board.states["Todo"])


async def swap_last(board: Board, actor: Actor) -> None:
    """Two tasks come behind the last of Todo, and the first of them leaves again: its rank is free."""
    await move_behind(board, actor)
    (moved,) = await rows("SELECT id FROM task WHERE title = 'Moved' AND project_id = $1", board.project.id)
    await tasks.create(actor, board.project.id, title="Between", state_id=board.states["Todo"])
    await tasks.move(actor, moved["id"], state_id=board.states["Backlog"])


@pytest.mark.parametrize(
    ("change", "order"),
    [(move_behind, ["A", "B", "Moved", "New"]), (swap_last, ["A", "B", "Between", "New"])],
    ids=["moved to the end", "a rank came free"],
)
@pytest.mark.parametrize("way", ["state", "no state", "assignee"])
async def test_a_new_task_comes_last_whatever_was_placed_meanwhile(
    board: Board, way: str, change: Change, order: list[str]
) -> None:
    await board.tasks("A", "B")
    await board.task("Moved", state="Backlog")

    async with uncommitted(board.tenant.admin, lambda actor: change(board, actor)):
        creating = await waiting(create(board, **ways(board)[way]))
        waited = not creating.done()

    assert waited
    assert await creating == []
    assert await board.order() == order


async def test_a_new_task_comes_last_when_the_state_was_spread_meanwhile(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await board.tasks(*"ABC")
    for left in (b, c, b, c):
        async with board.tenant.admin.acting() as actor:
            await tasks.move(actor, left.id, after_id=a.id)
    monkeypatch.setattr(ranking, "LONGEST", 2)

    async with uncommitted(board.tenant.admin, lambda actor: tasks.move(actor, b.id, after_id=a.id)):
        creating = await waiting(create(board, "D", stateId=board.state("Todo")))

    assert await creating == []
    assert await board.order() == ["A", "B", "C", "D"]


@pytest.mark.parametrize("way", ["state", "no state", "assignee"])
async def test_none_is_created_once_the_project_is_archived(board: Board, way: str) -> None:
    async with uncommitted(board.tenant.admin, lambda actor: projects.archive(actor, board.project.id)):
        creating = await waiting(create(board, **ways(board)[way]))
        waited = not creating.done()

    assert waited
    async with unchanged(board.tenant):
        assert refusals(await creating) == [("CONFLICT", ["input", "projectId"])]
    assert await numbers(board) == []


async def test_the_project_is_locked_before_the_state(board: Board) -> None:
    free = "SELECT id FROM workflow_state WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED"
    todo = board.states["Todo"]

    async with uncommitted(board.tenant.admin, lambda actor: projects.update(actor, board.project.id, name="Renamed")):
        creating = await waiting(create(board, stateId=board.state("Todo")))
        found = await rows(free, todo)

    assert found == [{"id": todo}]
    assert await creating == []


async def test_a_project_is_archived_after_the_task_that_is_being_created(board: Board) -> None:
    todo = board.states["Todo"]

    async with uncommitted(
        board.tenant.admin, lambda actor: tasks.create(actor, board.project.id, title="New", state_id=todo)
    ):
        archiving = await waiting(board.client.done(ARCHIVE_PROJECT, id=board.id))
        waited = not archiving.done()
    await archiving

    assert waited
    assert await numbers(board) == [1]


async def delete_todo(board: Board, actor: Actor) -> None:
    await states.delete(actor, board.states["Todo"], move_tasks_to_id=board.states["Done"], move_tasks=columns.move_all)


@pytest.mark.parametrize("way", ["state", "assignee"])
async def test_none_is_created_in_a_state_once_it_is_deleted(board: Board, way: str) -> None:
    async with uncommitted(board.tenant.admin, lambda actor: delete_todo(board, actor)):
        creating = await waiting(create(board, **ways(board)[way]))
        waited = not creating.done()

    assert waited
    assert refusals(await creating) == [("INVALID", ["input", "stateId"])]
    assert await numbers(board) == []


async def test_without_a_state_it_starts_where_tasks_start_once_todo_is_deleted(board: Board) -> None:
    async with uncommitted(board.tenant.admin, lambda actor: delete_todo(board, actor)):
        creating = await waiting(create(board))

    assert await creating == []
    assert await board.order("Backlog") == ["New"]


async def test_a_deleted_state_takes_the_task_along_that_is_being_created(board: Board) -> None:
    todo = board.states["Todo"]

    async def delete() -> None:
        async with board.tenant.admin.acting() as actor:
            await delete_todo(board, actor)

    async with uncommitted(
        board.tenant.admin, lambda actor: tasks.create(actor, board.project.id, title="New", state_id=todo)
    ):
        deleting = await waiting(delete())
        waited = not deleting.done()
    await deleting

    assert waited
    assert await board.order("Done") == ["New"]


@pytest.mark.parametrize("way", ["state", "assignee"])
async def test_a_state_that_came_to_mean_done_completes_the_task(board: Board, way: str) -> None:
    async with uncommitted(
        board.tenant.admin,
        lambda actor: states.update(
            actor, board.states["Todo"], category=StateCategory.DONE, recategorize=columns.recategorize
        ),
    ):
        creating = await waiting(create(board, **ways(board)[way]))

    assert await creating == []
    (row,) = await rows("SELECT completed_at IS NOT NULL AS done FROM task WHERE project_id = $1", board.project.id)
    assert row == {"done": True}


async def test_none_is_created_below_a_parent_that_is_deleted_meanwhile(board: Board) -> None:
    parent = await board.task("Parent")
    given = {"parentId": id_of(parent), "stateId": board.state("Todo")}

    async with uncommitted(board.tenant.admin, lambda actor: tasks.delete(actor, parent.id)):
        creating = await waiting(create(board, **given))
        waited = not creating.done()

    assert waited
    assert refusals(await creating) == [("INVALID", ["input", "parentId"])]
    assert await numbers(board) == []
