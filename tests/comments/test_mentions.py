"""Mentions: `@(user id)` in a body, for members of the organization."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.base.clock import new_id
from domain.base.permissions import Role
from domain.comments import mentions
from graph.base.ids import global_id
from tests.comments.thread import EDIT, write
from tests.factories import Person, Tenant, execute, make_member, rows
from tests.tasks.board import COMMENT, Board, id_of, refusals, unchanged

MENTIONS = "query ($id: ID!) { node(id: $id) { ... on Comment { body mentions { name email } } } }"


@given(st.lists(st.uuids(), max_size=5), st.text(max_size=20).filter(lambda text: "@(" not in text))
def test_whoever_a_body_names_is_found_once_in_order(people: list[object], between: str) -> None:
    body = between.join(f"@({global_id('user', person)})" for person in people * 2)  # type: ignore[arg-type]

    assert mentions.mentioned(body) == list(dict.fromkeys(people))


@pytest.mark.parametrize(
    "body",
    [
        "@(user_0)",
        f"@({'user_' + 'A' * 32})",
        f"@(task_{'0' * 32})",
        f"@( user_{'0' * 32})",
        f"@user_{'0' * 32}",
        f"@(user_{'0' * 33})",
        "@()",
    ],
)
def test_what_is_no_mention_is_plain_text(body: str) -> None:
    assert mentions.mentioned(body) == []


async def test_members_are_mentioned_each_once_in_the_order_of_the_body(board: Board) -> None:
    guest, admin = board.tenant.guest, board.tenant.admin

    comment_id = await write(
        board.tenant.member, await board.task(), f"@({guest.id}) and @({admin.id}), again @({guest.id})"
    )

    data = await board.tenant.billing.client.ok(MENTIONS, id=comment_id)
    assert data["node"]["mentions"] == [
        {"name": "Guest Acme", "email": guest.email},
        {"name": "Admin Acme", "email": admin.email},
    ]
    assert (await board.facts("COMMENT_CREATED"))[0][1]["mentions"] == [str(guest.user_id), str(admin.user_id)]


async def test_who_is_no_member_is_not_mentioned(board: Board, globex: Tenant) -> None:
    left = await make_member(board.org_id, Role.MEMBER)
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", left.user_id)
    task, answers = await board.task(), []
    comment_id = await write(board.tenant.member, task)

    async with unchanged(board.tenant, globex):
        for user_id in (global_id("user", new_id()), globex.member.id, left.id):
            body = f"Ask @({board.tenant.guest.id}) or @({user_id})"
            answers.append(await board.client.refused(COMMENT, input={"taskId": id_of(task), "body": body}))
            edited = await board.client.refused(EDIT, id=comment_id, body=body)
            assert refusals(edited) == [("INVALID", ["body"])]

    assert refusals(answers[0]) == [("INVALID", ["input", "body"])]
    assert answers == [answers[0]] * 3


async def test_editing_keeps_changes_and_drops_mentions(board: Board) -> None:
    guest, admin = board.tenant.guest, board.tenant.admin
    comment_id = await write(board.tenant.member, await board.task(), f"@({guest.id})")

    await board.client.done(EDIT, id=comment_id, body=f"Now @({admin.id}) and @({guest.id})")
    both = await board.client.ok(MENTIONS, id=comment_id)
    await board.client.done(EDIT, id=comment_id, body=f"@({guest.id}) with @({admin.id})")
    await board.client.done(EDIT, id=comment_id, body="Nobody")
    none = await board.client.ok(MENTIONS, id=comment_id)

    assert [person["name"] for person in both["node"]["mentions"]] == ["Admin Acme", "Guest Acme"]
    assert none["node"]["mentions"] == []
    assert [fact.get("mentions") for _, fact in await board.facts("COMMENT_UPDATED")] == [
        {"was": [str(guest.user_id)], "now": [str(admin.user_id), str(guest.user_id)]},
        None,
        {"was": [str(guest.user_id), str(admin.user_id)], "now": []},
    ]


async def test_who_left_can_be_kept_in_a_body_but_not_be_put_back(board: Board) -> None:
    leaving: Person = await make_member(board.org_id, Role.MEMBER, "Lea Leaving")
    comment_id = await write(board.tenant.member, await board.task(), f"@({leaving.id})")
    await execute("UPDATE membership SET ended_at = now() WHERE user_id = $1", leaving.user_id)

    await board.client.done(EDIT, id=comment_id, body=f"Thanks, @({leaving.id})")
    kept = await board.client.ok(MENTIONS, id=comment_id)
    await board.client.done(EDIT, id=comment_id, body="Thanks")
    errors = await board.client.refused(EDIT, id=comment_id, body=f"@({leaving.id})")

    assert kept["node"]["mentions"] == [{"name": "Lea Leaving", "email": None}]
    assert refusals(errors) == [("INVALID", ["body"])]
    assert await rows("SELECT FROM comment_mention WHERE org_id = $1", board.org_id) == []


async def test_fifty_people_are_mentioned_and_one_more_is_refused(board: Board) -> None:
    task = await board.task()
    people = [board.tenant.member, *[await make_member(board.org_id, Role.GUEST) for _ in range(50)]]
    named = [f"@({person.id})" for person in people]

    comment_id = await write(board.tenant.member, task, " ".join(named[:50]))
    async with unchanged(board.tenant):
        created = await board.client.refused(COMMENT, input={"taskId": id_of(task), "body": " ".join(named)})
        edited = await board.client.refused(EDIT, id=comment_id, body=" ".join(named))

    data = await board.client.ok(MENTIONS, id=comment_id)
    assert len(data["node"]["mentions"]) == 50
    assert refusals(created) == [("INVALID", ["input", "body"])]
    assert refusals(edited) == [("INVALID", ["body"])]
