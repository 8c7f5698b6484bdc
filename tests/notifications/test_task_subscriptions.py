"""Who hears of a task: as a field, and as mutations that only the person themselves can make."""

from typing import Any

import pytest

from domain.base.permissions import Permission
from domain.comments import service as comments
from domain.organizations import api_keys
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.factories import Tenant, make_project, make_task, rows, statements
from tests.isolation.calls import of_nothing

_PAYLOAD = "{ task { id viewerIsSubscribed version } errors { code message path } }"
SUBSCRIBE = f"mutation ($id: ID!) {{ taskSubscribe(id: $id) {_PAYLOAD} }}"
UNSUBSCRIBE = f"mutation ($id: ID!) {{ taskUnsubscribe(id: $id) {_PAYLOAD} }}"
IS_SUBSCRIBED = "query ($id: ID!) { task(id: $id) { viewerIsSubscribed } }"
ALL = "query ($id: ID!) { project(id: $id) { tasks(first: 50) { nodes { number viewerIsSubscribed } } } }"


async def is_subscribed(client: GraphQL, id: str) -> Any:
    return (await client.ok(IS_SUBSCRIBED, id=id))["task"]["viewerIsSubscribed"]


async def test_assignee_creator_and_who_commented_are_subscribed(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme), assignee_id=acme.billing.user_id)
    id = global_id("task", task.id)
    everybody = (acme.admin, acme.member, acme.billing, acme.guest)

    assert [await is_subscribed(person.client, id) for person in everybody] == [False, True, True, False]
    async with acme.guest.acting() as actor:
        await comments.create(actor, task.id, body="Hello")
    async with acme.member.acting() as actor:
        await tasks.update(actor, task.id, assignee_id=acme.admin.user_id)

    assert [await is_subscribed(person.client, id) for person in everybody] == [True, True, False, True]


async def test_what_was_said_stands_until_the_contrary_is_said(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    id, guest, member = global_id("task", task.id), acme.guest.client, acme.member.client

    for client, document, expected in (
        (guest, SUBSCRIBE, True),
        (guest, SUBSCRIBE, True),
        (member, UNSUBSCRIBE, False),
    ):
        payload = await client.done(document, id=id)
        assert payload["task"] == {"id": id, "viewerIsSubscribed": expected, "version": 1}
    async with acme.member.acting() as actor:
        await comments.create(actor, task.id, body="Hello")
        await tasks.update(actor, task.id, assignee_id=acme.member.user_id)

    assert [await is_subscribed(client, id) for client in (guest, member)] == [True, False]
    assert (await guest.done(UNSUBSCRIBE, id=id))["task"]["viewerIsSubscribed"] is False
    assert (await member.done(SUBSCRIBE, id=id))["task"]["viewerIsSubscribed"] is True
    assert len(await rows("SELECT 1 FROM task_subscription WHERE task_id = $1", task.id)) == 2


async def test_a_deleted_task_takes_along_what_was_said_of_it(acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    await acme.guest.client.done(SUBSCRIBE, id=global_id("task", task.id))

    async with acme.member.acting() as actor:
        await tasks.delete(actor, task.id)

    assert await rows("SELECT 1 FROM task_subscription WHERE task_id = $1", task.id) == []


@pytest.mark.parametrize("document", [SUBSCRIBE, UNSUBSCRIBE], ids=["subscribe", "unsubscribe"])
async def test_strangers_and_keys_say_nothing(acme: Tenant, globex: Tenant, document: str) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))
    id = global_id("task", task.id)
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Robot", permissions=list(Permission))

    assert (await globex.admin.client.run(document, id=id)).codes == ["NOT_FOUND"]
    assert (await acme.admin.client.run(document, id=of_nothing("task"))).codes == ["NOT_FOUND"]
    assert (await GraphQL(made.secret).run(document, id=id)).codes == ["UNAUTHENTICATED"]
    assert (await GraphQL().run(document, id=id)).codes == ["UNAUTHENTICATED"]
    assert await rows("SELECT 1 FROM task_subscription WHERE task_id = $1", task.id) == []
    assert await is_subscribed(GraphQL(made.secret), id) is False


@pytest.mark.asked_once
async def test_fifty_tasks_take_as_many_statements_as_one(acme: Tenant) -> None:
    sent: dict[int, list[str]] = {}
    for count in (1, 50):
        project = await make_project(acme.member, acme, name=f"Project of {count}")
        for _ in range(count):
            await make_task(acme.member, project)
        id = global_id("project", project.id)
        await acme.member.client.ok(ALL, id=id)
        with statements() as sent[count]:
            found = await acme.member.client.ok(ALL, id=id)
        assert [node["viewerIsSubscribed"] for node in found["project"]["tasks"]["nodes"]] == [True] * count

    assert len(sent[50]) == len(sent[1])
