"""A task goes to another project: its subtree, its identifiers, its states, and others that want it at once."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from domain.base.clock import new_id
from domain.tasks import service as tasks
from domain.tasks import transfer as transfers
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests.factories import Person, Tenant, rows
from tests.tasks.board import TRANSFER, UPDATE, Board, id_of, make_board, refusals, unchanged
from tests.tasks.races import uncommitted, waiting

BY_NAME = (
    "query ($slug: String!, $name: String!) { task(organizationSlug: $slug, identifier: $name) { id identifier } }"
)


@pytest.fixture
async def target(board: Board) -> Board:
    """A second project of the same organization."""
    return await make_board(board.tenant, name="Mobile app", key="APP")


async def found(board: Board, name: str) -> str | None:
    """The id of the task that the identifier finds."""
    data = await board.client.ok(BY_NAME, slug=board.tenant.slug, name=name)
    return data["task"] and str(data["task"]["id"])


async def test_a_task_gets_a_new_identifier_and_the_old_one_finds_it_still(board: Board, target: Board) -> None:
    await target.tasks("App 1", "App 2")
    task = await board.task("Moving", assignee_id=board.tenant.guest.user_id)

    payload = await board.client.done(TRANSFER, id=id_of(task), projectId=target.id)

    moved = payload["task"]
    assert (moved["identifier"], moved["number"], moved["previousIdentifiers"]) == ("APP-3", 3, ["WEB-1"])
    assert (moved["project"], moved["state"], moved["version"]) == ({"id": target.id}, {"name": "Todo"}, 2)
    assert moved["assignee"] == {"id": board.tenant.guest.id, "name": "Guest Acme"}
    assert [await found(board, name) for name in ("APP-3", "app-3", "WEB-1", "web-1")] == [id_of(task)] * 4
    assert await target.order() == ["App 1", "App 2", "Moving"]
    assert await board.order() == []
    assert (await board.facts("TASK_TRANSFERRED")) == [
        (
            "TASK_TRANSFERRED",
            {
                "project": {"was": str(board.project.id), "now": str(target.project.id)},
                "identifier": {"was": "WEB-1", "now": "APP-3"},
                "state_id": {"was": str(board.states["Todo"]), "now": str(target.states["Todo"])},
            },
        )
    ]


async def test_unknown_names_and_strangers_find_nothing(board: Board, globex: Tenant) -> None:
    await board.task()

    assert [await found(board, name) for name in ("WEB-2", "WEB", "", "WEB-01", "\uff37EB-1", "WEB-1 ")] == [None] * 6
    data = await globex.member.client.ok(BY_NAME, slug=board.tenant.slug, name="WEB-1")
    assert data == {"task": None}


async def test_subtasks_go_along_and_the_old_parent_does_not(board: Board, target: Board) -> None:
    parent = await board.task("Parent")
    top = await board.task("Top", parent_id=parent.id, state="In progress")
    child = await board.task("Child", parent_id=top.id, state="Done")
    grandchild = await board.task("Grandchild", parent_id=child.id)
    archived = await board.task("Archived", parent_id=top.id)
    async with board.tenant.member.acting() as actor:
        await tasks.archive(actor, archived.id)

    payload = await board.client.done(TRANSFER, id=id_of(top), projectId=target.id)

    family = [await board.row(task) for task in (top, child, archived, grandchild)]
    assert payload["task"]["parent"] is None
    assert [row["parent_id"] for row in family] == [None, top.id, top.id, child.id]
    assert {row["project_id"] for row in family} == {target.project.id}
    assert [row["identifier"] for row in family] == ["APP-1", "APP-2", "APP-3", "APP-4"]
    assert [row["number"] for row in family] == [1, 2, 3, 4]
    assert [row["state_id"] for row in family] == [
        target.states[name] for name in ("In progress", "Done", "Todo", "Todo")
    ]
    assert family[1]["completed_at"] == child.completed_at
    assert family[2]["archived_at"] is not None
    assert (await board.row(parent))["version"] == 1
    facts = await board.facts("TASK_TRANSFERRED")
    assert [fact["identifier"] for _, fact in facts] == [
        {"was": f"WEB-{was}", "now": f"APP-{now}"} for was, now in ((2, 1), (3, 2), (5, 3), (4, 4))
    ]
    assert [fact.get("parent_id") for _, fact in facts] == [{"was": str(parent.id), "now": None}, None, None, None]
    assert await found(board, "WEB-4") == id_of(grandchild)


async def test_back_again_gives_a_third_identifier_and_all_find_it(board: Board, target: Board) -> None:
    task, other = await board.tasks("Moving", "Staying")

    await board.client.done(TRANSFER, id=id_of(task), projectId=target.id)
    payload = await board.client.done(TRANSFER, id=id_of(task), projectId=board.id)

    assert payload["task"]["identifier"] == "WEB-3"
    assert payload["task"]["previousIdentifiers"] == ["WEB-1", "APP-1"]
    assert [await found(board, name) for name in ("WEB-1", "APP-1", "WEB-3")] == [id_of(task)] * 3
    assert await found(board, "WEB-2") == id_of(other)
    assert (await target.task()).identifier == "APP-2"
    assert (await board.task()).identifier == "WEB-4"


async def test_who_bears_an_identifier_goes_before_who_bore_it_and_the_last_before_the_first(
    board: Board, target: Board
) -> None:
    task = await board.task()
    await board.client.done(TRANSFER, id=id_of(task), projectId=target.id)
    delete = "mutation ($id: ID!) { projectDelete(id: $id) { deletedId errors { code } } }"
    await board.tenant.admin.client.done(delete, id=board.id)
    assert await found(board, "WEB-1") == id_of(task)

    heir = await (await make_board(board.tenant, name="Website")).task()

    assert heir.identifier == "WEB-1"
    assert await found(board, "WEB-1") == id_of(heir)
    await board.client.done(TRANSFER, id=id_of(heir), projectId=target.id)
    assert await found(board, "WEB-1") == id_of(heir)


async def test_states_are_mapped_by_what_they_mean(board: Board, target: Board) -> None:
    rename = """
    mutation ($id: ID!, $input: WorkflowStateUpdateInput!) {
      workflowStateUpdate(id: $id, input: $input) { errors { code } }
    }
    """
    await board.client.done(rename, id=target.state("Done"), input={"name": "Shipped"})
    # Nothing here means Canceled any more: the first state is what is left.
    await board.client.done(rename, id=target.state("Canceled"), input={"category": "TODO"})
    made = {name: await board.task(state=name) for name in board.states}

    after = {
        name: (await board.client.done(TRANSFER, id=id_of(task), projectId=target.id))["task"]
        for name, task in made.items()
    }

    assert {name: task["state"]["name"] for name, task in after.items()} == {
        "Backlog": "Backlog",
        "Todo": "Todo",
        "In progress": "In progress",
        "Done": "Shipped",
        "Canceled": "Backlog",
    }
    assert (await board.row(made["Done"]))["completed_at"] == made["Done"].completed_at


async def test_a_given_state_is_for_the_task_alone_and_no_transition_is_needed(board: Board, target: Board) -> None:
    top = await board.task("Top")
    child = await board.task("Child", parent_id=top.id)

    payload = await board.client.done(TRANSFER, id=id_of(top), projectId=target.id, stateId=target.state("Done"))

    assert payload["task"]["state"] == {"name": "Done"}
    assert payload["task"]["completedAt"] is not None
    assert (await board.row(child))["state_id"] == target.states["Todo"]


async def test_a_state_that_is_not_of_the_target_is_refused(board: Board, target: Board) -> None:
    task = await board.task()

    async with unchanged(board.tenant):
        errors = await board.client.refused(TRANSFER, id=id_of(task), projectId=target.id, stateId=board.state("Done"))

    assert refusals(errors) == [("INVALID", ["stateId"])]


async def test_its_own_project_is_refused(board: Board) -> None:
    task = await board.task()

    async with unchanged(board.tenant):
        errors = await board.client.refused(TRANSFER, id=id_of(task), projectId=board.id)

    assert refusals(errors) == [("INVALID", ["projectId"])]


async def test_an_archived_project_neither_gives_nor_takes(board: Board, target: Board) -> None:
    task, there = await board.task(), await target.task()
    await target.archive()

    async with unchanged(board.tenant):
        to_archived = await board.client.refused(TRANSFER, id=id_of(task), projectId=target.id)
        from_archived = await board.client.refused(TRANSFER, id=id_of(there), projectId=board.id)

    assert refusals(to_archived) == [("CONFLICT", ["projectId"])]
    assert refusals(from_archived) == [("CONFLICT", ["id"])]


async def test_an_unknown_and_a_strangers_project_or_task_get_the_same_answer(board: Board, globex: Tenant) -> None:
    foreign, task = await make_board(globex), await board.task()
    stranger = await foreign.task()
    answers: dict[str, list[Any]] = {"project": [], "task": []}

    async with unchanged(board.tenant, globex):
        for project_id in (global_id("project", new_id()), foreign.id, id_of(task)):
            answers["project"].append(await board.client.run(TRANSFER, id=id_of(task), projectId=project_id))
        for task_id in (global_id("task", new_id()), id_of(stranger), board.id):
            answers["task"].append(await board.client.run(TRANSFER, id=task_id, projectId=board.id))

    for same in answers.values():
        assert same[0].codes == ["NOT_FOUND"]
        assert [(answer.data, answer.errors) for answer in same] == [({"taskTransfer": None}, same[0].errors)] * 3


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_cannot_transfer(board: Board, target: Board, role: str) -> None:
    task, person = await board.task(), getattr(board.tenant, role)
    assert isinstance(person, Person)

    async with unchanged(board.tenant):
        answer = await person.client.run(TRANSFER, id=id_of(task), projectId=target.id)

    assert answer.codes == ["FORBIDDEN"]


async def transfer(board: Board, task: TaskRow, to: Board) -> str:
    """DONE, or the code of the refusal."""
    data = await board.client.ok(TRANSFER, id=id_of(task), projectId=to.id)
    errors = data["taskTransfer"]["errors"]
    return str(errors[0]["code"]) if errors else "DONE"


async def test_of_many_transfers_of_one_task_at_once_one_is_done(board: Board, target: Board) -> None:
    third = await make_board(board.tenant, name="Warehouse")
    task = await board.task()

    outcomes = await asyncio.gather(*(transfer(board, task, to) for to in (target, third, target, third)))

    row = await board.row(task)
    transferred = await board.facts("TASK_TRANSFERRED")
    assert set(outcomes) <= {"DONE", "CONFLICT", "INVALID"}
    assert Counter(outcomes)["DONE"] == len(transferred) == row["version"] - 1 >= 1
    assert transferred[-1][1]["identifier"]["now"] == row["identifier"]


async def test_transfers_in_both_directions_at_once_do_not_wait_for_each_other(board: Board, target: Board) -> None:
    here, there = await board.tasks(*"ABCDEF"), await target.tasks(*"UVWXYZ")

    outcomes = await asyncio.gather(
        *(transfer(board, task, target) for task in here), *(transfer(board, task, board) for task in there)
    )

    assert outcomes == ["DONE"] * 12
    assert sorted(await board.order()) == list("UVWXYZ")
    assert sorted(await target.order()) == list("ABCDEF")
    numbers = await rows("SELECT number FROM task WHERE org_id = $1 ORDER BY number", board.org_id)
    assert [row["number"] for row in numbers] == [n for n in range(7, 13) for _ in range(2)]


async def test_a_change_that_meets_a_transfer_is_refused_and_nobody_waits_for_ever(board: Board, target: Board) -> None:
    # The change holds the project that the task has left. Were it to follow the task, it would wait for the second
    # transfer, which waits for it.
    low, high = sorted((board, target), key=lambda each: each.project.id)
    task, other = await high.task("Moving"), await low.task("Other")

    async with uncommitted(
        board.tenant.admin, lambda actor: transfers.transfer(actor, task.id, project_id=low.project.id)
    ):
        changing = await waiting(board.client.refused(UPDATE, id=id_of(task), input={"title": "Changed"}))
        back = await waiting(transfer(board, other, high), others=1)

    assert refusals(await changing) == [("CONFLICT", ["id"])]
    assert await back == "DONE"
    assert (await board.row(task))["title"] == "Moving"
