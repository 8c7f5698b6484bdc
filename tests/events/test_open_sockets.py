"""A socket ends with the credential that opened it, whatever runs on it, and leaves nothing behind however it ends."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from domain.base.clock import now
from domain.base.permissions import Permission, Role
from domain.base.settings import Settings
from domain.identity import sessions
from domain.organizations import api_keys, memberships
from tests.events.live import EVENTS, Gauges, begun, gauges, leaving_nothing, next_is_told, served, tell, until
from tests.factories import Person, Tenant, execute, make_member, rows
from tests.isolation.world import make_session
from tests.sockets import Client, opened

VIEWER = "{ viewer { user { name } } }"
SLOW = "query ($id: ID!) { organization(id: $id) { name } }"
# The bound that the product gives, and what a busy machine takes of it.
CLOSED_WITHIN_S = 2.5


@dataclass(frozen=True)
class Held:
    """A person with a key, and what of theirs ends."""

    tenant: Tenant
    person: Person
    key: api_keys.Made

    async def session(self, statement: str) -> None:
        await execute(statement, self.person.session_id)

    async def membership_id(self) -> UUID:
        (row,) = await rows("SELECT id FROM membership WHERE user_id = $1", self.person.user_id)
        return UUID(str(row["id"]))


async def sign_out(held: Held) -> None:
    done = await held.person.client.ok("mutation { signOut { errors { code } } }")
    assert done["signOut"]["errors"] == []


async def revoke_session(held: Held) -> None:
    async with held.person.acting() as actor:
        await sessions.revoke(actor, held.person.session_id)


async def revoke_others(held: Held) -> None:
    other = Person(held.person.user_id, await make_session(held.person), "", "")
    async with other.acting() as actor:
        await sessions.revoke_others(actor)


async def delete_session(held: Held) -> None:
    await held.session("DELETE FROM session WHERE id = $1")


async def let_session_expire(held: Held) -> None:
    await held.session("UPDATE session SET expires_at = now() WHERE id = $1")


async def revoke_key(held: Held) -> None:
    async with held.tenant.admin.acting() as actor:
        await api_keys.revoke(actor, held.key.key.id)


async def let_key_expire(held: Held) -> None:
    await execute("UPDATE api_key SET expires_at = $1 WHERE id = $2", now(), held.key.key.id)


async def remove_maker(held: Held) -> None:
    async with held.tenant.admin.acting() as actor:
        await memberships.delete(actor, await held.membership_id())


async def end_membership_of_maker(held: Held) -> None:
    await execute("UPDATE membership SET ended_at = now() WHERE id = $1", await held.membership_id())


OF_SESSIONS = (sign_out, revoke_session, revoke_others, delete_session, let_session_expire)
OF_KEYS = (revoke_key, let_key_expire, remove_maker, end_membership_of_maker)


@pytest.fixture
async def held(acme: Tenant) -> Held:
    """An admin who is not the only one."""
    person = await make_member(acme.org_id, Role.ADMIN, "Holly Holder")
    async with person.acting() as actor:
        key = await api_keys.create(actor, acme.org_id, name="CI", permissions=list(Permission))
    return Held(acme, person, key)


@pytest.mark.parametrize("end", [*OF_SESSIONS, *OF_KEYS], ids=lambda end: end.__name__)
async def test_a_credential_that_ends_closes_its_sockets_with_4403_and_no_others(
    address: str, held: Held, end: Callable[[Held], Awaitable[None]]
) -> None:
    token = held.person.token if end in OF_SESSIONS else held.key.secret
    async with leaving_nothing(), AsyncExitStack() as stack:
        idle, following, asking, other, nobody = [
            await stack.enter_async_context(opened(address, each))
            for each in (token, token, token, held.tenant.admin.token, None)
        ]
        stream = await begun(following, EVENTS, id=held.tenant.id)
        others = await begun(other, EVENTS, id=held.tenant.id)
        await (await asking.run(VIEWER)).data()

        since = time.monotonic()
        await end(held)
        codes = await asyncio.gather(*(each.close_code() for each in (idle, following, asking)))
        took_s = time.monotonic() - since
        await tell(held.tenant)

        assert codes == [4403] * 3
        assert took_s < CLOSED_WITHIN_S
        assert all(event["type"] != "LABEL_UPDATED" for event in events_of(stream.received))
        while (await others.data())["type"] != "LABEL_UPDATED":
            pass
        await (await nobody.run("{ __typename }")).data()
        assert (other.connection.close_code, nobody.connection.close_code) == (None, None)


def events_of(received: "asyncio.Queue[dict[str, object] | None]") -> list[dict[str, str]]:
    """The events that came and that nobody took."""
    found = []
    while not received.empty():
        message = received.get_nowait()
        payload = message["payload"] if message and message["type"] == "next" else None
        if isinstance(payload, dict) and payload["data"]:
            found.append(payload["data"]["events"])
    return found


async def test_who_signs_out_over_the_socket_gets_the_answer_and_then_4403(address: str, held: Held) -> None:
    async with leaving_nothing(), opened(address, held.person.token) as socket:
        await begun(socket, EVENTS, id=held.tenant.id)
        done = await (await socket.run("mutation { signOut { errors { code } } }")).data()

        assert done == {"errors": []}
        assert await socket.close_code() == 4403


async def test_a_query_that_runs_does_not_hold_the_close_up(address: str, settings: Settings, held: Held) -> None:
    async with leaving_nothing(), opened(address, held.person.token) as socket:
        async with locked(settings, "organization"):
            answer = await socket.run(SLOW, id=held.tenant.id)
            await until(lambda: rows("SELECT FROM pg_locks WHERE NOT granted"))
            since = time.monotonic()
            await delete_session(held)
            assert await socket.close_code() == 4403
            assert time.monotonic() - since < CLOSED_WITHIN_S

        assert answer.received.get_nowait() is None


@asynccontextmanager
async def locked(settings: Settings, table: str) -> AsyncIterator[None]:
    """A table that nobody can read meanwhile."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def end_by_closing(socket: Client) -> None:
    await socket.close()


async def end_by_cutting(socket: Client) -> None:
    socket.cut()


async def end_by_nonsense(socket: Client) -> None:
    await socket.send({"type": "nonsense"})
    assert await socket.close_code() == 4400


@pytest.mark.parametrize("end", [end_by_closing, end_by_cutting, end_by_nonsense])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_socket_that_ends_leaves_nothing_behind(
    address: str, acme: Tenant, globex: Tenant, end: Callable[[Client], Awaitable[None]], busy: bool
) -> None:
    async def change() -> None:
        while True:
            await tell(acme, 5)

    async with leaving_nothing():
        changing = asyncio.create_task(change()) if busy else None
        async with opened(address, acme.member.token) as socket, opened(address, globex.member.token) as other:
            for _ in range(5):
                await begun(socket, EVENTS, id=acme.id)
            stays = await begun(other, EVENTS, id=globex.id)
            assert gauges().subscriptions >= 6
            await end(socket)
            if changing is not None:
                changing.cancel()
                await asyncio.wait([changing])
            await until(lambda: gauges() == Gauges(sockets=1, subscriptions=1, followed_logs=1))
            await next_is_told(globex, stays)


async def test_what_is_completed_ends_alone(address: str, acme: Tenant) -> None:
    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        first, second = await begun(socket, EVENTS, id=acme.id), await begun(socket, EVENTS, id=acme.id)

        await first.stop()
        await until(lambda: gauges().subscriptions == 1)
        await next_is_told(acme, second)
        assert first.received.empty()
        await second.stop()
        await until(lambda: (gauges().subscriptions, gauges().followed_logs) == (0, 0))


async def test_subscriptions_that_are_taken_back_at_once_leave_nothing_behind(address: str, acme: Tenant) -> None:
    async with leaving_nothing(), opened(address, acme.member.token) as socket:
        for pause_s in (0.0, 0.001, 0.003, 0.01, 0.03):
            streams = [await socket.run(EVENTS, id=acme.id) for _ in range(10)]
            await asyncio.sleep(pause_s)
            for stream in streams:
                await stream.stop()
        await until(lambda: gauges().subscriptions == 0)
        stays = await begun(socket, EVENTS, id=acme.id)
        await next_is_told(acme, stays)


async def test_a_server_that_ends_tells_its_sockets_and_leaves_nothing_behind(settings: Settings, acme: Tenant) -> None:
    async with leaving_nothing(), AsyncExitStack() as stack:
        async with served(settings) as server:
            socket = await stack.enter_async_context(opened(server.address, acme.member.token))
            await begun(socket, EVENTS, id=acme.id)
        assert await socket.close_code() == 1001
        assert server.follower._tails == {}


async def test_the_end_of_a_membership_closes_no_socket_of_a_person(address: str, held: Held) -> None:
    async with opened(address, held.person.token) as socket:
        stream = await begun(socket, EVENTS, id=held.tenant.id)
        await remove_maker(held)
        while (payload := await stream.next())["data"] is not None:
            pass

        assert [error["extensions"]["code"] for error in payload["errors"]] == ["NOT_FOUND"]
        assert await (await socket.run(VIEWER)).data() == {"user": {"name": "Holly Holder"}}
