"""What the server says to frames that are wrong, too large or without end, and to peers that do not answer."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from domain.base.settings import Settings
from graph.server import configuration
from graph.server_http import HttpProtocol
from graph.server_websocket import FRAGMENTS_MAX, WEBSOCKET_FRAME_BYTES
from tests.attacks.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    PING,
    PONG,
    TEXT,
    close_code,
    frame,
    next_frame,
    shaken,
)
from tests.attacks.raw import exchange, nothing_unhandled, raw, still_serves
from tests.events.live import served, until

SHORT_S = 0.3
EMPTY = frame(CONTINUATION, fin=False)


class Impatient(HttpProtocol):
    """The protocol, with less patience than a test has."""

    head_deadline_s = SHORT_S


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


def init(size: int) -> bytes:
    """The first message of the protocol, so many bytes long."""
    empty = json.dumps({"type": "connection_init", "payload": {"x": ""}})
    return empty.replace('""', '"' + "a" * (size - len(empty)) + '"').encode()


def in_parts(data: bytes, size: int) -> bytes:
    """A text message whose frames hold so much each."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if number else TEXT, part, fin=number == last) for number, part in enumerate(parts)
    )


WRONG = {
    "no mask": (frame(TEXT, b"{}", masked=False), 1002),
    "first reserved bit": (frame(TEXT, b"{}", reserved=4), 1002),
    "second reserved bit": (frame(TEXT, b"{}", reserved=2), 1002),
    "third reserved bit": (frame(TEXT, b"{}", reserved=1), 1002),
    "reserved opcode": (frame(3, b"{}"), 1002),
    "reserved control opcode": (frame(11, b""), 1002),
    "long ping": (frame(PING, b"a" * 126), 1002),
    "ping in parts": (frame(PING, b"a", fin=False), 1002),
    "continuation of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "message within a message": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
    "close with half a code": (frame(CLOSE, b"\x03"), 1002),
    "close with a code that is none": (frame(CLOSE, (1005).to_bytes(2)), 1002),
    "no UTF-8": (frame(TEXT, b'"\xff"'), 1007),
    "a surrogate": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "half a letter": (frame(TEXT, b'"\xc3', fin=False) + frame(CONTINUATION, b'"'), 1007),
    "large frame": (frame(TEXT, init(WEBSOCKET_FRAME_BYTES + 1)), 1009),
    "large binary frame": (frame(BINARY, bytes(WEBSOCKET_FRAME_BYTES + 1)), 1009),
    "large message": (in_parts(init(WEBSOCKET_FRAME_BYTES + 1), 10_000), 1009),
    "much larger frame": (frame(TEXT, bytes(4 * 1024 * 1024)), 1009),
    "frame of which only the size comes": (frame(TEXT, bytes(2**20))[:14], 1009),
    "message without end": (frame(TEXT, b"{", fin=False) + EMPTY * FRAGMENTS_MAX, 1009),
    "message in tiny parts": (in_parts(init(FRAGMENTS_MAX + 1), 1), 1009),
}


@pytest.mark.parametrize(("sent", "code"), WRONG.values(), ids=WRONG)
async def test_a_wrong_frame_closes_with_its_code(address: str, sent: bytes, code: int) -> None:
    async with shaken(address) as client:
        await client.send(sent)

        assert await close_code(client) == code
    await still_serves(address)


async def test_a_wrong_frame_that_is_followed_by_more_closes_once(address: str) -> None:
    async with shaken(address) as client:
        more = [frame(PING), frame(PONG), frame(TEXT, b"{}")]
        await client.send(frame(TEXT, b"\xff") + b"".join(more) * 10)

        assert await close_code(client) == 1007


@pytest.mark.parametrize("part", [WEBSOCKET_FRAME_BYTES, 10_000])
async def test_a_message_may_be_as_large_as_the_limit(address: str, part: int) -> None:
    async with shaken(address) as client:
        await client.send(in_parts(init(WEBSOCKET_FRAME_BYTES), part))
        opcode, payload = await next_frame(client)

    assert (opcode, json.loads(payload)["type"]) == (TEXT, "connection_ack")


async def test_compression_is_not_agreed_on(address: str) -> None:
    async with raw(address) as client:
        await client.send(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        answer = await client.answer()

    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


def test_pings_go_out_by_themselves(settings: Settings) -> None:
    config = configuration(lambda *_: None, settings)  # type: ignore[arg-type]  # never called

    assert (config.ws_ping_interval, config.ws_ping_timeout) == (20.0, 20.0)
    assert (config.ws_max_size, config.ws_per_message_deflate) == (256 * 1024, False)


async def test_a_peer_that_answers_no_ping_is_dropped(settings: Settings) -> None:
    async with served(settings, ws_ping_interval=SHORT_S, ws_ping_timeout=SHORT_S) as server:
        async with shaken(server.address) as client:
            assert (await next_frame(client))[0] == PING
            assert await close_code(client) == 1001
        await until(lambda: not server.connections)


async def test_a_peer_that_answers_pings_stays(settings: Settings) -> None:
    async with served(settings, ws_ping_interval=SHORT_S, ws_ping_timeout=10 * SHORT_S) as server:
        async with shaken(server.address) as client:
            for _ in range(5):
                opcode, payload = await next_frame(client)
                assert opcode == PING
                await client.send(frame(PONG, payload))
            await client.send(frame(TEXT, init(100)))

            assert (await next_frame(client))[0] == TEXT


async def test_a_ping_is_answered_with_what_it_holds(address: str) -> None:
    async with shaken(address) as client:
        await client.send(frame(PING, b"are you there"))

        assert await next_frame(client) == (PONG, b"are you there")


async def test_a_handshake_has_the_deadline_of_every_head(settings: Settings) -> None:
    async with served(settings, http=Impatient) as server, raw(server.address) as client:
        await client.send(HANDSHAKE[:-2])

        assert (await client.answer()).status == 408
        assert await client.rest() == b""


HANDSHAKES = {
    "long line": (HANDSHAKE[:-2] + b"Cookie: " + b"a" * 9_000 + b"\r\n\r\n", 431),
    "large head": (HANDSHAKE[:-2] + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "many headers": (HANDSHAKE[:-2] + b"X: a\r\n" * 100 + b"\r\n", 431),
    "two hosts": (HANDSHAKE[:-2] + b"Host: b\r\n\r\n", 400),
    "with a body": (HANDSHAKE[:-2] + b"Content-Length: 2\r\n\r\n{}", 400),
    "sent ahead": (HANDSHAKE + frame(TEXT, init(100)), 400),
    "POST": (HANDSHAKE.replace(b"GET", b"POST"), 405),
    "no key": (HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X"), 400),
    "other version": (HANDSHAKE.replace(b"13\r\n", b"12\r\n"), 400),
}


@pytest.mark.parametrize(("sent", "status"), HANDSHAKES.values(), ids=HANDSHAKES)
async def test_a_handshake_that_is_none_is_refused_and_the_connection_ends(
    address: str, sent: bytes, status: int
) -> None:
    answer = await exchange(address, sent)

    assert answer.status == status
    await still_serves(address)


async def test_a_frame_before_the_handshake_is_answered_is_no_fault_of_the_server(address: str) -> None:
    for early in (frame(TEXT, init(100)), frame(TEXT, b"{}", masked=False), frame(CLOSE)):
        async with raw(address) as client:
            await client.send(HANDSHAKE)
            await asyncio.sleep(0)
            await client.send(early + frame(CLOSE, (1000).to_bytes(2)))
            await client.ended()
    await still_serves(address)
