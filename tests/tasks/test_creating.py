"""New tasks: what they start with, what is refused, and many at once."""

import asyncio
from typing import Any

import pytest

from domain.base.clock import frozen, new_id, now
from domain.base.permissions import Role
from domain.tasks.models import Priority
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, events, execute, make_member, rows
from tests.tasks.board import CREATE, Board, id_of, make_board, make_label, refusals, unchanged


async def test_a_task_starts_in_todo_last_with_the_next_number(board: Board) -> None:
    at = now()
    await board.task("First")

    with frozen(at):
        payload = await board.client.done(CREATE, input={"projectId": board.id, "title": "Second"})

    task = payload["task"]
    assert task == {
        "id": task["id"],
        "identifier": f"{board.project.key}-2",
        "number": 2,
        "title": "Second",
        "description": None,
        "priority": "NONE",
        "dueDate": None,
        "estimate": None,
        "version": 1,
        "completedAt": None,
        "archivedAt": None,
        "createdAt": at.isoformat().replace("+00:00", "Z"),
        "updatedAt": at.isoformat().replace("+00:00", "Z"),
        "organization": {"id": board.tenant.id},
        "project": {"id": board.id},
        "state": {"name": "Todo"},
        "assignee": None,
        "parent": None,
        "labels": [],
        "previousIdentifiers": [],
        "creator": {"id": board.tenant.member.id},
    }
    assert await board.order() == ["First", "Second"]


async def test_a_task_starts_with_all_that_is_given(board: Board) -> None:
    parent = await board.task("Parent")
    labels = [await make_label(board.tenant, name) for name in ("ui", "Backend")]
    given = {
        "projectId": board.id,
        "title": "Child",
        "description": "A *plan*",
        "stateId": board.state("Done"),
        "priority": "URGENT",
        "assigneeId": board.tenant.guest.id,
        "dueDate": "2026-11-20",
        "estimate": 8,
        "parentId": id_of(parent),
        "labelIds": [*labels, labels[0]],
    }

    with frozen(at := now()):
        payload = await board.client.done(CREATE, input=given)

    instant = at.isoformat().replace("+00:00", "Z")
    task = payload["task"]
    assert task == {
        "id": task["id"],
        "identifier": f"{board.project.key}-2",
        "number": 2,
        "title": "Child",
        "description": "A *plan*",
        "priority": "URGENT",
        "dueDate": "2026-11-20",
        "estimate": 8,
        "version": 1,
        "completedAt": instant,
        "archivedAt": None,
        "createdAt": instant,
        "updatedAt": instant,
        "organization": {"id": board.tenant.id},
        "project": {"id": board.id},
        "state": {"name": "Done"},
        "assignee": {"id": board.tenant.guest.id, "name": "Guest Acme"},
        "parent": {"id": id_of(parent)},
        "labels": [{"name": "Backend"}, {"name": "ui"}],
        "previousIdentifiers": [],
        "creator": {"id": board.tenant.member.id},
    }
    assert (await board.facts())[1:] == [
        (
            "TASK_CREATED",
            {
                "identifier": f"{board.project.key}-2",
                "state_id": str(board.states["Done"]),
                "parent_id": str(parent.id),
                "title": "Child",
            },
        ),
        ("TASK_ASSIGNED", {"assignee_id": {"was": None, "now": str(board.tenant.guest.user_id)}}),
    ]


async def test_explicit_nulls_are_the_defaults(board: Board) -> None:
    nulls = ("description", "stateId", "priority", "assigneeId", "dueDate", "estimate", "parentId", "labelIds")

    payload = await board.client.done(CREATE, input={"projectId": board.id, "title": "Bare", **dict.fromkeys(nulls)})

    assert payload["task"]["state"] == {"name": "Todo"}
    assert payload["task"]["priority"] == "NONE"
    assert await events(board.org_id) == ["PROJECT_CREATED", "TASK_CREATED"]


@pytest.mark.parametrize(
    "values",
    [
        {"title": "x"},
        {"title": "é" * 500},
        {"description": "d" * 100_000},
        {"description": ""},
        {"estimate": 0},
        {"estimate": 1_000_000},
        {"dueDate": "0001-01-01"},
        {"dueDate": "9999-12-31"},
    ],
    ids=str,
)
async def test_values_at_the_edge_are_kept_as_given(board: Board, values: dict[str, Any]) -> None:
    payload = await board.client.done(CREATE, input={"projectId": board.id, "title": "Edge", **values})

    assert {name: payload["task"][name] for name in values} == values


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"title": ""}, "title"),
        ({"title": " \t\n"}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"description": "d" * 100_001}, "description"),
        ({"estimate": -1}, "estimate"),
        ({"estimate": 1_000_001}, "estimate"),
        ({"estimate": 2**31 - 1}, "estimate"),
    ],
    ids=str,
)
async def test_values_beyond_the_edge_are_refused(board: Board, values: dict[str, Any], path: str) -> None:
    async with unchanged(board.tenant):
        errors = await board.client.refused(CREATE, input={"projectId": board.id, "title": "Edge", **values})

    assert refusals(errors) == [("INVALID", ["input", path])]


async def test_all_faults_are_told_at_once(board: Board) -> None:
    given = {"projectId": board.id, "title": "", "description": "d" * 100_001, "estimate": -1}

    errors = await board.client.refused(CREATE, input=given)

    assert [error["path"] for error in errors] == [["input", "title"], ["input", "description"], ["input", "estimate"]]


async def test_only_members_of_today_can_be_assigned(board: Board, globex: Tenant) -> None:
    left = await make_member(board.org_id, Role.MEMBER)
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", left.user_id)
    answers = []

    async with unchanged(board.tenant, globex):
        for user_id in (global_id("user", new_id()), globex.member.id, left.id, board.tenant.id):
            given = {"projectId": board.id, "title": "Whose?", "assigneeId": user_id}
            answers.append(await board.client.refused(CREATE, input=given))

    assert refusals(answers[0]) == [("INVALID", ["input", "assigneeId"])]
    assert answers == [answers[0]] * 4


async def test_a_state_must_be_of_the_project(board: Board, globex: Tenant) -> None:
    other, foreign = await make_board(board.tenant, name="Other"), await make_board(globex)
    answers = []

    async with unchanged(board.tenant, globex):
        for state_id in (global_id("workflow_state", new_id()), other.state("Todo"), foreign.state("Todo"), board.id):
            given = {"projectId": board.id, "title": "Where?", "stateId": state_id}
            answers.append(await board.client.refused(CREATE, input=given))

    assert refusals(answers[0]) == [("INVALID", ["input", "stateId"])]
    assert answers == [answers[0]] * 4


async def test_a_parent_must_be_of_the_project(board: Board, globex: Tenant) -> None:
    other, foreign = await make_board(board.tenant, name="Other"), await make_board(globex)
    parents = [global_id("task", new_id()), id_of(await other.task()), id_of(await foreign.task()), board.id]
    answers = []

    async with unchanged(board.tenant, globex):
        for parent_id in parents:
            given = {"projectId": board.id, "title": "Below?", "parentId": parent_id}
            answers.append(await board.client.refused(CREATE, input=given))

    assert refusals(answers[0]) == [("INVALID", ["input", "parentId"])]
    assert answers == [answers[0]] * 4


async def test_a_strangers_label_looks_like_an_unknown_one(board: Board, globex: Tenant) -> None:
    own, foreign = await make_label(board.tenant, "own"), await make_label(globex, "foreign")
    answers = []

    async with unchanged(board.tenant, globex):
        for label_id in (global_id("label", new_id()), foreign, board.id):
            given = {"projectId": board.id, "title": "Marked", "labelIds": [own, label_id]}
            answers.append(await board.client.run(CREATE, input=given))

    assert answers[0].data is not None
    assert refusals(answers[0].data["taskCreate"]["errors"]) == [("INVALID", ["input", "labelIds"])]
    assert [(answer.data, answer.errors) for answer in answers] == [(answers[0].data, [])] * 3


async def test_a_label_of_another_organization_of_ones_own_is_refused(board: Board, globex: Tenant) -> None:
    label_id = await make_label(globex, "theirs")
    await execute(
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        "VALUES ($1, $2, $3, 'ADMIN', now(), now())",
        new_id(), globex.org_id, board.tenant.member.user_id,
    )  # fmt: skip

    async with unchanged(board.tenant, globex):
        errors = await board.client.refused(
            CREATE, input={"projectId": board.id, "title": "Marked", "labelIds": [label_id]}
        )

    assert refusals(errors) == [("INVALID", ["input", "labelIds"])]


async def test_fifty_labels_fit_and_the_fifty_first_is_refused(board: Board) -> None:
    labels = [await make_label(board.tenant, f"label {n:02}") for n in range(51)]

    payload = await board.client.done(CREATE, input={"projectId": board.id, "title": "Full", "labelIds": labels[:50]})
    async with unchanged(board.tenant):
        errors = await board.client.refused(CREATE, input={"projectId": board.id, "title": "Over", "labelIds": labels})

    assert [label["name"] for label in payload["task"]["labels"]] == [f"label {n:02}" for n in range(50)]
    assert errors == [
        {
            "__typename": "LimitError",
            "code": "LIMIT_REACHED",
            "message": errors[0]["message"],
            "path": ["input", "labelIds"],
            "feature": "task_labels",
            "limit": 50,
            "used": 0,
        }
    ]


async def test_an_unknown_and_a_strangers_project_get_the_same_answer(board: Board, globex: Tenant) -> None:
    foreign = await make_board(globex)
    answers = []

    async with unchanged(board.tenant, globex):
        for project_id in (global_id("project", new_id()), foreign.id, board.state("Todo")):
            answers.append(await board.client.run(CREATE, input={"projectId": project_id, "title": "Where?"}))

    assert answers[0].codes == ["NOT_FOUND"]
    assert [(answer.data, answer.errors) for answer in answers] == [({"taskCreate": None}, answers[0].errors)] * 3


@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_cannot_create(board: Board, role: str) -> None:
    person: Person = getattr(board.tenant, role)

    async with unchanged(board.tenant):
        answer = await person.client.run(CREATE, input={"projectId": board.id, "title": "Mine"})

    assert answer.codes == ["FORBIDDEN"]


async def test_an_archived_project_takes_no_task(board: Board) -> None:
    await board.archive()

    async with unchanged(board.tenant):
        errors = await board.client.refused(CREATE, input={"projectId": board.id, "title": "Late"})

    assert refusals(errors) == [("CONFLICT", ["input", "projectId"])]


async def test_a_key_that_may_create_but_not_read_leaves_no_trace(board: Board) -> None:
    make_key = "mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret errors { code } } }"
    given = {"organizationId": board.tenant.id, "name": "Writer", "permissions": ["PROJECT_READ", "TASK_CREATE"]}
    secret = (await board.tenant.admin.client.done(make_key, input=given))["secret"]

    async with unchanged(board.tenant):
        answer = await GraphQL(secret).run(CREATE, input={"projectId": board.id, "title": "Unseen"})

    assert answer.codes == ["NOT_FOUND"]


async def test_fifty_tasks_at_once_get_fifty_numbers_and_places_without_a_gap(board: Board) -> None:
    async def create(n: int) -> int:
        payload = await board.client.done(CREATE, input={"projectId": board.id, "title": f"Task {n}"})
        return int(payload["task"]["number"])

    numbers = await asyncio.gather(*(create(n) for n in range(50)))

    assert sorted(numbers) == list(range(1, 51))
    found = await rows("SELECT number FROM task WHERE project_id = $1 ORDER BY rank", board.project.id)
    assert [row["number"] for row in found] == list(range(1, 51))
    assert len(await board.order()) == 50
    assert await events(board.org_id) == ["PROJECT_CREATED"] + ["TASK_CREATED"] * 50


async def test_a_refused_create_spends_no_number(board: Board) -> None:
    await board.task("One")
    await board.client.refused(CREATE, input={"projectId": board.id, "title": "Two", "assigneeId": board.id})

    task = await board.task("Two", priority=Priority.HIGH)

    assert task.number == 2
