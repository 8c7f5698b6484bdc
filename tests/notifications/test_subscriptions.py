"""The inbox over a socket: what came after the cursor, then what comes from now on; and how many are unread."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from domain.adapters.bell import Bell
from domain.adapters.pubsub import PubSub
from domain.adapters.watch import Watch
from domain.base.database import acting_for
from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.events.queries import EventRow
from domain.notifications import cursors, service
from domain.notifications.follow import PAGE
from domain.organizations import api_keys
from tests.events.live import begun, leaving_nothing, never, served, taken, until
from tests.factories import Person, Tenant, execute, make_member, make_person
from tests.notifications.reading import ALL_READ, READ, UNREAD, assigned, assignments, ids_of
from tests.notifications.telling import tell
from tests.notifications.test_inbox import enter, remove
from tests.sockets import Stream, opened

ADDED = "subscription ($after: String) { notificationAdded(after: $after) { id cursor title organization { id } } }"
COUNT = "subscription { unreadNotificationCount }"


@pytest.fixture(params=["heard", "lost"])
def wakes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether wake-ups are heard, or all lost: those of this process's bells and of Redis."""
    if request.param == "lost":
        monkeypatch.setattr(service.changed, "_listeners", set())
    return str(request.param)


def ids(found: list[Any]) -> list[str]:
    return [entry["id"] for entry in found]


async def oldest_first(person: Person) -> list[str]:
    return (await ids_of(person.client))[::-1]


async def nothing_more(tenant: Tenant, person: Person, stream: Stream) -> None:
    """Nothing has come that was not taken: the next is what comes now."""
    await assigned(tenant, person)
    assert (await stream.data())["id"] == (await oldest_first(person))[-1]
    assert stream.received.empty()


@pytest.mark.asked_once
@pytest.mark.parametrize("before", [0, 1, PAGE, PAGE + 7])
async def test_replay_goes_over_into_live_without_gap_or_double(
    address: str, settings: Settings, acme: Tenant, before: int
) -> None:
    person = acme.member
    await assigned(acme, person, before)
    events = await assignments(acme, person, 30)

    async with leaving_nothing(), opened(address, person.token) as socket:
        early = await socket.run(ADDED, after=cursors.write(settings, person.user_id, 0))
        telling = asyncio.create_task(asyncio.wait([asyncio.create_task(tell(event)) for event in events]))
        middle = await socket.run(ADDED, after=cursors.write(settings, person.user_id, before // 2))
        all_of_it, some_of_it = await taken(early, before + 30), await taken(middle, before + 30 - before // 2)
        await telling
        await nothing_more(acme, person, early)

    log = (await oldest_first(person))[:-1]
    assert ids(all_of_it) == log
    assert ids(some_of_it) == log[before // 2 :]


async def test_without_a_cursor_it_begins_now_and_each_entry_says_where_to_go_on(
    address: str, acme: Tenant, wakes: str
) -> None:
    person = acme.member
    await assigned(acme, person, 2)

    async with opened(address, person.token) as socket:
        live = await begun(socket, ADDED)
        await assigned(acme, person, 3)
        found = await taken(live, 3)
        await nothing_more(acme, person, live)
        for place, entry in enumerate(found):
            again = await socket.run(ADDED, after=entry["cursor"])
            assert ids(await taken(again, 3 - place)) == (await oldest_first(person))[3 + place :]

    assert ids(found) == (await oldest_first(person))[2:5]
    assert {entry["title"] for entry in found} == {"Admin Acme assigned DES2-1 Sort the papers to you"}


async def test_every_device_of_a_person_gets_every_entry_and_others_get_none(address: str, acme: Tenant) -> None:
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(opened(address, person.token))
            for person in (acme.member, acme.member, acme.guest, acme.admin)
        ]
        streams = [await begun(socket, ADDED) for socket in sockets]
        await assigned(acme, acme.member, 4)
        first, second = [await taken(stream, 4) for stream in streams[:2]]
        await nothing_more(acme, acme.guest, streams[2])

        assert first == second
        assert ids(first) == await oldest_first(acme.member)
        assert streams[3].received.empty()


async def test_many_tellings_at_once_come_in_the_order_of_the_inbox(address: str, acme: Tenant, wakes: str) -> None:
    events = await assignments(acme, acme.member, 40)

    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, ADDED)
        await asyncio.gather(*(tell(event) for event in events * 2))
        found = await taken(stream, 40)
        await nothing_more(acme, acme.member, stream)

    assert ids(found) == (await oldest_first(acme.member))[:40]


async def test_entries_of_an_organization_joined_later_come_and_of_one_that_was_left_do_not(
    address: str, acme: Tenant, globex: Tenant
) -> None:
    person = await make_person("Wanderer")

    async with opened(address, person.token) as socket:
        stream = await begun(socket, ADDED)
        await enter(globex, person)
        await assigned(globex, person)
        assert (await stream.data())["organization"] == {"id": globex.id}
        await enter(acme, person)
        await assigned(acme, person)
        assert (await stream.data())["organization"] == {"id": acme.id}
        await remove(globex, person)
        await assigned(globex, person)
        await nothing_more(acme, person, stream)


async def test_what_is_hidden_is_not_replayed(address: str, settings: Settings, acme: Tenant, globex: Tenant) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)
    await enter(globex, person)
    for tenant in (acme, globex, acme, globex):
        await assigned(tenant, person)
    await remove(globex, person)

    async with opened(address, person.token) as socket:
        stream = await socket.run(ADDED, after=cursors.write(settings, person.user_id, 0))
        found = await taken(stream, 2)
        await nothing_more(acme, person, stream)

    assert [entry["organization"]["id"] for entry in found] == [acme.id, acme.id]


async def test_the_count_comes_at_once_and_then_each_change_on_every_device(
    address: str, acme: Tenant, wakes: str
) -> None:
    person = acme.member
    await assigned(acme, person, 2)
    newest, oldest = await ids_of(person.client)

    async with leaving_nothing(), opened(address, person.token) as one, opened(address, person.token) as other:
        streams = [await one.run(COUNT), await other.run(COUNT)]
        assert [await stream.data() for stream in streams] == [2, 2]
        for change, count in (
            (lambda: assigned(acme, person), 3),
            (lambda: person.client.done(READ, ids=[newest, oldest]), 1),
            (lambda: person.client.done(UNREAD, ids=[oldest]), 2),
            (lambda: person.client.done(ALL_READ), 0),
            (lambda: assigned(acme, person), 1),
        ):
            await change()
            assert [await stream.data() for stream in streams] == [count, count]
        # What changes nothing is no change.
        await person.client.done(UNREAD, ids=[(await ids_of(person.client))[0]])
        await assigned(acme, person)
        assert [await stream.data() for stream in streams] == [2, 2]
        assert all(stream.received.empty() for stream in streams)


async def test_the_count_follows_who_leaves_and_joins(address: str, acme: Tenant, globex: Tenant) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)
    await enter(globex, person)
    await assigned(acme, person, 1)
    await assigned(globex, person, 2)

    async with opened(address, person.token) as socket:
        stream = await socket.run(COUNT)
        assert await stream.data() == 3
        await remove(globex, person)
        assert await stream.data() == 1
        await enter(globex, person)
        assert await stream.data() == 3


async def test_what_is_told_by_a_process_that_serves_nobody_is_heard(
    settings: Settings, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the bell that a worker has: the server's own and its looks are away.
    monkeypatch.setattr(Watch, "_look", never)
    async with served(settings) as server, opened(server.address, acme.member.token) as socket:
        stream = await begun(socket, ADDED)
        events = await assignments(acme, acme.member, 3)
        async with ringing(settings):
            for event in events:
                await tell(event)
            found = await taken(stream, 3)

    assert ids(found) == await oldest_first(acme.member)


@asynccontextmanager
async def ringing(settings: Settings) -> AsyncIterator[None]:
    """A bell of its own, alone."""
    pubsub = PubSub(settings.redis_url or "", "planwire:inbox")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.changed, "_listeners", set())
        task = asyncio.create_task(Bell(pubsub, service.changed).run())
        await until(lambda: bool(service.changed._listeners))
        yield
        task.cancel()
        await asyncio.wait([task])
    await pubsub.close()


async def device(addresses: list[str], person: Person, cursor: str, chance: random.Random, count: int) -> list[str]:
    """The ids that a device receives which loses its connection again and again, and comes back to any server."""
    found: list[str] = []
    while len(found) < count:
        async with opened(chance.choice(addresses), person.token) as socket:
            stream = await socket.run(ADDED, after=cursor)
            for _ in range(min(chance.randint(1, 12), count - len(found))):
                entry = await stream.data()
                found.append(entry["id"])
                cursor = entry["cursor"]
            socket.cut()
    return found


async def test_devices_that_lose_their_connections_have_each_entry_once(
    address: str, settings: Settings, acme: Tenant, globex: Tenant, wakes: str
) -> None:
    person = await make_member(acme.org_id, Role.MEMBER)
    await enter(globex, person)
    events = [*await assignments(acme, person, 40), *await assignments(globex, person, 40)]
    chance = random.Random(11)  # noqa: S311  # chooses moments, not secrets
    chance.shuffle(events)

    async def tell_some(some: list[EventRow]) -> None:
        for event in some:
            await tell(event)

    async with served(settings) as other:
        addresses, cursor = [address, other.address], cursors.write(settings, person.user_id, 0)
        *_, one, two = await asyncio.gather(
            *(tell_some(events[number::4]) for number in range(4)),
            *(device(addresses, person, cursor, random.Random(number), 80) for number in range(2)),  # noqa: S311
        )

    assert one == two == await oldest_first(person)


@pytest.mark.parametrize("document", [ADDED, COUNT], ids=["added", "count"])
async def test_both_end_with_the_session(address: str, acme: Tenant, document: str) -> None:
    person = acme.member
    async with leaving_nothing(), opened(address, person.token) as socket:
        stream = await begun(socket, document)
        if document == COUNT:
            assert await stream.data() == 0
        await execute("UPDATE session SET expires_at = now() WHERE id = $1", person.session_id)
        await assigned(acme, person)

        assert await stream.codes() in ([], ["UNAUTHENTICATED"])
        assert await socket.close_code() == 4403


@pytest.mark.parametrize("document", [ADDED, COUNT], ids=["added", "count"])
async def test_neither_is_for_a_key_or_for_nobody(address: str, acme: Tenant, document: str) -> None:
    async with acme.admin.acting() as actor:
        made = await api_keys.create(actor, acme.org_id, name="Robot", permissions=list(Permission))

    for token in (made.secret, None):
        async with leaving_nothing(), opened(address, token) as socket:
            assert await (await socket.run(document)).codes() == ["UNAUTHENTICATED"]


async def test_a_cursor_of_somebody_else_or_of_no_inbox_is_refused(
    address: str, settings: Settings, acme: Tenant
) -> None:
    await assigned(acme, acme.member, 2)
    given = cursors.write(settings, acme.member.user_id, 1)
    wrong = {
        "anothers": cursors.write(settings, acme.guest.user_id, 0),
        "rubbish": "rubbish",
        "empty": "",
        "cut": given[:-2],
        "longer": given + "AAAA",
        "unsigned": cursors.write(replace(settings, secret_key="x" * 32), acme.member.user_id, 1),
    }

    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        found = {name: await (await socket.run(ADDED, after=after)).codes() for name, after in wrong.items()}
        ahead = await (await socket.run(ADDED, after=cursors.write(settings, acme.member.user_id, 3))).codes()

    assert found == {name: ["BAD_USER_INPUT"] for name in wrong}
    assert ahead == ["RESYNC_REQUIRED"]


async def test_a_stream_goes_on_though_the_database_was_away_for_a_look(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = 0

    def sometimes(org_ids: Any) -> Any:
        nonlocal failed
        if failed < 2:
            failed += 1
            raise ConnectionError("away")
        return acting_for(org_ids)

    async with opened(address, acme.member.token) as socket:
        stream = await begun(socket, ADDED)
        monkeypatch.setattr("domain.adapters.watch.acting_for", sometimes)
        await assigned(acme, acme.member, 2)
        found = await taken(stream, 2)

    assert failed == 2
    assert ids(found) == await oldest_first(acme.member)
