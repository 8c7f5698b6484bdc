"""Archived and deleted tasks, and projects that are archived while their tasks are being changed."""

import asyncio
from typing import Any

import pytest

from domain.base.clock import new_id
from domain.comments import service as comments
from domain.projects import service as projects
from domain.tasks import service as tasks
from domain.tasks.models import RelationKind
from graph.base.ids import global_id
from tests.factories import Person, Tenant, rows
from tests.tasks.board import (
    ARCHIVE,
    ARCHIVE_PROJECT,
    COMMENT,
    CREATE,
    DELETE,
    MOVE,
    RELATE,
    TRANSFER,
    UNARCHIVE,
    UNRELATE,
    UPDATE,
    Board,
    everything,
    id_of,
    make_board,
    make_label,
    refusals,
    unchanged,
)
from tests.tasks.races import uncommitted, waiting

TITLES = "query ($id: ID!) { project(id: $id) { tasks { totalCount nodes { title } } states { name taskCount } } }"


async def test_an_archived_task_is_left_out_of_lists_until_it_is_taken_out_again(board: Board) -> None:
    task, _ = await board.tasks("Old", "New")

    archived = await board.client.done(ARCHIVE, id=id_of(task))
    without = await board.client.ok(TITLES, id=board.id)
    again = await board.client.done(UNARCHIVE, id=id_of(task))
    with_it = await board.client.ok(TITLES, id=board.id)

    assert archived["task"]["archivedAt"] is not None
    assert without["project"]["tasks"] == {"totalCount": 1, "nodes": [{"title": "New"}]}
    assert {"name": "Todo", "taskCount": 1} in without["project"]["states"]
    assert (again["task"]["archivedAt"], again["task"]["version"]) == (None, 3)
    assert with_it["project"]["tasks"] == {"totalCount": 2, "nodes": [{"title": "Old"}, {"title": "New"}]}
    assert (await board.facts())[2:] == [("TASK_ARCHIVED", {}), ("TASK_UNARCHIVED", {})]


async def test_archiving_or_unarchiving_once_more_changes_nothing(board: Board) -> None:
    task, other = await board.tasks("Old", "New")
    await board.client.done(ARCHIVE, id=id_of(task))

    async with unchanged(board.tenant):
        payload = await board.client.done(ARCHIVE, id=id_of(task))
        await board.client.done(UNARCHIVE, id=id_of(other))

    assert payload["task"]["version"] == 2


async def test_subtasks_of_an_archived_task_stay(board: Board) -> None:
    task = await board.task("Parent")
    child = await board.task("Child", parent_id=task.id)

    await board.client.done(ARCHIVE, id=id_of(task))

    assert (await board.row(child))["archived_at"] is None
    assert (await board.row(child))["parent_id"] == task.id


async def test_a_deleted_task_takes_all_that_hangs_on_it_along(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    label_id = await make_label(board.tenant, "ui")
    keeping = await other.task("Keeping")
    before = await everything(board.org_id)
    top = await board.task("Top")
    child = await board.task("Child", parent_id=top.id)
    grandchild = await board.task("Grandchild", parent_id=child.id)
    await board.client.done(UPDATE, id=id_of(child), input={"addedLabelIds": [label_id]})
    for source, target in ((keeping, grandchild), (top, keeping), (child, top)):
        await board.client.done(RELATE, fromId=id_of(source), toId=id_of(target), kind="RELATES_TO")
    async with board.tenant.member.acting() as actor:
        body = f"@({board.tenant.guest.id}) look"
        first = await comments.create(actor, child.id, body=body)
        await comments.create(actor, child.id, body=body, reply_to_id=first.id)
    logged = len(await board.facts())

    payload = await board.client.done(DELETE, id=id_of(top))

    after = await everything(board.org_id)
    log = {"event", "event_values", "event_counter", "project_counter"}
    assert payload["deletedId"] == id_of(top)
    assert {table: after[table] for table in after if table not in log} == {
        table: before[table] for table in before if table not in log
    }
    assert (await board.facts())[logged:] == [
        ("TASK_DELETED", {"identifier": f"WEB-{n}", "title": title})
        for n, title in enumerate(("Top", "Child", "Grandchild"), start=1)
    ]
    subjects = await rows(
        "SELECT subject_id FROM event WHERE org_id = $1 AND type = 'TASK_DELETED' ORDER BY seq", board.org_id
    )
    assert [row["subject_id"] for row in subjects] == [top.id, child.id, grandchild.id]


async def test_tasks_that_relate_to_each_other_are_deleted_at_once(board: Board) -> None:
    other = await make_board(board.tenant, name="Other")
    here, there = await board.tasks(*"ABCDEFGH"), await other.tasks(*"ABCDEFGH")
    for left, right in zip(here, there, strict=True):
        for source, target in ((left, right), (right, left)):
            await board.client.done(RELATE, fromId=id_of(source), toId=id_of(target), kind="DUPLICATES")

    await asyncio.gather(*(board.client.done(DELETE, id=id_of(task)) for task in (*here, *there)))

    assert (await everything(board.org_id))["task_relation"] == []


@pytest.mark.parametrize("document", [ARCHIVE, UNARCHIVE, DELETE], ids=["archive", "unarchive", "delete"])
async def test_a_strangers_task_is_as_an_unknown_one(board: Board, globex: Tenant, document: str) -> None:
    foreign = await (await make_board(globex)).task()

    async with unchanged(board.tenant, globex):
        answers = [
            await board.client.run(document, id=task_id)
            for task_id in (global_id("task", new_id()), id_of(foreign), board.id)
        ]

    assert answers[0].codes == ["NOT_FOUND"]
    assert [(answer.data, answer.errors) for answer in answers] == [(answers[0].data, answers[0].errors)] * 3


@pytest.mark.parametrize("document", [ARCHIVE, UNARCHIVE, DELETE], ids=["archive", "unarchive", "delete"])
@pytest.mark.parametrize("role", ["billing", "guest"])
async def test_who_may_only_read_puts_nothing_away(board: Board, document: str, role: str) -> None:
    task, person = await board.task(), getattr(board.tenant, role)
    assert isinstance(person, Person)

    async with unchanged(board.tenant):
        answer = await person.client.run(document, id=id_of(task))

    assert answer.codes == ["FORBIDDEN"]


async def _every_change(board: Board) -> list[tuple[str, dict[str, Any], list[str]]]:
    """Document, variables and the path of the refusal of each thing that can be done to tasks of the project."""
    other = await make_board(board.tenant, name="Other")
    task, related, there = await board.task("Task"), await board.task("Related"), await other.task("There")
    relation = await board.client.done(RELATE, fromId=id_of(task), toId=id_of(related), kind="BLOCKS")
    id = id_of(task)
    return [
        (CREATE, {"input": {"projectId": board.id, "title": "New"}}, ["input", "projectId"]),
        (UPDATE, {"id": id, "input": {"title": "New"}}, ["id"]),
        (UPDATE, {"id": id, "input": {"parentId": id_of(related)}}, ["id"]),
        (MOVE, {"id": id, "input": {"stateId": board.state("Done")}}, ["id"]),
        (TRANSFER, {"id": id, "projectId": other.id}, ["id"]),
        (TRANSFER, {"id": id_of(there), "projectId": board.id}, ["projectId"]),
        (ARCHIVE, {"id": id}, ["id"]),
        (UNARCHIVE, {"id": id}, ["id"]),
        (DELETE, {"id": id}, ["id"]),
        (RELATE, {"fromId": id, "toId": id_of(there), "kind": "BLOCKS"}, ["fromId"]),
        (RELATE, {"fromId": id_of(there), "toId": id, "kind": "BLOCKS"}, ["toId"]),
        (UNRELATE, {"id": relation["relation"]["id"]}, ["id"]),
        (COMMENT, {"input": {"taskId": id, "body": "New"}}, ["input", "taskId"]),
    ]


async def test_an_archived_project_refuses_every_change_of_its_tasks(board: Board) -> None:
    every = await _every_change(board)
    await board.archive()

    async with unchanged(board.tenant):
        found = [refusals(await board.client.refused(document, **variables)) for document, variables, _ in every]

    assert found == [[("CONFLICT", path)] for _, _, path in every]


async def test_no_change_commits_after_its_project_was_archived(board: Board) -> None:
    every = await _every_change(board)
    before = await board.facts()

    async with uncommitted(board.tenant.admin, lambda actor: projects.archive(actor, board.project.id)):
        # Each holds a connection while it waits: no more of them than tests/conftest.py gives the pool.
        racing = [
            await waiting(board.client.refused(document, **variables), others=n)
            for n, (document, variables, _) in enumerate(every[::2])
        ]
        waited = [not task.done() for task in racing]
    found = [refusals(await task) for task in racing]

    assert waited == [True] * len(racing)
    assert found == [[("CONFLICT", path)] for _, _, path in every[::2]]
    assert await board.facts() == before


async def test_archiving_waits_for_a_change_that_runs(board: Board) -> None:
    task = await board.task()

    async with uncommitted(board.tenant.admin, lambda actor: tasks.update(actor, task.id, title="In time")):
        archiving = await waiting(board.client.done(ARCHIVE_PROJECT, id=board.id))
        waited = not archiving.done()
    await archiving

    log = await rows("SELECT type FROM event WHERE org_id = $1 ORDER BY seq DESC LIMIT 2", board.org_id)
    assert waited
    assert [row["type"] for row in log] == ["PROJECT_ARCHIVED", "TASK_UPDATED"]


async def test_changes_that_run_while_a_project_is_archived_come_before_it_in_the_log(board: Board) -> None:
    made = await board.tasks(*"ABCDEFGH")

    async def change(n: int) -> int:
        given = {"title": f"{n}", "stateId": board.state("Done")}
        data = await board.client.ok(UPDATE, id=id_of(made[n % 8]), input=given)
        return not data["taskUpdate"]["errors"]

    done = await asyncio.gather(*map(change, range(12)), board.archive(), *map(change, range(12, 24)))

    log = [row["type"] for row in await rows("SELECT type FROM event WHERE org_id = $1 ORDER BY seq", board.org_id)]
    assert log[-1] == "PROJECT_ARCHIVED"
    assert log.count("TASK_UPDATED") == sum(filter(None, done))


async def test_two_kinds_of_relation_survive_what_is_not_deleted(board: Board) -> None:
    a, b, c = await board.tasks(*"ABC")
    for target in (b, c):
        await board.client.done(RELATE, fromId=id_of(a), toId=id_of(target), kind=RelationKind.BLOCKS.value)

    await board.client.done(DELETE, id=id_of(b))

    kept = await rows("SELECT from_id, to_id FROM task_relation WHERE org_id = $1", board.org_id)
    assert kept == [{"from_id": a.id, "to_id": c.id}]
