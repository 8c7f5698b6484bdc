"""The labels of a task: put on, taken off, and no more than 50."""

import asyncio
from uuid import UUID

from domain.base.clock import new_id
from domain.labels import service as labels
from graph.base.ids import global_id
from tests.factories import Tenant
from tests.tasks.board import CREATE, UPDATE, Board, id_of, make_board, make_label, refusals, unchanged
from tests.tasks.races import uncommitted, waiting


def uuid(label_id: str) -> UUID:
    return UUID(label_id.removeprefix("label_"))


async def test_labels_are_put_on_and_taken_off_in_one_change(board: Board) -> None:
    a, b, c = [await make_label(board.tenant, name) for name in "abc"]
    task = await board.task(label_ids=[uuid(a), uuid(b)])

    payload = await board.client.done(
        UPDATE, id=id_of(task), input={"addedLabelIds": [c, b, c], "removedLabelIds": [a, a]}
    )

    assert payload["task"]["labels"] == [{"name": "b"}, {"name": "c"}]
    assert payload["task"]["version"] == 2
    assert (await board.facts())[1:] == [
        ("TASK_UPDATED", {"labels": {"was": [str(uuid(a)), str(uuid(b))], "now": [str(uuid(b)), str(uuid(c))]}})
    ]


async def test_a_label_cannot_be_added_and_removed_at_once(board: Board) -> None:
    a, b = [await make_label(board.tenant, name) for name in "ab"]
    task = await board.task(label_ids=[uuid(a)])

    async with unchanged(board.tenant):
        errors = [
            await board.client.refused(
                UPDATE, id=id_of(task), input={"addedLabelIds": [label], "removedLabelIds": [label]}
            )
            for label in (a, b)
        ]

    assert [refusals(each) for each in errors] == [[("INVALID", ["input", "removedLabelIds"])]] * 2


async def test_an_added_label_must_be_of_the_organization(board: Board, globex: Tenant) -> None:
    own, foreign = await make_label(board.tenant, "own"), await make_label(globex, "foreign")
    task, answers = await board.task(), []

    async with unchanged(board.tenant, globex):
        for label_id in (global_id("label", new_id()), foreign, id_of(task)):
            given = {"addedLabelIds": [own, label_id]}
            answers.append(await board.client.refused(UPDATE, id=id_of(task), input=given))

    assert refusals(answers[0]) == [("INVALID", ["input", "addedLabelIds"])]
    assert answers == [answers[0]] * 3


async def test_the_fifty_first_label_is_refused_and_one_that_makes_room_is_not(board: Board) -> None:
    ids = [await make_label(board.tenant, f"label {n:02}") for n in range(51)]
    task = await board.task(label_ids=[uuid(label_id) for label_id in ids[:50]])

    async with unchanged(board.tenant):
        errors = await board.client.refused(UPDATE, id=id_of(task), input={"addedLabelIds": ids[50:]})
    payload = await board.client.done(
        UPDATE, id=id_of(task), input={"addedLabelIds": ids[50:], "removedLabelIds": ids[:1]}
    )

    assert errors == [
        {
            "__typename": "LimitError",
            "code": "LIMIT_REACHED",
            "message": errors[0]["message"],
            "path": ["input", "addedLabelIds"],
            "feature": "task_labels",
            "limit": 50,
            "used": 50,
        }
    ]
    assert [label["name"] for label in payload["task"]["labels"]] == [f"label {n:02}" for n in range(1, 51)]


async def test_two_changes_at_once_do_not_pass_the_cap_together(board: Board) -> None:
    ids = [await make_label(board.tenant, f"label {n:02}") for n in range(51)]
    task = await board.task(label_ids=[uuid(label_id) for label_id in ids[:49]])

    answers = await asyncio.gather(
        *(board.client.ok(UPDATE, id=id_of(task), input={"addedLabelIds": [label_id]}) for label_id in ids[49:])
    )

    assert sorted(error["code"] for answer in answers for error in answer["taskUpdate"]["errors"]) == ["LIMIT_REACHED"]
    assert (await board.row(task))["version"] == 2


async def test_the_same_label_put_on_twice_at_once_is_there_once(board: Board) -> None:
    label_id, task = await make_label(board.tenant, "ui"), await board.task()

    await asyncio.gather(
        *(board.client.done(UPDATE, id=id_of(task), input={"addedLabelIds": [label_id]}) for _ in range(5))
    )

    assert (await board.row(task))["version"] == 2
    assert len(await board.facts("TASK_UPDATED")) == 1


async def test_a_label_that_is_being_deleted_is_refused_like_an_unknown_one(board: Board) -> None:
    label_id, task = await make_label(board.tenant, "going"), await board.task()
    admin = board.tenant.admin

    async with uncommitted(admin, lambda actor: labels.delete(actor, uuid(label_id))):
        given = {"addedLabelIds": [label_id]}
        updating = await waiting(board.client.refused(UPDATE, id=id_of(task), input=given))
        creating = await waiting(
            board.client.refused(CREATE, input={"projectId": board.id, "title": "New", "labelIds": [label_id]}),
            others=1,
        )

    assert refusals(await updating) == [("INVALID", ["input", "addedLabelIds"])]
    assert refusals(await creating) == [("INVALID", ["input", "labelIds"])]
    assert [kind for kind, _ in await board.facts()] == ["TASK_CREATED"]


async def test_a_deleted_label_is_gone_from_its_tasks(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    label_id = await make_label(board.tenant, "going")
    marked = [await each.task(label_ids=[uuid(label_id)]) for each in (board, other)]
    document = "mutation ($id: ID!) { labelDelete(id: $id) { deletedId errors { code } } }"

    await board.client.done(document, id=label_id)

    found = await board.client.ok(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Task { labels { id } } } }", ids=list(map(id_of, marked))
    )
    assert found == {"nodes": [{"labels": []}, {"labels": []}]}
