"""The inbox: what it shows, page by page, what is marked there, and that counts equal lists whoever left what."""

import asyncio

import pytest

from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.comments import service as comments
from domain.identity import accounts
from domain.notifications import cursors
from domain.organizations import api_keys, memberships
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Person, Tenant, execute, make_member, rows, statements
from tests.isolation.calls import of_nothing
from tests.notifications.reading import ALL_READ, INBOX, READ, SHOWN, UNREAD, assigned, ids_of, unread_ids
from tests.notifications.telling import inbox, tell_all


async def enter(tenant: Tenant, person: Person) -> None:
    """Make the person a member."""
    async with tenant.admin.acting() as actor:
        await memberships.join(actor, tenant.org_id, person.user_id, role=Role.MEMBER)


async def remove(tenant: Tenant, person: Person) -> None:
    """End the person's membership."""
    statement = "SELECT id FROM membership WHERE org_id = $1 AND user_id = $2 AND ended_at IS NULL"
    (membership,) = await rows(statement, tenant.org_id, person.user_id)
    async with tenant.admin.acting() as actor:
        await memberships.delete(actor, membership["id"])


async def test_an_entry_shows_what_happened(acme: Tenant, settings: Settings) -> None:
    (event,) = await assigned(acme, acme.member)
    async with acme.admin.acting() as actor:
        said = await comments.create(actor, event.subject_id, body=f"@({acme.member.id})")
    await tell_all(acme.org_id)

    found = await acme.member.client.ok(SHOWN)

    edges = found["viewer"]["notifications"]["edges"]
    nodes = [edge["node"] for edge in edges]
    assert [node.pop("id")[:13] for node in nodes] == ["notification_"] * 2
    assert all(node.pop("createdAt") for node in nodes)
    common = {
        "readAt": None,
        "organization": {"name": "Acme"},
        "actor": {"__typename": "User", "name": "Admin Acme"},
    }
    assert nodes == [
        {
            "kind": "MENTIONED",
            "cursor": cursors.write(settings, acme.member.user_id, 2),
            "title": "Admin Acme mentioned you on DES-1 Sort the papers",
            "event": {"type": "COMMENT_CREATED"},
            "subject": {"__typename": "Comment", "id": global_id("comment", said.id)},
            **common,
        },
        {
            "kind": "TASK_ASSIGNED",
            "cursor": cursors.write(settings, acme.member.user_id, 1),
            "title": "Admin Acme assigned DES-1 Sort the papers to you",
            "event": {"type": "TASK_ASSIGNED"},
            "subject": {"__typename": "Task", "id": global_id("task", event.subject_id)},
            **common,
        },
    ]


async def test_a_title_has_the_names_of_today_and_none_of_what_is_gone(acme: Tenant) -> None:
    (event,) = await assigned(acme, acme.member)
    async with acme.admin.acting() as actor:
        await accounts.profile_update(actor, name="Grace")
        await tasks.update(actor, event.subject_id, title="Burn the papers")
    renamed = (await acme.member.client.ok(SHOWN))["viewer"]["notifications"]["edges"][0]["node"]
    async with acme.admin.acting() as actor:
        await tasks.delete(actor, event.subject_id)
    gone = (await acme.member.client.ok(SHOWN))["viewer"]["notifications"]["edges"][0]["node"]

    assert renamed["title"] == "Grace assigned DES-1 Burn the papers to you"
    assert (gone["title"], gone["subject"]) == ("Grace assigned a task to you", None)


async def test_pages_come_newest_first_each_entry_once(acme: Tenant) -> None:
    await assigned(acme, acme.member, 7)
    client, found, after = acme.member.client, [], None

    for size in (3, 3, 1):
        page = (await client.ok(INBOX, first=size, after=after))["viewer"]["notifications"]
        found += [node["id"] for node in page["nodes"]]
        assert (page["totalCount"], len(page["nodes"])) == (7, size)
        assert page["pageInfo"]["hasNextPage"] == (len(found) < 7)
        after = page["pageInfo"]["endCursor"]

    numbered = await rows("SELECT id FROM notification WHERE user_id = $1 ORDER BY seq DESC", acme.member.user_id)
    assert found == [global_id("notification", row["id"]) for row in numbered] == await ids_of(client)


@pytest.mark.asked_once
async def test_fifty_entries_take_as_many_statements_as_one(acme: Tenant) -> None:
    sent: dict[int, list[str]] = {}
    for count, person in ((1, acme.member), (50, acme.guest)):
        await assigned(acme, person, count)
        await person.client.ok(SHOWN)
        with statements() as sent[count]:
            found = await person.client.ok(SHOWN)
        assert len(found["viewer"]["notifications"]["edges"]) == count

    assert len(sent[50]) == len(sent[1]) < 15


async def test_marking_counts_and_repeats_change_nothing(acme: Tenant) -> None:
    await assigned(acme, acme.member, 4)
    client = acme.member.client
    newest, second, third, oldest = await ids_of(client)

    assert await client.done(READ, ids=[newest, third]) == {"unreadCount": 2, "errors": []}
    assert await unread_ids(client) == [second, oldest]
    before = await rows("SELECT id, read_at FROM notification WHERE user_id = $1 ORDER BY id", acme.member.user_id)
    assert await client.done(READ, ids=[third, third]) == {"unreadCount": 2, "errors": []}
    assert before == await rows(
        "SELECT id, read_at FROM notification WHERE user_id = $1 ORDER BY id", acme.member.user_id
    )
    assert await client.done(UNREAD, ids=[third]) == {"unreadCount": 3, "errors": []}
    assert await unread_ids(client) == [second, third, oldest]
    assert await client.done(ALL_READ) == {"unreadCount": 0, "errors": []}
    assert await unread_ids(client) == []
    assert await client.done(READ, ids=[]) == {"unreadCount": 0, "errors": []}


async def test_nobody_reads_or_marks_anothers_entries(acme: Tenant, globex: Tenant) -> None:
    await assigned(acme, acme.member, 2)
    (newest, oldest) = await ids_of(acme.member.client)
    before = await rows("SELECT * FROM notification WHERE user_id = $1 ORDER BY seq", acme.member.user_id)

    for person in (acme.admin, acme.guest, globex.admin):
        await assigned(globex, globex.admin) if person is globex.admin else None
        for ids in ([newest], [oldest, of_nothing("notification")]):
            for document in (READ, UNREAD):
                assert (await person.client.run(document, ids=ids)).codes == ["NOT_FOUND"]
        assert await person.client.done(ALL_READ) == {"unreadCount": 0, "errors": []}
        assert await ids_of(person.client) == []
        assert await person.client.ok("query ($id: ID!) { node(id: $id) { id } }", id=newest) == {"node": None}

    assert await rows("SELECT * FROM notification WHERE user_id = $1 ORDER BY seq", acme.member.user_id) == before


async def test_one_id_that_is_wrong_leaves_all_unmarked(acme: Tenant) -> None:
    await assigned(acme, acme.member, 2)
    client = acme.member.client
    (newest, oldest) = await ids_of(client)

    for ids, code in (
        ([newest, of_nothing("notification")], "NOT_FOUND"),
        ([newest, of_nothing("task")], "NOT_FOUND"),
        ([newest, "rubbish"], "BAD_USER_INPUT"),
        ([newest] * 101, "BAD_USER_INPUT"),
    ):
        assert (await client.run(READ, ids=ids)).codes == [code]

    assert await unread_ids(client) == [newest, oldest]


async def test_entries_of_an_organization_that_was_left_are_hidden_until_it_is_joined_again(
    acme: Tenant, globex: Tenant
) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)
    await enter(globex, person)
    await assigned(acme, person, 2)
    await assigned(globex, person, 3)
    everything = await ids_of(person.client)

    await remove(globex, person)
    left = await ids_of(person.client)
    hidden = [id for id in everything if id not in left]
    assert (len(everything), len(left)) == (5, 2)
    assert (await person.client.run(READ, ids=hidden[:1])).codes == ["NOT_FOUND"]
    assert await person.client.ok("query ($id: ID!) { node(id: $id) { id } }", id=hidden[0]) == {"node": None}
    await assigned(globex, person)
    assert await ids_of(person.client) == left
    assert await person.client.done(ALL_READ) == {"unreadCount": 0, "errors": []}

    await enter(globex, person)
    assert await ids_of(person.client) == everything
    assert await unread_ids(person.client) == hidden


async def test_an_api_key_has_no_inbox(acme: Tenant) -> None:
    await assigned(acme, acme.member, 1)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Robot", permissions=list(Permission))
    await execute("UPDATE notification SET user_id = $1 WHERE user_id = $2", acme.admin.user_id, acme.member.user_id)
    (id,) = await ids_of(acme.admin.client)
    key = GraphQL(made.secret)

    assert await ids_of(key) == []
    for document, ids in ((READ, {"ids": [id]}), (UNREAD, {"ids": [id]}), (ALL_READ, {})):
        assert (await key.run(document, **ids)).codes == ["UNAUTHENTICATED"]
    assert await unread_ids(acme.admin.client) == [id]


async def test_a_cursor_of_another_list_is_refused(acme: Tenant) -> None:
    await assigned(acme, acme.member, 2)
    client = acme.member.client
    cursor = (await client.ok(INBOX, first=1))["viewer"]["notifications"]["pageInfo"]["endCursor"]

    for variables in ({"after": cursor, "unreadOnly": True}, {"after": "rubbish"}, {"first": 101}, {"first": 0}):
        assert (await client.run(INBOX, **variables)).codes == ["BAD_USER_INPUT"]


async def test_numbers_go_on_behind_what_the_clean_up_dropped(acme: Tenant) -> None:
    await assigned(acme, acme.member, 3)
    await execute("DELETE FROM notification WHERE user_id = $1", acme.member.user_id)

    await assigned(acme, acme.member)

    assert [seq for seq, _ in await inbox(acme.member.user_id)] == [4]
    assert len(await unread_ids(acme.member.client)) == 1


async def test_marking_at_once_from_many_devices_ends_in_one_truth(acme: Tenant) -> None:
    await assigned(acme, acme.member, 10)
    client = acme.member.client
    ids = await ids_of(client)

    answers = await asyncio.gather(
        *(client.done(READ, ids=ids[start:] + ids[:start]) for start in range(5)),
        *(client.done(UNREAD, ids=ids[::-1]) for _ in range(5)),
        *(client.done(ALL_READ) for _ in range(3)),
    )

    assert {answer["unreadCount"] for answer in answers} <= {0, 10}
    assert len(await unread_ids(client)) in (0, 10)
