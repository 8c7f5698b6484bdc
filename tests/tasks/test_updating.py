"""Changes of a task's fields: what they touch, what they leave, what they say in the log."""

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from domain.base.clock import new_id
from domain.base.permissions import Role
from domain.tasks import service as tasks
from domain.tasks.models import Priority
from graph.base.ids import global_id
from tests.factories import Person, Tenant, execute, make_member
from tests.tasks.board import UPDATE, Board, id_of, make_board, make_label, refusals, restrict, unchanged
from tests.tasks.races import uncommitted, waiting

FULL: dict[str, Any] = {
    "title": "Write",
    "description": "All of it",
    "priority": Priority.HIGH,
    "due_date": date(2026, 11, 20),
    "estimate": 3,
}


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        ({"title": "Rewrite"}, {"title": {"was": "Write", "now": "Rewrite"}}),
        ({"description": "Less"}, {"description": {"was": "All of it", "now": "Less"}}),
        ({"description": None}, {"description": {"was": "All of it", "now": None}}),
        ({"priority": "LOW"}, {"priority": {"was": "HIGH", "now": "LOW"}}),
        ({"dueDate": "2026-12-24"}, {"due_date": {"was": "2026-11-20", "now": "2026-12-24"}}),
        ({"dueDate": None}, {"due_date": {"was": "2026-11-20", "now": None}}),
        ({"estimate": 0}, {"estimate": {"was": 3, "now": 0}}),
        ({"estimate": None}, {"estimate": {"was": 3, "now": None}}),
    ],
    ids=str,
)
async def test_a_given_field_changes_and_no_other(board: Board, given: dict[str, Any], fact: dict[str, Any]) -> None:
    task = await board.task(**FULL)
    before = await board.row(task)

    payload = await board.client.done(UPDATE, id=id_of(task), input=given)

    after = await board.row(task)
    ((column, change),) = fact.items()
    assert {name: payload["task"][name] for name in given} == given
    assert after == before | {column: after[column], "version": 2, "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await board.facts())[1:] == [("TASK_UPDATED", {column: change})]


async def test_what_is_given_as_it_is_changes_nothing(board: Board) -> None:
    label_id = await make_label(board.tenant, "ui")
    parent = await board.task("Parent")
    task = await board.task(**FULL, assignee_id=board.tenant.guest.user_id, parent_id=parent.id)
    await board.client.done(UPDATE, id=id_of(task), input={"addedLabelIds": [label_id]})
    same = {
        "title": "Write",
        "description": "All of it",
        "priority": "HIGH",
        "dueDate": "2026-11-20",
        "estimate": 3,
        "stateId": board.state("Todo"),
        "assigneeId": board.tenant.guest.id,
        "parentId": id_of(parent),
        "addedLabelIds": [label_id],
        "removedLabelIds": [global_id("label", new_id())],
    }

    async with unchanged(board.tenant):
        payload = await board.client.done(UPDATE, id=id_of(task), input=same)
        await board.client.done(UPDATE, id=id_of(task), input={})
        await board.client.done(UPDATE, id=id_of(task), input={"addedLabelIds": None, "removedLabelIds": None})

    assert payload["task"]["version"] == 2


async def test_several_kinds_of_change_are_one_version_and_a_fact_each(board: Board) -> None:
    label_id = await make_label(board.tenant, "ui")
    task = await board.task()

    payload = await board.client.done(
        UPDATE,
        id=id_of(task),
        input={
            "title": "Publish",
            "estimate": 5,
            "stateId": board.state("Done"),
            "assigneeId": board.tenant.guest.id,
            "addedLabelIds": [label_id],
        },
    )

    row = await board.row(task)
    assert payload["task"]["version"] == row["version"] == 2
    assert (await board.facts())[1:] == [
        (
            "TASK_TRANSITIONED",
            {
                "state_id": {"was": str(board.states["Todo"]), "now": str(board.states["Done"])},
                "completed_at": {"was": None, "now": row["completed_at"].isoformat()},
            },
        ),
        ("TASK_ASSIGNED", {"assignee_id": {"was": None, "now": str(board.tenant.guest.user_id)}}),
        (
            "TASK_UPDATED",
            {
                "title": {"was": "Write the page", "now": "Publish"},
                "estimate": {"was": None, "now": 5},
                "labels": {"was": [], "now": [str(UUID(label_id.removeprefix("label_")))]},
            },
        ),
    ]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"title": None}, "title"),
        ({"priority": None}, "priority"),
        ({"stateId": None}, "stateId"),
        ({"description": "d" * 100_001}, "description"),
        ({"estimate": -1}, "estimate"),
        ({"estimate": 1_000_001}, "estimate"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_values_that_cannot_be_are_refused(board: Board, values: dict[str, Any], path: str) -> None:
    task = await board.task(**FULL)

    async with unchanged(board.tenant):
        errors = await board.client.refused(UPDATE, id=id_of(task), input={"description": "New", **values})

    assert refusals(errors) == [("INVALID", ["input", path])]


async def test_a_wrong_version_is_refused_with_the_row_as_it_stands(board: Board) -> None:
    task = await board.task()
    await board.client.done(UPDATE, id=id_of(task), input={"title": "Second"}, ifVersion=1)

    async with unchanged(board.tenant):
        errors = await board.client.refused(UPDATE, id=id_of(task), input={"title": "Third"}, ifVersion=1)
        await board.client.refused(UPDATE, id=id_of(task), input={"title": "Third"}, ifVersion=3)

    assert errors == [
        {
            "__typename": "StaleVersionError",
            "code": "STALE_VERSION",
            "message": errors[0]["message"],
            "path": ["ifVersion"],
            "currentVersion": 2,
            "current": {"id": id_of(task), "title": "Second", "version": 2},
        }
    ]


async def test_two_changes_of_different_fields_at_once_both_last(board: Board) -> None:
    task = await board.task()

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, task.id, title="Mine")):
        other = await waiting(board.client.done(UPDATE, id=id_of(task), input={"estimate": 8}))
    payload = await other

    assert (payload["task"]["title"], payload["task"]["estimate"], payload["task"]["version"]) == ("Mine", 8, 3)


async def test_of_many_changes_of_one_field_at_once_the_last_wins_and_each_counts(board: Board) -> None:
    task = await board.task()

    await asyncio.gather(*(board.client.done(UPDATE, id=id_of(task), input={"title": f"Title {n}"}) for n in range(20)))

    row = await board.row(task)
    facts = await board.facts("TASK_UPDATED")
    assert row["version"] == 21
    assert len(facts) == 20
    assert facts[-1][1]["title"]["now"] == row["title"]
    assert [fact["title"]["was"] for _, fact in facts[1:]] == [fact["title"]["now"] for _, fact in facts[:-1]]


async def test_of_two_changes_with_the_same_version_one_is_stale(board: Board) -> None:
    task = await board.task()

    answers = await asyncio.gather(
        *(board.client.ok(UPDATE, id=id_of(task), input={"title": f"Title {n}"}, ifVersion=1) for n in range(2))
    )

    codes = sorted(error["code"] for answer in answers for error in answer["taskUpdate"]["errors"])
    assert codes == ["STALE_VERSION"]
    assert (await board.row(task))["version"] == 2


async def test_done_completes_and_leaving_it_takes_that_back(board: Board) -> None:
    task = await board.task()

    done = await board.client.done(UPDATE, id=id_of(task), input={"stateId": board.state("Done")})
    open_again = await board.client.done(UPDATE, id=id_of(task), input={"stateId": board.state("In progress")})

    assert done["task"]["completedAt"] is not None
    assert open_again["task"]["completedAt"] is None
    facts = await board.facts("TASK_TRANSITIONED")
    assert facts[1][1]["completed_at"] == {"was": facts[0][1]["completed_at"]["now"], "now": None}


async def test_a_task_stays_completed_from_one_done_state_to_another(board: Board) -> None:
    document = """
    mutation ($input: WorkflowStateCreateInput!) {
      workflowStateCreate(input: $input) { state { id } errors { code } }
    }
    """
    given = {"projectId": board.id, "name": "Released", "category": "DONE"}
    released = (await board.client.done(document, input=given))["state"]["id"]
    task = await board.task(state="Done")

    payload = await board.client.done(UPDATE, id=id_of(task), input={"stateId": released})

    assert (await board.row(task))["completed_at"] == task.completed_at
    assert payload["task"]["state"] == {"name": "Released"}


async def test_a_new_state_puts_the_task_last_there(board: Board) -> None:
    task = await board.task("Moving")
    await board.tasks("One", "Two", state="Done")

    await board.client.done(UPDATE, id=id_of(task), input={"stateId": board.state("Done")})

    assert await board.order("Done") == ["One", "Two", "Moving"]
    assert await board.order("Todo") == []


async def test_the_workflow_says_what_may_follow(board: Board) -> None:
    await restrict(board, "Todo", "In progress", "Canceled")
    task = await board.task()

    async with unchanged(board.tenant):
        errors = await board.client.refused(
            UPDATE, id=id_of(task), input={"title": "Done!", "stateId": board.state("Done")}
        )
        await board.client.done(UPDATE, id=id_of(task), input={"stateId": board.state("Todo")})
    await board.client.done(UPDATE, id=id_of(task), input={"stateId": board.state("Canceled")})

    assert errors == [
        {
            "__typename": "TransitionError",
            "code": "TRANSITION_NOT_ALLOWED",
            "message": errors[0]["message"],
            "path": ["input", "stateId"],
            "from": "Todo",
            "allowed": ["In progress", "Canceled"],
        }
    ]


async def test_a_dead_end_allows_nothing(board: Board) -> None:
    await restrict(board, "Done")
    task = await board.task(state="Done")

    async with unchanged(board.tenant):
        errors = await board.client.refused(UPDATE, id=id_of(task), input={"stateId": board.state("Todo")})

    assert (errors[0]["code"], errors[0]["allowed"]) == ("TRANSITION_NOT_ALLOWED", [])


async def test_the_state_of_another_project_is_refused(board: Board, globex: Tenant) -> None:
    other, foreign = await make_board(board.tenant, name="Other"), await make_board(globex)
    task = await board.task()
    answers = []

    async with unchanged(board.tenant, globex):
        for state_id in (global_id("workflow_state", new_id()), other.state("Done"), foreign.state("Done"), board.id):
            answers.append(await board.client.refused(UPDATE, id=id_of(task), input={"stateId": state_id}))

    assert refusals(answers[0]) == [("INVALID", ["input", "stateId"])]
    assert answers == [answers[0]] * 4


async def test_who_left_stays_named_and_can_be_kept_but_not_be_assigned_anew(board: Board) -> None:
    leaving = await make_member(board.org_id, Role.MEMBER, "Lea Leaving")
    task, other = await board.task(assignee_id=leaving.user_id), await board.task()
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", leaving.user_id)

    payload = await board.client.done(UPDATE, id=id_of(task), input={"title": "Still hers", "assigneeId": leaving.id})
    async with unchanged(board.tenant):
        errors = await board.client.refused(
            UPDATE, id=id_of(other), input={"title": "Not hers", "assigneeId": leaving.id}
        )
    cleared = await board.client.done(UPDATE, id=id_of(task), input={"assigneeId": None})

    assert payload["task"]["assignee"] == {"id": leaving.id, "name": "Lea Leaving"}
    assert refusals(errors) == [("INVALID", ["input", "assigneeId"])]
    assert cleared["task"]["assignee"] is None
    assert [kind for kind, _ in await board.facts()][3:] == ["TASK_UPDATED", "TASK_ASSIGNED"]


async def test_somebody_who_is_leaving_is_not_assigned(board: Board) -> None:
    leave = "mutation ($id: ID!) { organizationLeave(id: $id) { deletedId errors { code } } }"
    leaving, task = await make_member(board.org_id, Role.MEMBER), await board.task()

    async with uncommitted(
        board.tenant.member, lambda actor: tasks.update(actor, task.id, assignee_id=leaving.user_id)
    ):
        left = await waiting(leaving.client.done(leave, id=board.tenant.id))
        waited = not left.done()
    await left

    assert waited
    assert (await board.row(task))["assignee_id"] == leaving.user_id


async def test_an_unknown_and_a_strangers_task_get_the_same_answer(board: Board, globex: Tenant) -> None:
    foreign = await (await make_board(globex)).task()
    answers = []

    async with unchanged(board.tenant, globex):
        for task_id in (global_id("task", new_id()), id_of(foreign), board.id):
            answers.append(await board.client.run(UPDATE, id=task_id, input={"title": ""}))

    assert answers[0].codes == ["NOT_FOUND"]
    assert [(answer.data, answer.errors) for answer in answers] == [({"taskUpdate": None}, answers[0].errors)] * 3


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_cannot_change(board: Board, role: str) -> None:
    task = await board.task()
    person: Person = getattr(board.tenant, role)

    async with unchanged(board.tenant):
        answer = await person.client.run(UPDATE, id=id_of(task), input={"title": "Mine"})

    assert answer.codes == ["FORBIDDEN"]
