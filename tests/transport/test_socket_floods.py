"""Tens of thousands of tiny frames at once: they are parsed a piece at a time, and no further than is wanted."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.frames import Frame

from domain.base.settings import Settings
from graph import socket as graph_socket
from graph.server_websocket import AFTER_CLOSE_BYTES, PIECE_BYTES, WebSocketProtocol
from tests.attacks.frames import CLOSE, PING, PONG, TEXT, close_code, frame, next_frame, shaken
from tests.attacks.raw import PATIENCE_S, nothing_unhandled, still_serves
from tests.events.live import leaving_nothing, served, until

FLOOD = 40_000
INIT = frame(TEXT, b'{"type": "connection_init"}')
TINY = frame(TEXT, b"1")
# Two bytes of head, four of mask.
LEAST_FRAME_BYTES = 6


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


class Counting(WebSocketProtocol):
    """The protocol, which counts what it parses and what waits for the application."""

    parsed = 0
    waited = 0

    def handle_text(self, event: Frame) -> None:
        Counting.parsed += 1
        super().handle_text(event)
        Counting.waited = max(Counting.waited, self.queue.qsize())


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    """Counts begin with the test."""
    Counting.parsed = Counting.waited = 0


async def test_of_40_000_wrong_messages_at_once_few_are_parsed(settings: Settings) -> None:
    async with leaving_nothing(), served(settings, Counting) as server:
        async with shaken(server.address) as client:
            await client.send(INIT + TINY * FLOOD)

            assert await close_code(client) == 4400
        # The first piece, and what is looked through for the end; behind that it is thrown away.
        assert 1 < Counting.parsed <= (PIECE_BYTES + AFTER_CLOSE_BYTES + PIECE_BYTES) // LEAST_FRAME_BYTES
        await until(lambda: not server.connections)
        await still_serves(server.address)


async def test_of_40_000_right_messages_at_once_as_many_as_are_allowed_are_taken(settings: Settings) -> None:
    async with leaving_nothing(), served(settings, Counting) as server:
        async with shaken(server.address) as client:
            await client.send(INIT + frame(TEXT, b'{"type":"pong"}') * FLOOD)

            assert await close_code(client) == 4429
        assert Counting.parsed <= (PIECE_BYTES + AFTER_CLOSE_BYTES + PIECE_BYTES) // LEAST_FRAME_BYTES
        await still_serves(server.address)


async def test_what_waits_for_the_application_is_one_piece(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()

    async def held_up(*_: Any) -> None:
        await go.wait()

    monkeypatch.setattr(graph_socket, "caller_of", held_up)
    async with leaving_nothing(), served(settings, Counting) as server:
        async with shaken(server.address) as client:
            client.writer.write(INIT + TINY * FLOOD)
            await until(lambda: Counting.parsed > 1)
            await still_serves(server.address)

            assert Counting.waited <= PIECE_BYTES // LEAST_FRAME_BYTES
            (connection,) = [each for each in server.connections if isinstance(each, Counting)]
            assert len(connection._unparsed) <= 256 * 1024
            go.set()
            assert await close_code(client) == 4400


async def test_40_000_pings_of_the_protocol_below_are_all_answered_and_others_are_served_meanwhile(
    address: str,
) -> None:
    async with shaken(address) as client:
        client.writer.write(INIT + frame(PING) * FLOOD)
        await still_serves(address)
        heard: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while heard.count(PONG) < FLOOD:
                heard.append((await next_frame(client))[0])

    assert (heard.count(PONG), heard.count(TEXT)) == (FLOOD, 1)


@pytest.mark.parametrize("step", [1, 7, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_messages_come_whole_and_in_order_however_they_are_cut(address: str, step: int) -> None:
    pings = [{"type": "ping", "payload": {"x": "a" * size}} for size in (0, 1, 100, 2 * PIECE_BYTES, 5, PIECE_BYTES)]
    sent = INIT + b"".join(frame(TEXT, json.dumps(each).encode()) for each in pings)
    async with shaken(address) as client:
        for at in range(0, len(sent), step):
            client.writer.write(sent[at : at + step])
            await asyncio.sleep(0)
        heard = [json.loads((await next_frame(client))[1]) for _ in range(1 + len(pings))]
        await client.send(frame(CLOSE, (1000).to_bytes(2)))

        assert await close_code(client) == 1000
    assert heard == [{"type": "connection_ack"}, *({"type": "pong", "payload": each["payload"]} for each in pings)]
