"""`events` over a socket: what was committed after the cursor, then what is committed from now on, each event once."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.base.clock import frozen, new_id, now
from domain.base.database import tx
from domain.base.settings import Settings
from domain.events import cursors
from domain.events.follow import LOOK_EVERY_S, PAGE, TAIL_CHARACTERS, TAIL_EVENTS
from domain.labels import service as labels
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import GraphQL
from tests.events.live import (
    EVENTS,
    begun,
    leaving_nothing,
    next_is_told,
    served,
    taken,
    tell,
    telling_nobody,
)
from tests.events.log import cursor, ids
from tests.factories import Tenant, execute, make_project, make_task, statements
from tests.sockets import Ended, opened

WITH_SUBJECT = """
subscription ($id: ID!, $after: String) {
  events(organizationId: $id, after: $after) {
    type subject { ... on Task { title } ... on Label { name } } actor { ... on User { name } }
  }
}
"""
WITH_CURSORS = """
subscription ($id: ID!, $after: String) {
  events(organizationId: $id, after: $after) { cursor organization { eventCursor } }
}
"""


def found_ids(found: list[Any]) -> list[str]:
    return [event["id"] for event in found]


@pytest.mark.asked_once
@pytest.mark.parametrize("before", [0, 1, PAGE, 2 * PAGE + 7, TAIL_EVENTS + PAGE + 1])
async def test_replay_goes_over_into_live_without_gap_or_double(
    address: str, settings: Settings, acme: Tenant, before: int
) -> None:
    start, changes, at_once = await cursor(acme.guest.client, acme), 40, 3
    await tell(acme, before)

    async def change() -> None:
        for _ in range(changes):
            await tell(acme, at_once)

    async with opened(address, acme.guest.token) as socket:
        early = await socket.run(EVENTS, id=acme.id, after=start)
        changing = asyncio.create_task(change())
        # The second begins somewhere in the middle of it all, on the tail that the first has begun.
        middle = await cursor(acme.guest.client, acme)
        late = await socket.run(EVENTS, id=acme.id, after=middle)
        all_of_it = await taken(early, before + changes * at_once)
        await changing
        log = await ids(acme.org_id)
        since = log[cursors.read(settings, acme.org_id, middle) :]
        some_of_it = await taken(late, len(since))
        await next_is_told(acme, early)

    assert found_ids(all_of_it) == log
    assert found_ids(some_of_it) == since


async def test_events_too_large_for_a_tail_come_all_the_same(address: str, acme: Tenant) -> None:
    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)

        for characters in (TAIL_CHARACTERS // 3, TAIL_CHARACTERS, 10):
            await tell(acme, 5, "x" * (characters // 2))
        found = await taken(stream, 15)
        await next_is_told(acme, stream)

    assert found_ids(found) == (await ids(acme.org_id))[:15]


async def test_without_a_cursor_it_begins_now(address: str, acme: Tenant) -> None:
    await tell(acme, 3)

    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        await tell(acme, 2)
        found = await taken(stream, 2)
        await next_is_told(acme, stream)

    assert found_ids(found) == (await ids(acme.org_id))[3:5]


@pytest.mark.parametrize("live", [True, False])
async def test_a_filter_keeps_what_it_says_in_replay_and_live(address: str, acme: Tenant, live: bool) -> None:
    project, other = await make_project(acme.member, acme), await make_project(acme.member, acme, name="App")
    start = await cursor(acme.guest.client, acme)
    project_id = global_id("project", project.id)
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({"types": ["TASK_CREATED", "LABEL_CREATED"]}, ["TASK_CREATED", "TASK_CREATED", "LABEL_CREATED"]),
        ({"types": []}, []),
        ({"projectId": project_id}, ["TASK_CREATED", "TASK_UPDATED"]),
        ({"types": ["TASK_UPDATED"], "projectId": project_id}, ["TASK_UPDATED"]),
        ({"subjectId": global_id("project", project.id)}, []),
    ]
    async with opened(address, acme.guest.token) as socket:
        streams = [await begun(socket, EVENTS, id=acme.id, filter=each) for each, _ in filters] if live else []
        task = await make_task(acme.member, project)
        await make_task(acme.member, other)
        async with acme.member.acting() as actor:
            await labels.create(actor, acme.org_id, name="Bug", color="#ff0000")
            await tasks.update(actor, task.id, title="Print the page")
        if not live:
            filters.append(({"subjectId": global_id("task", task.id)}, ["TASK_CREATED", "TASK_UPDATED"]))
            streams = [await socket.run(EVENTS, id=acme.id, after=start, filter=each) for each, _ in filters]
        whole = await socket.run(EVENTS, id=acme.id, after=start)
        for stream, (_, wanted) in zip(streams, filters, strict=True):
            assert [event["type"] for event in await taken(stream, len(wanted))] == wanted
        await taken(whole, 4)
        await next_is_told(acme, whole)

        assert all(stream.received.empty() for stream in streams)


async def test_a_cursor_that_leads_nowhere_ends_its_operation_alone(
    address: str, settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    await tell(acme)
    with frozen(now() - timedelta(days=settings.event_cursor_days + 1)):
        too_old = cursors.write(settings, acme.org_id, 1)
    refused = {
        "garbage": "BAD_USER_INPUT",
        "": "BAD_USER_INPUT",
        await cursor(globex.admin.client, globex): "BAD_USER_INPUT",
        cursors.write(replace(settings, secret_key="x" * 40), acme.org_id, 1): "BAD_USER_INPUT",
        too_old: "RESYNC_REQUIRED",
        cursors.write(settings, acme.org_id, 2): "RESYNC_REQUIRED",
    }

    async with opened(address, acme.guest.token) as socket:
        going_on = await begun(socket, EVENTS, id=acme.id)
        for after, code in refused.items():
            stream = await socket.run(EVENTS, id=acme.id, after=after)
            with pytest.raises(Ended) as end:
                await stream.next()
            assert [error["extensions"]["code"] for error in end.value.errors or ()] == [code]
        await next_is_told(acme, going_on)


@pytest.mark.parametrize("filter", [{"projectId": "nonsense"}, {"subjectId": "nonsense"}, {"projectId": "task_1"}])
async def test_a_filter_by_no_id_is_bad_user_input(address: str, acme: Tenant, filter: dict[str, str]) -> None:
    async with leaving_nothing(), opened(address, acme.guest.token) as socket:
        stream = await socket.run(EVENTS, id=acme.id, filter=filter)

        assert await stream.codes() == ["BAD_USER_INPUT"]


async def test_what_an_event_shows_is_read_anew_for_each(address: str, acme: Tenant) -> None:
    task = await make_task(acme.member, await make_project(acme.member, acme))

    async with opened(address, acme.guest.token) as socket:
        # Two of one document on one socket, of which each has its own loaders.
        streams = [await begun(socket, WITH_SUBJECT, id=acme.id) for _ in range(2)]
        for title, name in (("One", "Mia"), ("Two", "Maria"), ("Three", "Mary")):
            await execute("UPDATE users SET name = $1 WHERE id = $2", name, acme.member.user_id)
            async with acme.member.acting() as actor:
                await tasks.update(actor, task.id, title=title)
            for stream in streams:
                shown = {"type": "TASK_UPDATED", "subject": {"title": title}, "actor": {"name": name}}
                assert await stream.data() == shown


async def test_a_position_inside_an_event_is_not_before_the_event(
    address: str, settings: Settings, acme: Tenant
) -> None:
    start = await cursor(acme.guest.client, acme)
    await tell(acme, 3)

    async with opened(address, acme.guest.token) as socket:
        stream = await socket.run(WITH_CURSORS, id=acme.id, after=start)
        for number in range(1, 6):
            found = await stream.data()
            own, head = found["cursor"], found["organization"]["eventCursor"]
            assert cursors.read(settings, acme.org_id, own) == number
            assert cursors.read(settings, acme.org_id, head) >= number
            await tell(acme)


async def test_what_no_wake_up_told_comes_within_about_a_second(address: str, acme: Tenant) -> None:
    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        with telling_nobody():
            began = time.monotonic()
            await tell(acme, 20)
            found = await taken(stream, 20)
            took_s = time.monotonic() - began

    assert found_ids(found) == await ids(acme.org_id)
    assert took_s < LOOK_EVERY_S + 1


async def test_without_redis_all_of_it_comes(settings: Settings, acme: Tenant) -> None:
    away = replace(settings, redis_url="unix:///nowhere/redis.sock")

    async with served(away) as server, opened(server.address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)
        for _ in range(3):
            await tell(acme, 2)
            await taken(stream, 2)
        await next_is_told(acme, stream)


async def told_in_vain(tenant: Tenant) -> None:
    """Write events in a transaction that fails."""
    async with tenant.admin.acting(), tx():
        await tell(tenant, 3)
        raise ZeroDivisionError


async def test_what_is_rolled_back_is_never_sent(address: str, acme: Tenant) -> None:
    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, EVENTS, id=acme.id)

        with pytest.raises(ZeroDivisionError):
            await told_in_vain(acme)
        await next_is_told(acme, stream)


async def test_any_number_of_subscribers_share_one_read_of_the_log(address: str, acme: Tenant) -> None:
    changes, reads = 10, {}

    for subscribers in (1, 20):
        async with opened(address, acme.guest.token) as socket, opened(address, acme.member.token) as other:
            streams = [await begun(each, EVENTS, id=acme.id) for each in [socket, other] * (subscribers // 2 or 1)]
            await tell(acme)
            for stream in streams:
                await taken(stream, 1)
            with statements() as sent:
                for _ in range(changes):
                    await tell(acme)
                    for stream in streams:
                        await taken(stream, 1)
        reads[subscribers] = len([each for each in sent if " FROM event " in each])

    # The look that happens once a second may find a change before the wake-up does.
    assert all(changes <= number <= changes + 2 for number in reads.values())


async def test_a_bug_in_one_event_is_masked_and_the_next_comes(address: str, acme: Tenant) -> None:
    async with opened(address, acme.guest.token) as socket:
        stream = await begun(socket, WITH_SUBJECT, id=acme.id)
        await execute("ALTER TABLE label RENAME COLUMN name TO broken")
        try:
            await tell(acme)
            broken = await stream.next()
        finally:
            await execute("ALTER TABLE label RENAME COLUMN broken TO name")
        await tell(acme)
        whole = await stream.data()

    assert broken["data"]["events"] == {"type": "LABEL_UPDATED", "subject": None, "actor": whole["actor"]}
    assert [error["extensions"]["code"] for error in broken["errors"]] == ["INTERNAL"]
    assert "broken" not in broken["errors"][0]["message"]


async def test_an_id_that_is_free_again_begins_another_subscription(address: str, acme: Tenant) -> None:
    start = await cursor(acme.guest.client, acme)

    async with opened(address, acme.guest.token) as socket:
        stream = await socket.run(EVENTS, id=acme.id, after=start)
        payload = {"query": EVENTS, "variables": {"id": acme.id, "after": start}}
        for told in range(1, 6):
            await tell(acme)
            await taken(stream, told)
            await stream.stop()
            await socket.send({"id": stream.id, "type": "subscribe", "payload": payload})
        found = await taken(stream, 5)
        await next_is_told(acme, stream)
        await socket.send({"id": stream.id, "type": "subscribe", "payload": payload})

        assert await socket.close_code() == 4409
    assert found_ids(found) == (await ids(acme.org_id))[:5]


async def test_over_http_a_subscription_is_refused(acme: Tenant) -> None:
    answer = await acme.guest.client.run(EVENTS, id=acme.id)
    nobody = await GraphQL().run(EVENTS, id=global_id("organization", new_id()))

    assert (answer.data, answer.codes) == (None, ["BAD_USER_INPUT"])
    assert (nobody.data, nobody.codes) == (None, ["BAD_USER_INPUT"])
