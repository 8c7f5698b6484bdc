"""The statements of a query depend on its shape and never on how many rows it shows."""

from typing import Any
from uuid import UUID

import pytest

from domain.comments import service as comments
from domain.tasks import relations
from domain.tasks.models import RelationKind
from tests.factories import execute, rows, statements
from tests.tasks.board import BULK, CREATE, TRANSFER, UPDATE, Board, id_of, item, make_board, make_label

NESTED = """
query ($id: ID!) {
  project(id: $id) {
    tasks(first: 100, filter: {parent: {isNull: true}}) {
      totalCount
      pageInfo { endCursor }
      nodes {
        title
        state { name allowedNext { name } }
        assignee { name }
        creator { ... on User { name } }
        labels { name }
        relations { kind inverse task { title state { name } } }
        comments(first: 3) {
          totalCount nodes { body author { ... on User { name } } mentions { name } replyTo { body } }
        }
        commentCount
        subtasks(first: 2) { totalCount nodes { number parent { title } } }
        availableTransitions { name }
        previousIdentifiers
        project { key organization { slug } }
        viewerPermissions
      }
    }
  }
}
"""
PLAIN = "query ($id: ID!) { tasks(organizationId: $id, first: 100) { nodes { identifier title rank project { id } } } }"


async def make_one(board: Board) -> None:
    """A task that has something of everything, in the second project."""
    guest = board.tenant.guest
    label_id = await make_label(board.tenant, "ui")
    source = await make_board(board.tenant, name="Source")
    task = await source.task("Task", assignee_id=guest.user_id)
    other = await source.task("Other")
    await source.task("Child", parent_id=task.id)
    await execute(
        "INSERT INTO task_label (id, org_id, task_id, label_id) VALUES (uuidv7(), $1, $2, $3)",
        board.org_id, task.id, label_id.removeprefix("label_"),
    )  # fmt: skip
    async with board.tenant.member.acting() as actor:
        await relations.create(actor, other.id, task.id, kind=RelationKind.BLOCKS)
        first = await comments.create(actor, task.id, body=f"@({guest.id})")
        await comments.create(actor, task.id, body="Re", reply_to_id=first.id)
    await board.client.done(TRANSFER, id=id_of(task), projectId=board.id)


async def multiply(board: Board, count: int) -> None:
    """Copies of the task with all that hangs on it, until there are `count`."""
    (have,) = await rows("SELECT count(*) AS n FROM task WHERE project_id = $1 AND parent_id IS NULL", board.project.id)
    (model,) = await rows("SELECT id FROM task WHERE project_id = $1 AND number = 1", board.project.id)
    await execute(
        """
        WITH copies AS (
          SELECT n, uuidv7() AS id, uuidv7() AS child_id, uuidv7() AS first_id
          FROM generate_series($2::int, $3::int - 1) AS n
        ), task_rows AS (
          INSERT INTO task (id, org_id, project_id, number, identifier, title, state_id, priority, assignee_id, rank,
            parent_id, creator_kind, creator_id, version, created_at, updated_at)
          SELECT CASE kind WHEN 0 THEN copies.id ELSE child_id END, org_id, project_id, n * 10 + 100 + kind,
            'COPY-' || n * 10 + kind, 'Copy', state_id, 0, assignee_id, 'z' || n * 10 + kind + 10000,
            CASE kind WHEN 1 THEN copies.id END, creator_kind, creator_id, 1, now(), now()
          FROM task, copies, generate_series(0, 1) AS kind WHERE task.id = $1
        ), labels AS (
          INSERT INTO task_label (id, org_id, task_id, label_id)
          SELECT uuidv7(), org_id, copies.id, label_id FROM task_label, copies WHERE task_id = $1
        ), former AS (
          INSERT INTO task_identifier (id, org_id, task_id, identifier)
          SELECT uuidv7(), org_id, copies.id, 'OLD-' || n FROM task_identifier, copies WHERE task_id = $1
        ), related AS (
          INSERT INTO task_relation (id, org_id, kind, from_id, to_id, created_at, updated_at)
          SELECT uuidv7(), org_id, kind, from_id, copies.id, now(), now() FROM task_relation, copies WHERE to_id = $1
        ), said AS (
          INSERT INTO comment (id, org_id, task_id, author_kind, author_id, body, reply_to_id, version, created_at,
            updated_at)
          SELECT CASE WHEN reply_to_id IS NULL THEN first_id ELSE uuidv7() END, org_id, copies.id, author_kind,
            author_id, body, CASE WHEN reply_to_id IS NOT NULL THEN first_id END, 1, now(), now()
          FROM comment, copies WHERE task_id = $1
        )
        INSERT INTO comment_mention (id, org_id, comment_id, user_id)
        SELECT uuidv7(), comment_mention.org_id, first_id, user_id
        FROM comment_mention JOIN comment ON comment.id = comment_id, copies WHERE task_id = $1
        """,
        model["id"], have["n"], count,
    )  # fmt: skip


async def test_a_nested_list_sends_as_many_statements_for_a_hundred_rows_as_for_one(board: Board) -> None:
    await make_one(board)
    client, sent_for = board.client, {}
    await client.ok(NESTED, id=board.id)

    for count in (1, 10, 100):
        await multiply(board, count)
        with statements() as sent:
            data = await client.ok(NESTED, id=board.id)
        found = data["project"]["tasks"]
        sent_for[count] = len(sent)
        assert len(found["nodes"]) == found["totalCount"] == count

    first, last = found["nodes"][0], found["nodes"][-1]
    assert last["subtasks"]["nodes"][0]["parent"] == {"title": last["title"]}
    assert last | {name: first[name] for name in ("title", "previousIdentifiers", "subtasks")} == first
    assert first["comments"]["totalCount"] == first["commentCount"] == 2
    assert [len(first[name]) for name in ("labels", "relations", "availableTransitions")] == [1, 1, 4]
    assert sent_for == dict.fromkeys((1, 10, 100), sent_for[1])
    # One finds the caller; each field that reads rows or counts them sends one.
    assert sent_for[1] == 24


@pytest.mark.parametrize("count", [1, 100])
async def test_a_flat_list_takes_the_caller_and_one_statement_a_table(board: Board, count: int) -> None:
    for n in range(count):
        await execute(
            "INSERT INTO task (id, org_id, project_id, number, identifier, title, state_id, priority, rank, "
            "creator_kind, version, created_at, updated_at) "
            "VALUES (uuidv7(), $1, $2, $3, $4, 'T', $5, 0, $4, 'SYSTEM', 1, now(), now())",
            board.org_id, board.project.id, n, f"a{n}", board.states["Todo"],
        )  # fmt: skip

    with statements() as sent:
        data = await board.client.ok(PLAIN, id=board.tenant.id)

    assert len(data["tasks"]["nodes"]) == count
    assert len([text for text in sent if " FROM task" in text]) == 1
    assert len([text for text in sent if " FROM project" in text]) == 1


CHANGE = "mutation ($id: ID!, $input: TaskUpdateInput!) { taskUpdate(id: $id, input: $input) { errors { code } } }"
CHANGES = """
mutation ($items: [TaskBulkUpdateItem!]!) { taskBulkUpdate(items: $items) { changedCount results { errors { code } } } }
"""


async def all_kinds(board: Board, count: int) -> list[dict[str, Any]]:
    """Items that change all that can be changed, in four projects and to four states of each."""
    add, remove = [await make_label(board.tenant, name) for name in ("add", "remove")]
    boards = [board, *[await make_board(board.tenant, name=f"Other {n}") for n in range(3)]]
    items = []
    for n in range(count):
        where = boards[n % 4]
        parent = await where.task(f"Parent {n}")
        task = await where.task(f"Task {n}", label_ids=[UUID(remove.removeprefix("label_"))])
        given: dict[str, Any] = {
            "title": f"Task {n}!",
            "description": "More",
            "priority": "HIGH",
            "dueDate": "2026-12-24",
            "estimate": n,
            "stateId": where.state(("Backlog", "In progress", "Done", "Canceled")[n // 4 % 4]),
            "assigneeId": (board.tenant.guest, board.tenant.admin)[n % 2].id,
            "parentId": id_of(parent),
            "addedLabelIds": [add],
            "removedLabelIds": [remove],
        }
        items.append(item(task, **given))
    return items


@pytest.mark.parametrize(("document", "count"), [(CHANGES, 14), (BULK, 22)], ids=["changed", "changed and shown"])
async def test_a_hundred_changes_of_every_kind_take_as_many_statements_as_one(
    board: Board, document: str, count: int
) -> None:
    items = await all_kinds(board, 101)
    sent_for = {}

    for now in (items[:1], items[1:]):
        with statements() as sent:
            data = await board.client.ok(document, items=now)
        sent_for[len(now)] = len(sent)
        assert data["taskBulkUpdate"]["changedCount"] == len(now)

    assert sent_for == {1: count, 100: count}


async def with_ids(board: Board, given: dict[str, Any]) -> dict[str, Any]:
    """The values with the ids of what they name."""
    ids = {
        "Done": board.state("Done"),
        "guest": board.tenant.guest.id,
        "parent": id_of(await board.task("Parent")),
        "label": await make_label(board.tenant, "ui"),
    }
    return {
        key: [ids[each] for each in value] if isinstance(value, list) else ids.get(value, value)
        for key, value in given.items()
    }


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, 4),
        ({"title": "New"}, 6),
        ({"stateId": "Done"}, 9),
        ({"assigneeId": "guest"}, 7),
        ({"parentId": "parent"}, 7),
        ({"addedLabelIds": ["label"]}, 9),
        (
            {
                "title": "New",
                "stateId": "Done",
                "assigneeId": "guest",
                "parentId": "parent",
                "addedLabelIds": ["label"],
            },
            14,
        ),
    ],
    ids=str,
)
async def test_a_single_change_takes_what_it_needs(board: Board, given: dict[str, Any], count: int) -> None:
    named = await with_ids(board, given)
    task = await board.task()
    await board.client.done(UPDATE, id=id_of(task), input={"title": "Warm"})

    with statements() as alone:
        await board.client.done(CHANGE, id=id_of(task), input=named)

    assert len(alone) == count


MAKE = "mutation ($input: TaskCreateInput!) { taskCreate(input: $input) { task { title } errors { code } } }"


@pytest.mark.parametrize(
    ("given", "count"),
    [
        # One finds the caller; then all at once, or place, row and log.
        ({"stateId": "Done"}, 2),
        ({"stateId": "Done", "parentId": "parent"}, 5),
        ({}, 6),
        ({"stateId": "Done", "assigneeId": "guest"}, 8),
        ({"stateId": "Done", "assigneeId": "guest", "labelIds": ["label"], "parentId": "parent"}, 11),
    ],
    ids=str,
)
async def test_a_creation_takes_what_it_needs(board: Board, given: dict[str, Any], count: int) -> None:
    named = await with_ids(board, given)

    with statements() as sent:
        await board.client.done(MAKE, input={"projectId": board.id, "title": "New", **named})

    assert len(sent) == count


async def test_a_membership_is_locked_before_a_label(board: Board) -> None:
    label_id, guest, task = await make_label(board.tenant, "ui"), board.tenant.guest.id, await board.task()
    given = {"projectId": board.id, "title": "New", "assigneeId": guest, "labelIds": [label_id]}

    for document, variables in (
        (CREATE, {"input": given}),
        (UPDATE, {"id": id_of(task), "input": {"assigneeId": guest, "addedLabelIds": [label_id]}}),
    ):
        with statements() as sent:
            await board.client.done(document, **variables)
        locking = [text for text in sent if " FOR " in text]
        locked = [table for text in locking for table in ("membership", "label") if f"FROM {table} " in text]
        assert locked == ["membership", "label"]
