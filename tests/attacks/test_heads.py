"""Heads and bodies that come late, too large or in two meanings, and answers that nobody takes."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.base.settings import Settings, load
from graph.server_http import CHUNK_BYTES_LEAST, CHUNKS_FREE, HEAD_BYTES, HEADERS_MAX, TARGET_BYTES, HttpProtocol
from tests.attacks.raw import (
    exchange,
    nothing_unhandled,
    post,
    raw,
    running,
    still_serves,
)
from tests.events.live import until

HOST = b"Host: planwire.test\r\n"
CHUNKED = b"POST /graphql HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
SHORT_S = 0.3
# Of a client that takes next to nothing.
SMALL_BUFFER_BYTES = 4 * 1024
# With less, the system itself waits long between two packets.
MODEST_BUFFER_BYTES = 128 * 1024
LARGE = 4 * 1024 * 1024


class Impatient(HttpProtocol):
    """The protocol, with less patience than a test has."""

    head_deadline_s = SHORT_S
    body_deadline_s = SHORT_S
    patience_s = SHORT_S


class LateReaders(HttpProtocol):
    """The protocol, with the patience that a busy machine asks for."""

    patience_s = 2.0


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a server that needs no database."""
    return load({}, data_dir=tmp_path)


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


AMBIGUOUS = {
    "no host": (get(), 400),
    "two hosts": (get(b"Host: a", b"Host: b"), 400),
    "the same host twice": (get(b"Host: a", b"Host: a"), 400),
    "two hosts in 1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "length and coding": (CHUNKED + b"Content-Length: 5\r\n\r\n", 400),
    "coding and length": (post(b"", "Transfer-Encoding: chunked"), 400),
    "two lengths": (post(b"{}", "Content-Length: 3"), 400),
    "the same length twice": (post(b"{}", "Content-Length: 2"), 400),
    "lengths in a list": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
    "length with a sign": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +2\r\n\r\n{}", 400),
    "length below nothing": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -2\r\n\r\n{}", 400),
    "length without end": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "no length": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\n", 400),
    "unknown coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "no coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "coding twice": (CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding twice, one unknown": (CHUNKED + b"Transfer-Encoding: cow\r\n\r\n0\r\n\r\n", 400),
    "coding behind a tabulator": (CHUNKED[:-10] + b"\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding in 1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "NUL in a value": (get(b"Host: a", b"X: a\0b"), 400),
    "NUL in a name": (get(b"Host: a", b"X\0: b"), 400),
    "NUL in the target": (get(b"Host: a", target=b"/\0"), 400),
    "control character": (get(b"Host: a", b"X: \x01"), 400),
    "space before the colon": (get(b"Host : a"), 400),
    "folded line": (get(b"Host: a", b" b"), 400),
    "folded first line": (get(b" Host: a"), 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "one bare line feed": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "bare line feed at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    "space in the target": (get(b"Host: a", target=b"/a b"), 400),
    "letters beyond ASCII in the target": (get(b"Host: a", target="/é".encode()), 400),
    "target that names no path": (get(b"Host: a", target=b"http://a"), 400),
    "tunnel": (b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "unknown method": (b"FETCH / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "unknown version": (b"GET / HTTP/1.7\r\n" + HOST + b"\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505),
    "HTTP/2.0 by name": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (bytes.fromhex("16030100c8010000c40303"), 400),
    "upgrade with a chunked body": (CHUNKED + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n0\r\n\r\n", 400),
    "websocket with a body": (post(b"{}", "Connection: upgrade", "Upgrade: websocket"), 400),
}
CHUNKS = {
    "no number": b"zz\r\n",
    "below nothing": b"-1\r\nx\r\n",
    "with a prefix": b"0x1\r\nx\r\n",
    "without end": b"f" * 20 + b"\r\n",
    "longer than told": b"1\r\nxyz\r\n",
    "bare line feed": b"1\nx\r\n",
    "NUL": b"\0",
    "tiny without end": b"1\r\na\r\n" * 100_000,
    "endless extension": b"1;" + b"a" * HEAD_BYTES,
    "endless trailer": b"0\r\nX: " + b"a" * HEAD_BYTES,
    "endless trailers": b"0\r\n" + b"X: a\r\n" * HEAD_BYTES,
}


@pytest.mark.parametrize(("sent", "status"), AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends(
    address: str, sent: bytes, status: int
) -> None:
    answer = await exchange(address, sent)

    assert (answer.status, answer.code) == (status, "BAD_USER_INPUT")
    assert answer.headers["connection"] == "close"
    await still_serves(address)


@pytest.mark.parametrize("path", ["/graphql", "/"])
@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS)
async def test_a_body_whose_chunks_cannot_be_read_is_refused(address: str, chunk: bytes, path: str) -> None:
    answer = await exchange(address, CHUNKED.replace(b"/graphql", path.encode()) + b"\r\n" + chunk)

    assert answer.status == 400
    await still_serves(address)


@pytest.mark.parametrize("ahead", [1, 3])
async def test_nothing_behind_a_refusal_is_executed_and_what_is_before_is_answered(alone: Settings, ahead: int) -> None:
    async with running(alone) as server, raw(server.address) as client:
        await client.send(get(b"Host: a", target=b"/first") * ahead + get() + get(b"Host: a", target=b"/last"))
        first = [await client.answer() for _ in range(ahead)]
        refusal = await client.answer()

        assert [answer.json()["path"] for answer in first] == ["/first"] * ahead
        assert refusal.status == 400
        assert await client.rest() == b""


async def test_a_head_may_be_as_large_as_the_limits_and_no_larger(alone: Settings) -> None:
    def padded(size: int) -> bytes:
        empty = get(b"Host: a", b"X: ", b"Connection: close")
        return empty.replace(b"X: ", b"X: " + b"a" * (size - len(empty)))

    def many(count: int) -> bytes:
        return get(b"Host: a", b"Connection: close", *[b"X: a"] * (count - 2))

    def long(size: int) -> bytes:
        return get(b"Host: a", b"Connection: close", target=b"/" + b"a" * (size - 1))

    async with running(alone) as server:
        statuses = {
            name: (await exchange(server.address, sent)).status
            for name, sent in {
                "size": padded(HEAD_BYTES),
                "size + 1": padded(HEAD_BYTES + 1),
                "count": many(HEADERS_MAX),
                "count + 1": many(HEADERS_MAX + 1),
                "target": long(TARGET_BYTES),
                "target + 1": long(TARGET_BYTES + 1),
            }.items()
        }

    assert statuses == {
        "size": 200,
        "size + 1": 431,
        "count": 200,
        "count + 1": 431,
        "target": 200,
        "target + 1": 414,
    }


ENDLESS = {
    "header": (b"GET / HTTP/1.1\r\nX: " + b"a" * LARGE, 431),
    "headers": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (LARGE // 6), 431),
    "target": (b"GET /" + b"a" * LARGE, 414),
    "method": (b"G" * LARGE, 400),
    "empty lines": (b"\r\n" * (LARGE // 2), 431),
}


@pytest.mark.parametrize(("sent", "status"), ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end_is_refused_and_the_refusal_arrives(address: str, sent: bytes, status: int) -> None:
    answer = await exchange(address, sent)

    assert (answer.status, answer.code) == (status, "BAD_USER_INPUT")
    await still_serves(address)


@pytest.mark.parametrize("before", [b"", get(b"Host: a")], ids=["first", "second"])
async def test_a_head_that_is_dribbled_is_late(alone: Settings, before: bytes) -> None:
    async with running(alone, Impatient) as server, raw(server.address) as client:
        if before:
            await client.send(before)
            assert (await client.answer()).status == 200
        answer = asyncio.create_task(client.answer())
        for byte in get(b"Host: a", b"X: " + b"a" * 10_000):
            await client.send(bytes([byte]))
            await asyncio.wait({answer}, timeout=SHORT_S / 10)
            if answer.done():
                break

        assert ((await answer).status, (await answer).code) == (408, "BAD_USER_INPUT")
        assert (await answer).headers["connection"] == "close"
        assert await client.rest() == b""
        await until(lambda: not server.connections)


async def test_who_says_nothing_is_left_without_a_word(alone: Settings) -> None:
    async with running(alone, Impatient) as server, raw(server.address) as client:
        assert await client.rest() == b""
        await until(lambda: not server.connections)
        assert HttpProtocol.waiting == {}


async def test_a_slow_answer_is_not_a_late_head(alone: Settings) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(2 * SHORT_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with running(alone, Impatient, slow) as server, raw(server.address) as client:
        # The beginning of the second head waits for the first answer, and its time begins then.
        whole = get(b"Host: a")
        await client.send(whole + whole[:10])
        assert (await client.answer()).status == 200
        await client.send(whole[10:])
        assert (await client.answer()).status == 200


async def test_a_connection_is_kept_for_the_next_request(alone: Settings) -> None:
    async with running(alone, Impatient, timeout_keep_alive=SHORT_S) as server, raw(server.address) as client:
        for number in range(3):
            await client.send(post(b"%d" % number))
            assert (await client.answer()).json()["body"] == str(number)
        assert await client.rest() == b""


async def test_a_head_may_come_in_any_parts(alone: Settings) -> None:
    sent = (
        post(b"first", path="/1")
        + CHUNKED
        + b"\r\n3\r\n\r\n\r\r\n1;a=b\r\n\n\r\n0\r\nX-Late: a\r\n\r\n"
        + post(b"", path="/3")
    )
    for step in (1, 2, 3, 7, 50, len(sent)):
        async with running(alone) as server, raw(server.address) as client:
            for at in range(0, len(sent), step):
                await client.send(sent[at : at + step])
                await asyncio.sleep(0)
            answers = [(await client.answer()).json() for _ in range(3)]

        assert [answer["path"] for answer in answers] == ["/1", "/graphql", "/3"]
        assert [answer["body"] for answer in answers] == ["first", "\r\n\r\n", ""]
        assert "x-late" not in json.dumps(answers).lower()


async def test_a_body_may_come_in_many_chunks(alone: Settings) -> None:
    def chunked(count: int, size: int) -> bytes:
        return (
            CHUNKED + b"Connection: close\r\n\r\n" + (b"%x\r\n" % size + b"a" * size + b"\r\n") * count + b"0\r\n\r\n"
        )

    async with running(alone) as server:
        small = await exchange(server.address, chunked(CHUNKS_FREE - 1, 1))
        many = await exchange(server.address, chunked(10 * CHUNKS_FREE, CHUNK_BYTES_LEAST + 1))

    assert len(small.json()["body"]) == CHUNKS_FREE - 1
    assert len(many.json()["body"]) == 10 * CHUNKS_FREE * (CHUNK_BYTES_LEAST + 1)


async def test_who_sends_ahead_without_reading_fills_no_memory(alone: Settings) -> None:
    one = get(b"Host: a", target=b"/large/5000")
    async with running(alone) as server, raw(server.address, SMALL_BUFFER_BYTES) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(one * 100_000)
        await until(lambda: any(each.flow.is_held and each.flow.write_paused for each in server.connections))
        (connection,) = server.connections

        assert len(connection.pipeline) == 0
        assert len(connection._held) < 512 * 1024
        assert connection.transport.get_write_buffer_size() < 128 * 1024
        assert (await exchange(server.address, get(b"Host: a", b"Connection: close"))).status == 200


async def test_what_is_sent_ahead_is_answered_in_order(alone: Settings) -> None:
    async with running(alone) as server, raw(server.address) as client:
        sending = asyncio.create_task(client.send(b"".join(post(b"%d" % number) for number in range(2_000))))
        found = [(await client.answer()).json()["body"] for _ in range(2_000)]
        await sending

    assert found == [str(number) for number in range(2_000)]


@pytest.mark.parametrize("lines", [(), (b"Connection: close",)], ids=["kept", "closing"])
@pytest.mark.parametrize("size", [1_000_000, 8_000_000])
async def test_who_does_not_take_the_answer_is_cut_off(alone: Settings, size: int, lines: tuple[bytes, ...]) -> None:
    asked = get(b"Host: a", *lines, target=b"/large/%d" % size)
    async with running(alone, Impatient) as server, raw(server.address, SMALL_BUFFER_BYTES) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(asked)
        await until(lambda: server.connections)
        await until(lambda: not server.connections)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        taken = 0
        with contextlib.suppress(ConnectionError):
            taken = len(await client.rest())

        assert taken < size


async def test_who_takes_the_answer_slowly_gets_all_of_it(alone: Settings) -> None:
    async with running(alone, LateReaders) as server, raw(server.address, MODEST_BUFFER_BYTES) as client:
        await client.send(get(b"Host: a", target=b"/large/%d" % LARGE))
        taken = 0
        for _ in range(6):
            taken += len(await client.reader.read(256 * 1024))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(LateReaders.patience_s / 4)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        taken += len(await client.rest())

        assert taken > LARGE


async def test_a_body_that_comes_after_its_answer_is_not_waited_for(alone: Settings) -> None:
    async with running(alone, Impatient) as server, raw(server.address) as client:
        await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        answer = await client.answer()
        with contextlib.suppress(ConnectionError):
            while not client.reader.at_eof():
                await client.send(b"a")
                await asyncio.sleep(SHORT_S / 10)

        assert answer.body == b"early"
        await until(lambda: not server.connections)


async def test_a_body_that_ends_after_its_answer_leaves_the_connection_as_it_was(alone: Settings) -> None:
    async with running(alone, Impatient) as server, raw(server.address) as client:
        await client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
        early = await client.answer()
        await client.send(b"a" * 1000 + get(b"Host: a", target=b"/next"))
        answer = await client.answer()

    assert (early.body, answer.json()["path"]) == (b"early", "/next")


async def test_a_wish_for_http_2_is_passed_over_and_hides_no_request_in_its_body(alone: Settings) -> None:
    hidden = get(b"Host: a", target=b"/hidden")
    wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    async with running(alone) as server, raw(server.address) as client:
        await client.send(post(hidden, *wish, path="/first") + get(b"Host: a", target=b"/second"))
        first, second = (await client.answer()).json(), (await client.answer()).json()
        await client.send(get(b"Host: a", *[line.encode() for line in wish], target=b"/third"))
        third = (await client.answer()).json()

    assert (first["path"], first["body"]) == ("/first", hidden.decode())
    assert (second["path"], third["path"]) == ("/second", "/third")


async def test_a_thousand_silent_connections_hold_nobody_up(address: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(1_000):
            await stack.enter_async_context(raw(address))
        await still_serves(address)


class Narrow(HttpProtocol):
    """The protocol, where few have room."""

    connections_max = 5


async def test_where_there_is_no_room_who_has_waited_longest_gives_way(alone: Settings) -> None:
    async with running(alone, Narrow) as server, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(raw(server.address)) for _ in range(50)]
        answer = await exchange(server.address, get(b"Host: a", b"Connection: close"))
        await asyncio.gather(*(client.ended() for client in silent[:45]))

        assert answer.status == 200
        assert len(server.connections) <= Narrow.connections_max


async def test_where_all_are_being_answered_a_newcomer_is_told(alone: Settings) -> None:
    go = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with running(alone, Narrow, waits) as server, contextlib.AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(raw(server.address)) for _ in range(Narrow.connections_max)]
        for client in busy:
            await client.send(get(b"Host: a"))
        await until(lambda: len(server.server.server_state.tasks) == Narrow.connections_max)
        async with raw(server.address) as late:
            refusal = await late.answer()
        go.set()

        assert (refusal.status, refusal.code) == (503, "UNAVAILABLE")
        assert [(await client.answer()).status for client in busy] == [200] * Narrow.connections_max
