"""Bulks at once with each other and with all else that changes tasks: nobody waits for ever, and nothing is lost."""

import asyncio
import random
from typing import Any
from uuid import UUID

import orjson
import pytest

from domain.base.database import tx
from domain.base.permissions import Permission
from domain.labels import service as labels
from domain.projects import service as projects
from domain.tasks import opening
from domain.tasks import service as tasks
from domain.tasks import transfer as transfers
from tests.client import Answer
from tests.events.chain import first_fault
from tests.factories import rows
from tests.tasks.board import (
    ARCHIVE_PROJECT,
    BULK,
    MOVE,
    RELATE,
    TRANSFER,
    UPDATE,
    Board,
    id_of,
    item,
    make_board,
    make_label,
    refusals,
)
from tests.tasks.races import uncommitted, waiting

UNARCHIVE_PROJECT = "mutation ($id: ID!) { projectUnarchive(id: $id) { project { id } errors { code } } }"
DELETE_LABEL = "mutation ($id: ID!) { labelDelete(id: $id) { deletedId errors { code } } }"


def uuid(label_id: str) -> UUID:
    return UUID(label_id.removeprefix("label_"))


async def last_told(org_id: UUID) -> dict[tuple[UUID, str], Any]:
    """The last value of each field of each task by its events, each of which goes on from the one before."""
    found = await rows(
        "SELECT subject_id, event.data, event_values.data AS apart FROM event "
        "LEFT JOIN event_values ON event_values.event_id = event.id "
        "WHERE event.org_id = $1 AND subject_kind = 'task' ORDER BY seq",
        org_id,
    )
    told: dict[tuple[UUID, str], Any] = {}
    for row in found:
        for name, value in (orjson.loads(row["data"]) | orjson.loads(row["apart"] or "{}")).items():
            place = (row["subject_id"], name)
            if isinstance(value, dict) and name != "rank":
                assert told.get(place, value["was"]) == value["was"], place
                told[place] = value["now"]
    return told


async def prove_whole(boards: list[Board]) -> None:
    """Ranks are distinct, trees are trees, and the log tells all that happened and nothing else."""
    org_id = boards[0].org_id
    for board in boards:
        for state in board.states:
            await board.order(state)
        (tree,) = await rows(
            "WITH RECURSIVE tree AS (SELECT id, 1 AS level FROM task WHERE project_id = $1 AND parent_id IS NULL "
            "UNION ALL SELECT child.id, level + 1 FROM task AS child JOIN tree ON child.parent_id = tree.id) "
            "SELECT count(*) AS reached, coalesce(max(level), 0) AS deepest, "
            "(SELECT count(*) FROM task WHERE project_id = $1) AS every FROM tree",
            board.project.id,
        )
        assert tree["reached"] == tree["every"]
        assert tree["deepest"] <= 5
    assert await first_fault(org_id) is None
    there = {row["id"]: row for row in await rows("SELECT * FROM task WHERE org_id = $1", org_id)}
    on = await rows("SELECT task_id, label_id FROM task_label WHERE org_id = $1 ORDER BY id", org_id)
    for (task_id, name), value in (await last_told(org_id)).items():
        if name == "labels":
            assert value == [str(row["label_id"]) for row in on if row["task_id"] == task_id]
        elif name in ("title", "identifier", "estimate"):
            assert value == there[task_id][name]
        elif name in ("state_id", "parent_id", "assignee_id"):
            assert value == (there[task_id][name] and str(there[task_id][name]))


@pytest.mark.parametrize("seed", range(4))
async def test_bulks_and_all_other_changes_at_once_neither_deadlock_nor_lose_anything(board: Board, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # chooses what is done, no secret
    boards = [board, *[await make_board(board.tenant, name=f"Other {n}") for n in range(2)]]
    made = [(where, await where.task(f"{n}")) for n in range(6) for where in boards]
    marks = [await make_label(board.tenant, name) for name in ("ui", "bug", "api")]
    people = [board.tenant.guest.id, board.tenant.admin.id, None]
    clients = [board.tenant.member.client, board.tenant.admin.client]

    def change(where: Board, n: int) -> dict[str, Any]:
        values = {
            "title": f"Title {n}",
            "estimate": n,
            "stateId": where.state(chance.choice(("Backlog", "Todo", "Done"))),
            "assigneeId": chance.choice(people),
            "addedLabelIds": [marks[0], marks[2]] if n % 2 else [marks[1]],
            "removedLabelIds": [marks[1]] if n % 2 else [marks[0], marks[2]],
        }
        if n % 4 == 0:
            values["parentId"] = id_of(chance.choice([task for home, task in made if home is where]))
        return dict(chance.sample(sorted(values.items()), 3))

    def work(n: int) -> Any:
        client, (where, task) = clients[n % 2], chance.choice(made)
        (_, beside), (target, _) = chance.choice(made), chance.choice(made)
        kind = n % 8
        if kind < 3:
            # The order of the items is another one in each.
            picked = chance.sample(made, 12)
            items = [item(each, **change(home, n)) for home, each in picked]
            return client.run(BULK, items=items, errorPolicy="REJECT_FAILED", dryRun=n % 7 == 6)
        if kind == 3:
            return client.run(UPDATE, id=id_of(task), input=change(where, n))
        if kind == 4:
            return client.run(MOVE, id=id_of(task), input={"afterId": id_of(beside)})
        if kind == 5:
            return client.run(TRANSFER, id=id_of(task), projectId=target.id)
        if kind == 6:
            return client.run((ARCHIVE_PROJECT, UNARCHIVE_PROJECT)[n % 16 > 7], id=where.id)
        return client.run(RELATE, fromId=id_of(task), toId=id_of(beside), kind="BLOCKS")

    # The first one alone: the projects may be archived before any other bulk has its turn.
    answers: list[Answer] = [await work(0), *await asyncio.gather(*(work(n) for n in range(1, 64)))]

    assert [answer.errors for answer in answers if answer.errors] == []
    assert sum((answer.data or {}).get("taskBulkUpdate", {}).get("changedCount", 0) for answer in answers) > 0
    await prove_whole(boards)


async def test_bulks_of_the_same_tasks_in_opposite_orders_all_come_through(board: Board) -> None:
    made = await board.tasks(*(f"Task {n}" for n in range(20)))
    done, backlog = board.state("Done"), board.state("Backlog")

    def items(n: int) -> list[dict[str, Any]]:
        turned = made if n % 2 else made[::-1]
        return [item(task, title=f"{task.title} by {n}", stateId=(done, backlog)[n % 3 % 2]) for task in turned]

    payloads = await asyncio.gather(*(board.client.done(BULK, items=items(n)) for n in range(12)))

    assert [payload["changedCount"] for payload in payloads] == [20] * 12
    assert {(await board.row(task))["version"] for task in made} == {13}
    assert len(await board.facts("TASK_UPDATED")) == 240
    last = {(await board.row(task))["title"].partition(" by ")[2] for task in made}
    assert len(last) == 1
    await prove_whole([board])


async def test_a_label_is_deleted_while_bulks_put_it_on_and_take_it_off(board: Board) -> None:
    made = await board.tasks(*(f"Task {n}" for n in range(20)))
    marks = [await make_label(board.tenant, f"label {n}") for n in range(4)]

    def items(n: int) -> list[dict[str, Any]]:
        turned = made if n % 2 else made[::-1]
        key = ("addedLabelIds", "removedLabelIds")[n // 2 % 2]
        given: dict[str, Any] = {"estimate": n, key: marks}
        return [item(task, **given) for task in turned]

    await board.client.done(BULK, items=items(0))
    answers = await asyncio.gather(
        *(board.client.run(BULK, items=items(n), errorPolicy="REJECT_FAILED") for n in range(1, 9)),
        *(board.tenant.admin.client.run(DELETE_LABEL, id=mark) for mark in marks[:3]),
    )

    assert [answer.errors for answer in answers if answer.errors] == []
    assert len({row["label_id"] for row in await rows("SELECT * FROM task_label WHERE org_id = $1", board.org_id)}) < 2
    assert await first_fault(board.org_id) is None


async def test_a_bulk_waits_for_archiving_and_is_told_so_item_by_item(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    a, b = await board.task("A"), await other.task("B")

    async with uncommitted(board.tenant.admin, lambda actor: projects.archive(actor, board.project.id)):
        items = [item(a, title="A!"), item(b, title="B!")]
        running = await waiting(board.client.done(BULK, items=items, errorPolicy="REJECT_FAILED"))
        waited = not running.done()
    payload = await running

    assert waited
    assert [refusals(result["errors"]) for result in payload["results"]] == [[("CONFLICT", ["items", "0", "id"])], []]
    assert ((await board.row(a))["title"], (await board.row(b))["title"]) == ("A", "B!")


@pytest.mark.parametrize("is_in_bulk", [False, True])
async def test_a_task_that_leaves_while_a_bulk_waits_is_followed_only_to_a_project_of_the_bulk(
    board: Board, is_in_bulk: bool
) -> None:
    other = await make_board(board.tenant, name="Other")
    a, b, c = await board.task("A"), await board.task("B"), await other.task("C")
    items = [item(a, title="A!"), item(b, title="B!"), *([item(c, title="C!")] if is_in_bulk else [])]

    async with uncommitted(
        board.tenant.admin, lambda actor: transfers.transfer(actor, a.id, project_id=other.project.id)
    ):
        running = await waiting(board.client.done(BULK, items=items, errorPolicy="REJECT_FAILED"))
    payload = await running

    told = [refusals(result["errors"]) for result in payload["results"]]
    assert told[0] == ([] if is_in_bulk else [("CONFLICT", ["items", "0", "id"])])
    assert told[1:] == [[]] * (len(items) - 1)
    assert (await board.row(a))["title"] == ("A!" if is_in_bulk else "A")
    await prove_whole([board, other])


async def test_a_task_that_is_deleted_while_a_bulk_waits_is_not_there(board: Board) -> None:
    a, b = await board.tasks(*"AB")

    async with uncommitted(board.tenant.admin, lambda actor: tasks.delete(actor, a.id)):
        running = await waiting(
            board.client.done(BULK, items=[item(a, title="A!"), item(b, title="B!")], errorPolicy="REJECT_FAILED")
        )
    payload = await running

    assert [refusals(result["errors"]) for result in payload["results"]] == [[("INVALID", ["items", "0", "id"])], []]
    assert await board.order() == ["B!"]


async def test_a_label_that_goes_while_a_bulk_waits_is_not_put_on(board: Board) -> None:
    task, mark = await board.task(), await make_label(board.tenant, "going")

    async with uncommitted(board.tenant.admin, lambda actor: labels.delete(actor, uuid(mark))):
        running = await waiting(board.client.done(BULK, items=[item(task, addedLabelIds=[mark])]))
        waited = not running.done()
    payload = await running

    assert waited
    assert refusals(payload["results"][0]["errors"]) == [("INVALID", ["items", "0", "input", "addedLabelIds"])]
    assert await board.facts("TASK_UPDATED") == []


async def test_a_label_that_goes_while_a_bulk_waits_is_not_told_to_be_taken_off(board: Board) -> None:
    task, mark = await board.task(), await make_label(board.tenant, "going")
    await board.client.done(UPDATE, id=id_of(task), input={"addedLabelIds": [mark]})
    events = len(await board.facts())

    async with uncommitted(board.tenant.admin, lambda actor: labels.delete(actor, uuid(mark))):
        running = await waiting(board.client.done(BULK, items=[item(task, title="New", removedLabelIds=[mark])]))
        waited = not running.done()
    await running

    assert waited
    assert (await board.facts())[events:] == [("TASK_UPDATED", {"title": {"was": task.title, "now": "New"}})]


async def test_a_bulk_locks_its_tasks_in_the_order_of_their_ids(board: Board) -> None:
    made = await board.tasks(*"ABC")
    first, middle, last = sorted(made, key=lambda task: task.id)
    # A changed row stands behind the others in the table.
    await board.client.done(UPDATE, id=id_of(first), input={"title": "Changed"})

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, middle.id, title="Held")):
        running = await waiting(board.client.done(BULK, items=[item(task, estimate=1) for task in made[::-1]]))
        free = await rows(
            "SELECT id FROM task WHERE id = ANY($1::uuid[]) FOR UPDATE SKIP LOCKED", [task.id for task in made]
        )
    payload = await running

    assert [row["id"] for row in free] == [last.id]
    assert payload["changedCount"] == 3


async def test_a_relation_between_tasks_that_a_bulk_is_changing_waits_for_both(board: Board) -> None:
    first, second = sorted(await board.tasks(*"AB"), key=lambda task: task.id)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def bulk() -> None:
        """The rows one by one, as the database changes those of a bulk."""
        async with board.tenant.member.acting() as actor, tx():
            await opening.open_all(actor, {first.id, second.id}, Permission.TASK_UPDATE)
            await tasks.update(actor, second.id, state_id=board.states["Done"])
            begun.set()
            await go_on.wait()
            await tasks.update(actor, first.id, state_id=board.states["Done"])

    changing = asyncio.create_task(bulk())
    await begun.wait()
    related = await waiting(board.client.done(RELATE, fromId=id_of(first), toId=id_of(second), kind="BLOCKS"))
    waited = not related.done()
    go_on.set()
    await changing

    assert waited
    assert refusals((await related)["errors"]) == []
    assert len(await board.order("Done")) == 2
