"""Comments: written, edited by their author, deleted, answered."""

from typing import Any

import pytest

from domain.base.clock import frozen, new_id, now
from domain.comments import service as comments
from domain.projects import service as projects
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.comments.thread import DELETE, EDIT, write
from tests.factories import Person, Tenant, execute, rows
from tests.tasks.board import COMMENT, Board, id_of, make_board, refusals, unchanged
from tests.tasks.races import uncommitted, waiting

THREAD = """
query ($id: ID!) {
  task(id: $id) { commentCount comments { totalCount nodes { id body replyTo { body } task { id } } } }
}
"""


async def bodies(board: Board) -> list[str]:
    found = await rows("SELECT body FROM comment WHERE org_id = $1 ORDER BY id", board.org_id)
    return [row["body"] for row in found]


@pytest.mark.parametrize("role", ["admin", "member", "guest"])
async def test_whoever_may_comment_does(board: Board, role: str) -> None:
    task, person = await board.task(), getattr(board.tenant, role)

    payload = await person.client.done(COMMENT, input={"taskId": id_of(task), "body": "Fine by me"})

    assert payload["comment"] == {
        "id": payload["comment"]["id"],
        "body": "Fine by me",
        "version": 1,
        "editedAt": None,
        "mentions": [],
        "replyTo": None,
        "author": {"name": f"{role.title()} Acme"},
    }
    assert (await board.facts())[1:] == [("COMMENT_CREATED", {"task_id": str(task.id), "body": "Fine by me"})]
    assert (await board.row(task))["version"] == 1


async def test_a_billing_manager_reads_but_does_not_comment(board: Board) -> None:
    task = await board.task()
    await write(board.tenant.guest, task)

    async with unchanged(board.tenant):
        answer = await board.tenant.billing.client.run(COMMENT, input={"taskId": id_of(task), "body": "Costly"})
    data = await board.tenant.billing.client.ok(THREAD, id=id_of(task))

    assert answer.codes == ["FORBIDDEN"]
    assert data["task"]["commentCount"] == 1


async def test_comments_of_a_task_are_listed_oldest_first(board: Board) -> None:
    task, other = await board.tasks("Task", "Other")
    first = await write(board.tenant.guest, task, "First")
    await write(board.tenant.member, task, "Second", reply_to=first)
    await write(board.tenant.member, other, "Elsewhere")

    data = await board.client.ok(THREAD, id=id_of(task))

    nodes = data["task"]["comments"]["nodes"]
    assert data["task"]["commentCount"] == data["task"]["comments"]["totalCount"] == 2
    assert [(node["body"], node["replyTo"], node["task"]) for node in nodes] == [
        ("First", None, {"id": id_of(task)}),
        ("Second", {"body": "First"}, {"id": id_of(task)}),
    ]


@pytest.mark.parametrize("body", ["x", "é" * 20_000, " leading", "line\nline"], ids=lambda body: str(body)[:10])
async def test_a_body_is_kept_as_it_is(board: Board, body: str) -> None:
    await write(board.tenant.member, await board.task(), body)

    assert await bodies(board) == [body]


@pytest.mark.parametrize("body", ["", "  \n", "x" * 20_001], ids=lambda body: str(body)[:10])
async def test_a_body_that_is_empty_or_too_long_is_refused(board: Board, body: str) -> None:
    task = await board.task()
    comment_id = await write(board.tenant.member, task)

    async with unchanged(board.tenant):
        created = await board.client.refused(COMMENT, input={"taskId": id_of(task), "body": body})
        edited = await board.client.refused(EDIT, id=comment_id, body=body)

    assert refusals(created) == [("INVALID", ["input", "body"])]
    assert refusals(edited) == [("INVALID", ["body"])]


async def test_its_author_edits_a_comment(board: Board) -> None:
    comment_id = await write(board.tenant.guest, await board.task(), "Helo")

    with frozen(at := now()):
        payload = await board.tenant.guest.client.done(EDIT, id=comment_id, body="Hello", ifVersion=1)
    async with unchanged(board.tenant):
        again = await board.tenant.guest.client.done(EDIT, id=comment_id, body="Hello")

    edited = {"id": comment_id, "body": "Hello", "version": 2, "editedAt": at.isoformat().replace("+00:00", "Z")}
    assert payload["comment"] == again["comment"] == edited
    kind, fact = (await board.facts())[-1]
    assert (kind, fact["body"]) == ("COMMENT_UPDATED", {"was": "Helo", "now": "Hello"})
    assert set(fact) == {"task_id", "body"}


async def test_a_wrong_version_is_refused_with_the_comment_as_it_stands(board: Board) -> None:
    comment_id = await write(board.tenant.member, await board.task(), "First")
    await board.client.done(EDIT, id=comment_id, body="Second")

    async with unchanged(board.tenant):
        errors = await board.client.refused(EDIT, id=comment_id, body="Third", ifVersion=1)

    assert errors == [
        {
            "__typename": "StaleVersionError",
            "code": "STALE_VERSION",
            "message": errors[0]["message"],
            "path": ["ifVersion"],
            "currentVersion": 2,
            "current": {"id": comment_id, "body": "Second"},
        }
    ]


@pytest.mark.parametrize("role", ["admin", "guest", "billing"])
async def test_nobody_edits_anothers_comment(board: Board, role: str) -> None:
    comment_id = await write(board.tenant.member, await board.task())
    person: Person = getattr(board.tenant, role)

    async with unchanged(board.tenant):
        answer = await person.client.run(EDIT, id=comment_id, body="Not mine")

    assert answer.codes == ["FORBIDDEN"]


async def test_an_author_who_may_no_longer_comment_edits_and_deletes_nothing(board: Board) -> None:
    comment_id = await write(board.tenant.guest, await board.task())
    await execute("UPDATE membership SET role = 'BILLING_MANAGER' WHERE user_id = $1", board.tenant.guest.user_id)

    async with unchanged(board.tenant):
        edited = await board.tenant.guest.client.run(EDIT, id=comment_id, body="Still here")
        deleted = await board.tenant.guest.client.run(DELETE, id=comment_id)

    assert edited.codes == deleted.codes == ["FORBIDDEN"]


async def test_a_key_is_an_author_of_its_own(board: Board) -> None:
    make_key = "mutation ($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { secret errors { code } } }"
    given = {
        "organizationId": board.tenant.id,
        "name": "Bot",
        "permissions": ["ORG_READ", "MEMBERS_READ", "PROJECT_READ", "TASK_READ", "COMMENT_CREATE"],
    }
    key = GraphQL((await board.tenant.admin.client.done(make_key, input=given))["secret"])
    task = await board.task()
    of_maker = await write(board.tenant.admin, task, "By hand")

    of_key = (await key.done(COMMENT, input={"taskId": id_of(task), "body": "By key"}))["comment"]["id"]

    document = (
        "query ($id: ID!) { node(id: $id) { ... on Comment { author { __typename ... on ApiKeyActor { name } } } } }"
    )
    data = await board.client.ok(document, id=of_key)
    assert data["node"]["author"] == {"__typename": "ApiKeyActor", "name": "Bot"}
    assert (await key.run(EDIT, id=of_maker, body="Mine?")).codes == ["FORBIDDEN"]
    assert (await board.tenant.admin.client.run(EDIT, id=of_key, body="Mine?")).codes == ["FORBIDDEN"]
    assert (await key.done(EDIT, id=of_key, body="Mine"))["comment"]["body"] == "Mine"


@pytest.mark.parametrize(
    ("author", "deleter", "allowed"),
    [
        ("guest", "guest", True),
        ("guest", "member", True),
        ("member", "admin", True),
        ("member", "guest", False),
        ("guest", "billing", False),
    ],
)
async def test_a_comment_is_deleted_by_its_author_or_with_task_delete(
    board: Board, author: str, deleter: str, allowed: bool
) -> None:
    task = await board.task()
    comment_id = await write(getattr(board.tenant, author), task)
    person: Person = getattr(board.tenant, deleter)

    answer = await person.client.run(DELETE, id=comment_id)

    if allowed:
        assert answer.data == {"commentDelete": {"deletedId": comment_id, "errors": []}}
        assert (await board.facts())[2:] == [("COMMENT_DELETED", {"task_id": str(task.id)})]
        assert await bodies(board) == []
    else:
        assert answer.codes == ["FORBIDDEN"]
        assert (await board.facts())[2:] == []
        assert await bodies(board) == ["Hello"]


async def test_a_reply_stays_when_what_it_answers_is_deleted(board: Board) -> None:
    task = await board.task()
    first = await write(board.tenant.member, task, "First")
    await write(board.tenant.member, task, "Second", reply_to=first)

    await board.client.done(DELETE, id=first)

    data = await board.client.ok(THREAD, id=id_of(task))
    assert [(node["body"], node["replyTo"]) for node in data["task"]["comments"]["nodes"]] == [("Second", None)]


async def test_a_reply_answers_a_comment_of_the_same_task(board: Board, globex: Tenant) -> None:
    task, other, foreign = *await board.tasks("Task", "Other"), await (await make_board(globex)).task()
    elsewhere = [await write(board.tenant.member, other), await write(globex.member, foreign)]
    answers = []

    async with unchanged(board.tenant, globex):
        for reply_to in (global_id("comment", new_id()), *elsewhere, id_of(task)):
            given = {"taskId": id_of(task), "body": "Re", "replyToId": reply_to}
            answers.append(await board.client.refused(COMMENT, input=given))

    assert refusals(answers[0]) == [("INVALID", ["input", "replyToId"])]
    assert answers == [answers[0]] * 4


async def test_a_reply_to_a_comment_that_is_being_deleted_is_refused(board: Board) -> None:
    task = await board.task()
    async with board.tenant.member.acting() as actor:
        first = await comments.create(actor, task.id, body="First")

    async with uncommitted(board.tenant.admin, lambda actor: comments.delete(actor, first.id)):
        given = {"taskId": id_of(task), "body": "Re", "replyToId": global_id("comment", first.id)}
        replying = await waiting(board.client.refused(COMMENT, input=given))

    assert refusals(await replying) == [("INVALID", ["input", "replyToId"])]
    assert await bodies(board) == []


async def test_an_archived_project_refuses_every_change_of_its_comments(board: Board) -> None:
    task = await board.task()
    comment_id = await write(board.tenant.member, task)
    await board.archive()

    async with unchanged(board.tenant):
        created = await board.client.refused(COMMENT, input={"taskId": id_of(task), "body": "Late"})
        edited = await board.client.refused(EDIT, id=comment_id, body="Late")
        deleted = await board.client.refused(DELETE, id=comment_id)

    assert refusals(created) == [("CONFLICT", ["input", "taskId"])]
    assert refusals(edited) == refusals(deleted) == [("CONFLICT", ["id"])]
    assert (await board.client.ok(THREAD, id=id_of(task)))["task"]["commentCount"] == 1


async def test_no_change_of_a_comment_commits_after_its_project_was_archived(board: Board) -> None:
    task = await board.task()
    comment_id = await write(board.tenant.member, task)
    works: list[tuple[str, dict[str, Any]]] = [
        (COMMENT, {"input": {"taskId": id_of(task), "body": "Late"}}),
        (EDIT, {"id": comment_id, "body": "Late"}),
        (DELETE, {"id": comment_id}),
    ]

    async with uncommitted(board.tenant.admin, lambda actor: projects.archive(actor, board.project.id)):
        racing = [
            await waiting(board.client.refused(document, **variables), others=n)
            for n, (document, variables) in enumerate(works)
        ]
        waited = [not each.done() for each in racing]

    assert waited == [True] * 3
    assert [(await each)[0]["code"] for each in racing] == ["CONFLICT"] * 3
    assert await bodies(board) == ["Hello"]


async def test_a_comment_on_a_task_that_is_being_deleted_finds_no_task(board: Board) -> None:
    task = await board.task()
    comment_id = await write(board.tenant.member, task)

    async with uncommitted(board.tenant.admin, lambda actor: tasks.delete(actor, task.id)):
        writing = await waiting(board.client.run(COMMENT, input={"taskId": id_of(task), "body": "Late"}))
        editing = await waiting(board.client.run(EDIT, id=comment_id, body="Late"), others=1)

    assert [error["message"] for error in (await writing).errors] == ["There is no such task."]
    assert [error["message"] for error in (await editing).errors] == ["There is no such comment."]


async def test_a_strangers_task_or_comment_looks_like_an_unknown_one(board: Board, globex: Tenant) -> None:
    foreign = await (await make_board(globex)).task()
    comment_id = await write(globex.member, foreign)
    answers: list[list[Any]] = []

    async with unchanged(board.tenant, globex):
        for id in (global_id("task", new_id()), id_of(foreign), comment_id):
            answers.append([await board.client.run(COMMENT, input={"taskId": id, "body": "Hi"})])
        for id in (global_id("comment", new_id()), comment_id, id_of(foreign)):
            answers.append([await board.client.run(EDIT, id=id, body=""), await board.client.run(DELETE, id=id)])

    for same in (answers[:3], answers[3:]):
        expected = [(answer.data, answer.errors) for answer in same[0]]
        assert {code for answer in same[0] for code in answer.codes} == {"NOT_FOUND"}
        assert [[(answer.data, answer.errors) for answer in each] for each in same] == [expected] * 3
