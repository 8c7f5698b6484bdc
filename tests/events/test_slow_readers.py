"""A reader that takes nothing is cut off; one that is merely slow is not; nobody waits for either."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from domain.base.settings import Settings
from graph.server_websocket import WebSocketProtocol
from tests.events.live import Served, begun, gauges, leaving_nothing, served, taken, tell, until
from tests.factories import Tenant, execute
from tests.sockets import PROTOCOL, opened

WITH_CHANGES = "subscription ($id: ID!) { events(organizationId: $id) { id changes { field before after } } }"
PATIENCE_S = 0.5
LONG = "x" * 20_000
ENOUGH = 40
# Source: RFC 6455, section 5.2: FIN and opcode 8; masked, with an empty payload and a mask of zeros.
CLOSE_FRAME = bytes([0x88, 0x80, 0, 0, 0, 0])


class Impatient(WebSocketProtocol):
    """The protocol, with less patience than a test has."""

    patience_s = PATIENCE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.close_timeout = PATIENCE_S


class Forbearing(WebSocketProtocol):
    """The protocol, with the patience that a busy machine asks for."""

    patience_s = 2.0


@asynccontextmanager
async def lazy(server: Served, tenant: Tenant) -> AsyncIterator[ClientConnection]:
    """A socket that follows the log and takes nothing more; the system keeps next to nothing for it."""
    host, _, port = server.address.partition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    url, before = f"ws://{server.address}/graphql", gauges().subscriptions
    connection = await connect(
        url, sock=plain, subprotocols=[PROTOCOL], compression=None, max_queue=1, ping_interval=None, close_timeout=0
    )
    authorization = {"authorization": f"Bearer {tenant.member.token}"}
    await connection.send(json.dumps({"type": "connection_init", "payload": authorization}))
    await connection.recv()
    payload = {"query": WITH_CHANGES, "variables": {"id": tenant.id}}
    await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
    await until(lambda: gauges().subscriptions == before + 1)
    connection.transport.pause_reading()
    yield connection
    connection.transport.abort()
    await connection.wait_closed()


async def test_who_takes_nothing_is_cut_off_and_others_are_served_meanwhile(settings: Settings, acme: Tenant) -> None:
    async with leaving_nothing(), served(settings, Impatient) as server:
        async with opened(server.address, acme.guest.token) as reader, lazy(server, acme):
            stream = await begun(reader, WITH_CHANGES, id=acme.id)
            for _ in range(ENOUGH):
                await tell(acme, 1, LONG)
                await taken(stream, 1)
            await until(lambda: gauges().subscriptions == 1)
            await until(lambda: gauges().sockets == 1)
            await tell(acme)
            await taken(stream, 1)
        await until(lambda: not server.connections)
        await until(lambda: not server.follower._tails)


async def test_what_is_held_for_a_reader_that_takes_nothing_is_bounded(settings: Settings, acme: Tenant) -> None:
    async with leaving_nothing(), served(settings) as server, lazy(server, acme):
        (connection,) = server.connections
        sizes = []
        for _ in range(3):
            for _ in range(ENOUGH):
                await tell(acme, 1, LONG)
            await until(lambda: not connection.writable.is_set())
            sizes.append(connection.transport.get_write_buffer_size())

        # One frame over what the transport takes before it asks to wait.
        assert 0 < sizes[0] < 64 * 1024 + 5 * len(LONG)
        assert sizes[0] == sizes[1] == sizes[2]


async def test_a_slow_reader_that_takes_something_is_not_cut_off(settings: Settings, acme: Tenant) -> None:
    async with leaving_nothing(), served(settings, Forbearing) as server, lazy(server, acme) as connection:
        for _ in range(ENOUGH):
            await tell(acme, 1, LONG)
        connection.transport.resume_reading()
        found: list[Any] = []
        while len(found) < ENOUGH:
            # One frame in a part of the server's patience, for longer than that in all.
            found.append(json.loads(await connection.recv()))
            if len(found) < 6:
                connection.transport.pause_reading()
                await asyncio.sleep(Forbearing.patience_s / 4)
                connection.transport.resume_reading()

    assert len({each["payload"]["data"]["events"]["id"] for each in found}) == ENOUGH


@pytest.mark.parametrize("why", ["session ended", "no pong", "client closes"])
async def test_what_was_sent_and_is_not_taken_holds_no_close_up(settings: Settings, acme: Tenant, why: str) -> None:
    ping_s = PATIENCE_S if why == "no pong" else 20.0
    async with (
        leaving_nothing(),
        served(settings, Impatient, ws_ping_interval=ping_s, ws_ping_timeout=ping_s) as server,
        lazy(server, acme) as client,
    ):
        (connection,) = server.connections

        async def is_left() -> bool:
            await tell(acme, 1, LONG[:5_000])
            return bool(connection.transport.get_write_buffer_size())

        # Too much for the system to take it all, too little for anybody to wait with the next.
        await until(is_left)
        assert connection.writable.is_set()

        if why == "client closes":
            client.transport.write(CLOSE_FRAME)
        elif why == "session ended":
            await execute("DELETE FROM session WHERE id = $1", acme.member.session_id)
        await until(lambda: gauges().sockets == 0)
        await until(lambda: not server.connections)
        assert server.follower._tails == {}
