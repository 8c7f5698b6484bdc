"""Subscriptions keep tenants apart: swept from the schema, each place of an id, while the other tenant is busy."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.comments import service as comments
from domain.organizations import api_keys, memberships
from domain.projects import service as projects
from domain.tasks import service as tasks
from graph.base.ids import global_id
from tests.client import UNLIMITED
from tests.events.live import EVENTS, begun, leaving_nothing, served, taken, until
from tests.factories import make_person
from tests.isolation.calls import Call, Field, Path, call, of_nothing, own, places, subscriptions, with_one
from tests.isolation.ledger import open_ledger
from tests.isolation.sweep import Tenants
from tests.isolation.world import World, make_world, point_at
from tests.notifications.telling import tell_all
from tests.sockets import Client, Ended, Stream, opened

# They follow the viewer's own inbox, so there is no id of anything in them.
OWN = ("notificationAdded", "unreadNotificationCount")
INBOX = """
subscription {
  notificationAdded {
    id kind cursor title organization { id name } actor { ... on User { id name email } }
    event { id type project { name } } subject { ... on Comment { body task { title } } }
  }
}
"""
FOLLOW_TASK = """
subscription ($id: ID!) { events(organizationId: $id, filter: {types: [TASK_UPDATED]}) { type subjectId } }
"""


@pytest.fixture(scope="module")
async def address(settings: Settings, adapters: Adapters) -> AsyncIterator[str]:
    """host:port of a server without limits: what is selected here is all that there is."""
    async with served(settings, limits=UNLIMITED) as server:
        yield server.address


@pytest.fixture(scope="module")
async def tenants(settings: Settings, adapters: Adapters) -> AsyncIterator[Tenants]:
    """Who follows, and who is busy meanwhile."""
    async with AsyncExitStack() as stack:
        mine, theirs = await make_world("wallaby", "WAL"), await make_world("potoroo", "POT")
        await point_at(mine, theirs)
        ledger = open_ledger(settings, mine.tenant.org_id, theirs.tenant.org_id)
        yield Tenants(mine, theirs, await stack.enter_async_context(ledger))


async def be_busy(world: World) -> None:
    """Change something of every kind, and what it held when it was followed."""
    task_id, org_id = world.ids["task"], world.tenant.org_id
    async with world.admin.acting() as actor:
        await tasks.update(actor, task_id, title=f"{world.marker} again")
        comment = await comments.create(actor, task_id, body=f"{world.marker} says @({world.tenant.member.id})")
        await comments.delete(actor, comment.id)
        await projects.update(actor, world.ids["project"], name=f"{world.marker} site")
        person = await make_person(f"Nina {world.marker.title()}")
        made = await memberships.join(actor, org_id, person.user_id, role=Role.MEMBER)
        await memberships.delete(actor, made.id)
        key = await api_keys.create(actor, org_id, name=f"{world.marker} more", permissions=list(Permission))
        await api_keys.revoke(actor, key.key.id)


async def follow(socket: Client, asked: Call) -> Stream:
    """The subscription of a call."""
    return await socket.run(asked.document, **asked.variables)


async def end_of(stream: Stream) -> list[tuple[str, str]]:
    """The codes and messages that the operation ends with before it shows anything."""
    with pytest.raises(Ended) as end:
        await stream.next()
    return [(error["extensions"]["code"], error["message"]) for error in end.value.errors or ()]


def of_logs() -> list[Field]:
    """The subscriptions that follow an organization's log."""
    return [field for field in subscriptions() if field.name not in OWN]


def wide_places() -> list[tuple[Field, Path, str]]:
    """Those ids that say what to follow."""
    return [(field, place, thing) for field in subscriptions() for place, thing in places(field) if len(place) == 1]


def filter_places() -> list[tuple[Field, Path, str]]:
    """Those ids that say what to keep of it."""
    return [(field, place, thing) for field in subscriptions() for place, thing in places(field) if len(place) > 1]


async def test_every_subscription_is_swept() -> None:
    assert {field.name for field, _, _ in wide_places()} == {field.name for field in of_logs()}
    assert [list(places(field)) for field in subscriptions() if field.name in OWN] == [[], []]
    assert len(filter_places()) > 20


async def test_following_what_is_another_tenants_is_following_nothing(address: str, tenants: Tenants) -> None:
    async with leaving_nothing(), opened(address, tenants.mine.admin.token) as socket:
        for field, place, thing in wide_places():
            answers = []
            for id in (tenants.theirs.id(thing), of_nothing(thing)):
                answers.append(
                    await end_of(await follow(socket, call(field, with_one(tenants.mine, place, id), place)))
                )
            assert answers[0] == answers[1]
            assert [code for code, _ in answers[0]] == ["NOT_FOUND"], str(field)


@pytest.mark.parametrize("field", of_logs(), ids=str)
async def test_a_filter_by_an_id_of_another_tenant_keeps_what_one_by_no_id_keeps(
    address: str, tenants: Tenants, field: Field
) -> None:
    mine, theirs = tenants.mine, tenants.theirs
    each_time = 1 if field.name == "taskChanged" else 0
    asked = [(place, thing) for each, place, thing in filter_places() if each.name == field.name]
    async with opened(address, mine.admin.token) as socket:
        pairs: list[list[Stream]] = []
        for place, thing in asked:
            ids = (theirs.id(thing), of_nothing(thing))
            calls = [call(field, with_one(mine, place, id), place) for id in ids]
            pairs.append([await begun(socket, each.document, **each.variables) for each in calls])
        fence = await begun(socket, FOLLOW_TASK, id=mine.tenant.id)

        await be_busy(theirs)
        async with mine.admin.acting() as actor:
            for times, title in enumerate(("wallaby first", "wallaby second"), start=1):
                await tasks.update(actor, mine.ids["task"], title=title)
                await fence.data()
                # Each shows the task as it stands then, so the next change waits for all of them.
                streams = [stream for pair in pairs for stream in pair]
                await until(partial(have_come, streams, times * each_time))
        shown = [[await frames(stream, 2 * each_time) for stream in pair] for pair in pairs]
        await tenants.ledger.restore()

    for (place, _), (strange, unknown) in zip(asked, shown, strict=True):
        assert strange == unknown, place
        assert tenants.foreign(strange) == [], place


def have_come(streams: list[Stream], count: int) -> bool:
    """Whether as many frames came to each, or more."""
    return all(stream.received.qsize() >= count for stream in streams)


async def frames(stream: Stream, count: int) -> str:
    """All that came, which is as many frames, as text."""
    found = [await stream.next() for _ in range(count)]
    assert stream.received.empty(), stream.received.get_nowait()
    return json.dumps(found)


async def test_nothing_comes_of_a_tenant_that_is_busy(address: str, tenants: Tenants) -> None:
    mine, theirs = tenants.mine, tenants.theirs
    async with opened(address, mine.admin.token) as socket, opened(address, theirs.admin.token) as their_socket:
        calls = {field.name: call(field, own(mine), depth=2) for field in of_logs()}
        streams = {name: await begun(socket, each.document, **each.variables) for name, each in calls.items()}
        # A job is shown at once as it stands.
        assert (await streams["jobUpdated"].data())["id"] == mine.id("job")
        # And an answer with what there is of it.
        assert (await streams["aiMessageStream"].data())["text"] == mine.marker
        their_events = await begun(their_socket, EVENTS, id=theirs.tenant.id)

        await be_busy(theirs)
        await taken(their_events, 8)
        assert all(stream.received.empty() for stream in streams.values())
        await be_busy(mine)
        come = {"events": 8, "taskChanged": 1, "membershipChanged": 2, "jobUpdated": 0, "aiMessageStream": 0}
        assert streams.keys() == come.keys()
        shown = {name: [await streams[name].next() for _ in range(count)] for name, count in come.items()}
        assert their_events.received.empty()
        await tenants.ledger.restore()

    text = json.dumps(shown)
    assert mine.marker in text
    assert tenants.foreign(text) == []
    assert '"errors"' not in text


async def test_nothing_of_another_tenant_comes_to_an_inbox(address: str, tenants: Tenants) -> None:
    mine, theirs = tenants.mine, tenants.theirs
    async with opened(address, mine.admin.token) as socket:
        added, count = [
            await begun(socket, document) for document in (INBOX, "subscription { unreadNotificationCount }")
        ]
        assert await count.data() == 1

        await be_busy(theirs)
        await tell_all(theirs.tenant.org_id)
        async with mine.tenant.guest.acting() as actor:
            await comments.create(actor, mine.ids["task"], body=f"{mine.marker} wonders")
        await tell_all(mine.tenant.org_id)
        shown = await added.data()
        assert await count.data() == 2
        assert added.received.empty()
        await tenants.ledger.restore()

    text = json.dumps(shown)
    assert mine.marker in text
    assert tenants.foreign(text) == []


async def test_who_is_not_signed_in_is_unauthenticated(address: str, tenants: Tenants) -> None:
    async with leaving_nothing(), opened(address) as socket:
        for field in subscriptions():
            for ids in (own(tenants.mine), lambda thing, _path: of_nothing(thing)):
                answer = await end_of(await follow(socket, call(field, ids)))
                assert [code for code, _ in answer] == ["UNAUTHENTICATED"]


async def test_an_api_key_follows_its_own_organization_alone(address: str, tenants: Tenants) -> None:
    mine, theirs = tenants.mine, tenants.theirs
    async with leaving_nothing(), opened(address, mine.secret) as socket:
        for field in of_logs():
            for ids in (own(theirs), lambda thing, _path: of_nothing(thing)):
                assert [code for code, _ in await end_of(await follow(socket, call(field, ids)))] == ["NOT_FOUND"]
        stream = await begun(socket, FOLLOW_TASK, id=mine.tenant.id)
        async with mine.admin.acting() as actor:
            await tasks.update(actor, mine.ids["task"], title="wallaby third")
        expected: dict[str, Any] = {"type": "TASK_UPDATED", "subjectId": global_id("task", mine.ids["task"])}
        assert await stream.data() == expected
        await tenants.ledger.restore()
