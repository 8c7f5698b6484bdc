"""Each code that a socket is closed with: when, with what reason, and that nobody else notices."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis
from websockets import ConnectionClosed

from domain.adapters.leases import EXPIRY_S, Leases
from domain.base.settings import Settings
from graph import socket as graph_socket
from graph.execution import Engine
from tests.attacks.frames import HANDSHAKE, close_code
from tests.attacks.raw import nothing_unhandled, raw, still_serves
from tests.events.live import EVENTS, begun, gauges, leaving_nothing, next_is_told, served, until
from tests.factories import Person, Tenant, make_person, rows
from tests.processes import free_port, serving
from tests.sockets import opened
from tests.transport.talk import Talk, talking

QUERY = "{ __typename }"
RENAME = 'mutation { profileUpdate(input: {name: "Renamed"}) { errors { code } } }'
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": QUERY}}
SHORT_S = 0.3
MOST = 4
# The offers that hold no protocol of this server: none, that of subscriptions-transport-ws, and one in capitals.
OTHERS: list[tuple[str, ...]] = [("graphql-ws",), ("GRAPHQL-TRANSPORT-WS",), ("graphql-ws", "mqtt")]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


@pytest.mark.usefixtures("lines")
async def test_who_asks_before_the_init_is_4401_and_nothing_is_run(address: str, acme: Tenant) -> None:
    authorization = {"Authorization": f"Bearer {acme.member.token}"}
    async with talking(address, additional_headers=authorization) as socket:
        await socket.say({"type": "ping"}, {"id": "1", "type": "subscribe", "payload": {"query": RENAME}})

        assert await socket.hear() == {"type": "pong"}
        assert await socket.closed() == (4401, "Unauthorized")
    assert await rows("SELECT 1 FROM users WHERE id = $1 AND name = 'Renamed'", acme.member.user_id) == []
    await still_serves(address)


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("sent", ["Bearer pws_nothing", "pws_nothing", "Basic eDp5", "Bearer", "", 5, [], {"x": 1}])
async def test_credentials_that_do_not_hold_are_4403(address: str, sent: Any) -> None:
    async with talking(address) as socket:
        await socket.say({"type": "connection_init", "payload": {"Authorization": sent}}, SUBSCRIBE)

        assert await socket.closed() == (4403, "Forbidden")
    await still_serves(address)


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("offered", OTHERS, ids=" ".join)
async def test_another_protocol_is_4406(address: str, offered: tuple[str, ...]) -> None:
    async with talking(address, *offered) as socket:
        assert socket.connection.subprotocol is None
        assert await socket.closed() == (4406, "Subprotocol not acceptable")
    await still_serves(address)


@pytest.mark.usefixtures("lines")
async def test_no_protocol_is_4406(address: str) -> None:
    async with raw(address) as client:
        await client.send(HANDSHAKE.replace(b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n", b""))
        answer = await client.answer()

        assert (answer.status, "sec-websocket-protocol" in answer.headers) == (101, False)
        assert await close_code(client) == 4406


@pytest.mark.usefixtures("lines")
async def test_of_several_protocols_the_one_of_this_server_is_taken(address: str) -> None:
    async with talking(address, "graphql-ws", "graphql-transport-ws") as socket:
        assert socket.connection.subprotocol == "graphql-transport-ws"
        await socket.begin()


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("pings", [False, True])
async def test_who_never_begins_is_4408_whatever_else_comes(
    settings: Settings, pings: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph_socket.INIT_DEADLINE_S == 10.0
    monkeypatch.setattr(graph_socket, "INIT_DEADLINE_S", SHORT_S)
    async with leaving_nothing(), served(settings) as server:
        async with talking(server.address) as other, talking(server.address) as socket:
            await other.begin()
            if pings:
                await socket.say(*[{"type": "ping"}, {"id": "1", "type": "complete"}] * 10)
            assert await socket.closed() == (4408, "Connection initialisation timeout")

            # Who has begun may be silent for longer.
            assert (await other.answer(QUERY))["data"] == {"__typename": "Query"}


@pytest.mark.usefixtures("lines")
async def test_an_id_that_is_taken_is_4409_and_names_it(address: str, acme: Tenant) -> None:
    async with leaving_nothing(), talking(address) as socket, opened(address, acme.member.token) as other:
        followed = await begun(other, EVENTS, id=acme.id)
        await socket.begin(acme.member.token)
        await socket.ask("ä 1", EVENTS, variables={"id": acme.id})
        await socket.ask("ä 1", RENAME)

        assert await socket.closed() == (4409, "Subscriber for ä 1 already exists")
        await next_is_told(acme, followed)
    assert await rows("SELECT 1 FROM users WHERE id = $1 AND name = 'Renamed'", acme.member.user_id) == []


@pytest.mark.usefixtures("lines")
async def test_the_reason_of_a_long_id_is_cut_between_letters(address: str, acme: Tenant) -> None:
    id = "\U0001f680" * 100
    async with talking(address) as socket:
        await socket.begin(acme.member.token)
        await socket.ask(id, EVENTS, variables={"id": acme.id})
        await socket.ask(id, EVENTS, variables={"id": acme.id})
        code, reason = await socket.closed()

    assert code == 4409
    assert reason == "Subscriber for " + "\U0001f680" * 27


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("acknowledged", [True, False])
async def test_a_second_init_is_4429(address: str, acknowledged: bool) -> None:
    async with talking(address) as socket:
        if acknowledged:
            await socket.begin()
        else:
            await socket.say({"type": "connection_init"})
        await socket.say({"type": "connection_init"})

        assert await socket.closed() == (4429, "Too many initialisation requests")
    await still_serves(address)


@pytest.mark.usefixtures("lines")
async def test_too_many_messages_are_4429_and_as_many_as_are_allowed_are_not(settings: Settings) -> None:
    few = replace(settings, messages_per_second=5, operations_per_socket=10)
    async with served(few) as server, talking(server.address) as socket, talking(server.address) as other:
        await other.begin()
        await other.say(*[{"type": "ping"}] * 14)
        assert [await other.hear() for _ in range(14)] == [{"type": "pong"}] * 14

        await socket.say({"type": "connection_init"}, *[{"type": "ping"}] * 200)
        assert await socket.closed() == (4429, "At most 5 messages a second.")
        await still_serves(server.address)


@asynccontextmanager
async def held(addresses: list[str], token: str) -> AsyncIterator[list[Talk]]:
    """A socket at each address, let in."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(talking(each)) for each in addresses]
        for socket in sockets:
            await socket.begin(token)
        yield sockets


async def is_let_in(address: str, token: str) -> bool:
    """Whether one socket more is taken. One that is not is told why."""
    async with talking(address) as socket:
        await socket.say({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        try:
            return bool(await socket.hear() == {"type": "connection_ack"})
        except ConnectionClosed:
            assert await socket.closed() == (4429, f"At most {MOST} sockets at once.")
            return False


async def a_minute_passes(settings: Settings, person: Person) -> None:
    """What is not renewed ends, as if a minute had passed since."""
    redis = Redis.from_url(str(settings.redis_url))
    key = f"leases:user:{person.user_id}"
    members: Any = await redis.zrange(key, 0, -1)
    for member in members:
        await redis.zincrby(key, -EXPIRY_S * 1000, member)
    await redis.aclose()


async def test_sockets_of_a_user_are_counted_over_processes_and_freed_by_closing_and_by_dying(
    settings: Settings,
) -> None:
    person, other = await make_person("Sam Sockets"), await make_person("Olga Other")
    with (
        serving(settings, free_port(), SOCKETS_PER_USER=str(MOST)) as one,
        serving(settings, free_port(), SOCKETS_PER_USER=str(MOST)) as two,
    ):
        first, second = (each.origin.removeprefix("http://") for each in (one, two))
        async with held([first, first, second, second], person.token) as sockets:
            assert not await is_let_in(first, person.token)
            assert not await is_let_in(second, person.token)
            # One person's sockets are nobody else's, and those that are open go on.
            assert await is_let_in(first, other.token)
            for each in sockets:
                assert (await each.answer(QUERY))["data"] == {"__typename": "Query"}

            await sockets[3].connection.close()
            await until(lambda: is_let_in(first, person.token))
            sockets[2].connection.transport.abort()
            async with held([second], person.token) as [again]:
                await until(lambda: is_let_in(second, person.token))
                async with held([second], person.token):
                    assert not await is_let_in(second, person.token)

                    one.process.kill()
                    one.process.wait()
                    assert not await is_let_in(second, person.token)
                    await a_minute_passes(settings, person)
                    # The second process puts off its own two; those of the first are gone.
                    await until(lambda: is_let_in(second, person.token))
                assert (await again.answer(QUERY))["data"] == {"__typename": "Query"}


async def failing(*_: Any) -> Any:
    """A bug."""
    raise RuntimeError("hunter2")


async def test_a_bug_in_an_operation_is_4500_and_says_nothing_of_itself(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with leaving_nothing(), opened(address, acme.member.token) as other, talking(address) as socket:
        followed = await begun(other, EVENTS, id=acme.id)
        await socket.begin(acme.member.token)
        before = gauges().subscriptions
        await socket.ask("followed", EVENTS, variables={"id": acme.id})
        await until(lambda: gauges().subscriptions == before + 1)
        with structlog.testing.capture_logs() as lines, monkeypatch.context() as patched:
            patched.setattr(Engine, "found", failing)
            await socket.ask("1", QUERY)

            assert await socket.closed() == (4500, "Internal server error")
        await next_is_told(acme, followed)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["an operation failed"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    await still_serves(address)


async def test_a_bug_outside_of_operations_is_4500_too(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with leaving_nothing(), talking(address) as socket:
        with structlog.testing.capture_logs() as lines, monkeypatch.context() as patched:
            patched.setattr(Leases, "take", failing)
            await socket.say({"type": "connection_init"}, SUBSCRIBE)

            assert await socket.closed() == (4500, "Internal server error")
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["a socket failed"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    await still_serves(address)


async def test_what_was_sent_before_a_close_is_known_is_not_begun(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing, go = asyncio.Event(), asyncio.Event()
    take = Leases.take

    async def held_up(*args: Any, **options: Any) -> Any:
        closing.set()
        await go.wait()
        return await take(*args, **options)

    monkeypatch.setattr(Leases, "take", held_up)
    async with leaving_nothing(), talking(address) as socket:
        authorization = {"authorization": f"Bearer {acme.member.token}"}
        ask = {"id": "1", "type": "subscribe", "payload": {"query": RENAME}}
        await socket.say({"type": "connection_init", "payload": authorization}, {"type": "nonsense"}, ask)
        await closing.wait()
        go.set()

        assert (await socket.closed())[0] == 4400
    assert await rows("SELECT 1 FROM users WHERE id = $1 AND name = 'Renamed'", acme.member.user_id) == []
