"""Moves, creates and changes that run at once: the order stays total, nobody waits for ever."""

import asyncio
import itertools
from collections.abc import Awaitable
from typing import Any

import pytest

from domain.projects import service as projects
from domain.tasks import ranking
from domain.tasks import service as tasks
from domain.tasks.queries import TaskRow
from tests.tasks.board import CREATE, MOVE, UPDATE, Board, id_of
from tests.tasks.races import uncommitted, waiting


async def move(board: Board, task: TaskRow, **given: Any) -> None:
    await board.client.done(MOVE, id=id_of(task), input=given)


@pytest.mark.parametrize("key", ["beforeId", "afterId"])
async def test_forty_moves_to_one_spot_keep_a_total_order(board: Board, key: str) -> None:
    left, right = await board.tasks("Left", "Right")
    crowd = await board.tasks(*(f"Task {n}" for n in range(40)), state="Backlog")
    spot = {"stateId": board.state("Todo"), key: id_of(right if key == "beforeId" else left)}

    await asyncio.gather(*(move(board, task, **spot) for task in crowd))

    order = await board.order()
    assert (order[0], order[-1]) == ("Left", "Right")
    assert sorted(order[1:-1]) == sorted(task.title for task in crowd)
    assert await board.order("Backlog") == []
    assert [kind for kind, _ in await board.facts()].count("TASK_TRANSITIONED") == 40


async def test_moves_inside_and_across_states_with_creates_and_changes_keep_a_total_order(board: Board) -> None:
    made = await board.tasks(*(f"Task {n}" for n in range(12)))
    states = itertools.cycle([board.state("Todo"), board.state("Done"), board.state("In progress")])

    async def create(n: int) -> None:
        given = {"projectId": board.id, "title": f"New {n}", "parentId": id_of(made[n % 12])}
        await board.client.done(CREATE, input=given)

    async def change(task: TaskRow, state: str) -> None:
        await board.client.done(UPDATE, id=id_of(task), input={"stateId": state, "estimate": 1})

    work: list[Awaitable[Any]] = [create(n) for n in range(12)]
    for task, neighbor in zip(made, made[1:] + made[:1], strict=True):
        work += [move(board, task, stateId=next(states)), change(task, next(states))]
        # The neighbor may be elsewhere by then: a refusal is right as well.
        work.append(board.client.ok(MOVE, id=id_of(task), input={"afterId": id_of(neighbor)}))
    await asyncio.gather(*work)

    found = [await board.order(state) for state in board.states]
    assert sorted(itertools.chain(*found)) == sorted([task.title for task in made] + [f"New {n}" for n in range(12)])


async def test_moves_while_ranks_are_spread_do_not_wait_for_each_other(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "LONGEST", 3)
    made = await board.tasks(*(f"Task {n}" for n in range(10)))

    await asyncio.gather(
        *(
            move(board, task, beforeId=id_of(neighbor))
            for task, neighbor in itertools.islice(itertools.permutations(made, 2), 60)
        )
    )

    assert sorted(await board.order()) == sorted(task.title for task in made)


async def test_a_spread_leaves_a_state_alone_whose_tasks_are_being_changed(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = await board.tasks(*"ABC")
    monkeypatch.setattr(ranking, "LONGEST", 2)

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, a.id, title="A!")):
        await move(board, c, beforeId=id_of(b))

    assert await board.order() == ["A!", "C", "B"]
    assert (await board.row(a))["rank"] == a.rank


async def test_no_task_moves_once_its_project_is_archived(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    async with uncommitted(board.tenant.admin, lambda actor: projects.archive(actor, board.project.id)):
        moving = await waiting(board.client.refused(MOVE, id=id_of(a), input={"afterId": id_of(b)}))
        waited = not moving.done()

    assert waited
    assert [error["code"] for error in await moving] == ["CONFLICT"]
    assert await board.order() == ["A", "B"]
