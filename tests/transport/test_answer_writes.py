"""An answer that is whole leaves in one write, and every answer is the bytes that uvicorn itself would send."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from domain.base.settings import Settings, load
from graph.server_answer import MOST_JOINED_BYTES
from graph.server_http import HttpProtocol
from tests.attacks.raw import raw, running

LENGTH = (b"content-length", b"5")
START: Message = {"type": "http.response.start", "status": 200, "headers": [LENGTH, (b"X-Two", b"1"), (b"X-Two", b"2")]}
BODY: Message = {"type": "http.response.body", "body": b"whole"}
BARE: Message = {"type": "http.response.start", "status": 404, "headers": []}
FIRST: Message = {"type": "http.response.body", "body": b"who", "more_body": True}
LAST: Message = {"type": "http.response.body", "body": b"le"}
EMPTY: Message = {"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]}
LONG = b"x" * (MOST_JOINED_BYTES + 1)
LONG_START: Message = {**START, "headers": [(b"content-length", b"%d" % len(LONG))]}
ANSWERS: dict[str, list[Message]] = {
    "whole": [START, BODY],
    "long": [LONG_START, {**BODY, "body": LONG}],
    "without a length": [BARE, BODY],
    "in pieces": [START, FIRST, LAST],
    "in chunks": [BARE, FIRST, LAST],
    "closed": [{**START, "headers": [LENGTH, (b"connection", b"close")]}, BODY],
    "empty": [EMPTY, {"type": "http.response.body"}],
    "no body": [START],
    "nothing": [],
    "too long": [{**START, "headers": [(b"content-length", b"4")]}, BODY],
    "two heads": [START, START, BODY],
    "split": [{**START, "headers": [LENGTH, (b"x-name", b"a\r\nset-cookie: b")]}, BODY],
}
REQUESTS = {
    "get": b"GET / HTTP/1.1\r\nHost: planwire.test\r\n\r\n",
    "head": b"HEAD / HTTP/1.1\r\nHost: planwire.test\r\n\r\n",
    "last": b"GET / HTTP/1.1\r\nHost: planwire.test\r\nConnection: close\r\n\r\n",
}
END = b"GET /end HTTP/1.1\r\nHost: planwire.test\r\nConnection: close\r\n\r\n"


class Bare(HttpProtocol):
    """The protocol, but uvicorn writes the answers."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        HttpToolsProtocol._start_asgi_task(self, cycle, app)


class Counted:
    """A transport that counts how often something is written."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes = 0

    def write(self, data: bytes) -> None:
        """As the transport's."""
        self.writes += 1
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Counting(HttpProtocol):
    """The protocol over such a transport."""

    made: Counted

    def connection_made(self, transport: Any) -> None:
        Counting.made = Counted(transport)
        super().connection_made(Counting.made)  # type: ignore[arg-type]  # it is one but for its class


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a server that needs no database."""
    return load({}, data_dir=tmp_path)


def saying(messages: list[Message]) -> ASGIApp:
    """An application that answers so."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        for message in [START, BODY] if scope["path"] == "/end" else messages:
            await send(message)

    return app


async def said(settings: Settings, http: type[HttpProtocol], app: ASGIApp, request: bytes) -> bytes:
    """All that comes back until the connection ends, without dates."""
    async with running(settings, http, app) as server, raw(server.address) as client:
        await client.send(request + END)
        return re.sub(rb"date: [^\r]*", b"date:", (await client.rest()).lower())


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
@pytest.mark.parametrize("messages", ANSWERS.values(), ids=list(ANSWERS))
async def test_an_answer_is_what_uvicorn_says(alone: Settings, messages: list[Message], request_: bytes) -> None:
    app = saying(messages)

    assert await said(alone, HttpProtocol, app, request_) == await said(alone, Bare, app, request_)


async def test_a_whole_answer_is_one_write(alone: Settings) -> None:
    async with running(alone, Counting, saying([START, BODY])) as server, raw(server.address) as client:
        for count in (1, 2, 3):
            await client.send(REQUESTS["get"])

            answer = await client.answer()

            assert (answer.status, answer.body, Counting.made.writes) == (200, b"whole", count)


async def test_nothing_is_written_to_who_has_left(alone: Settings) -> None:
    left, told = asyncio.Event(), asyncio.Event()

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            left.set()
        await send(START)
        await send(BODY)
        told.set()

    async with running(alone, Counting, app) as server:
        async with raw(server.address) as client:
            await client.send(REQUESTS["get"])
            await left.wait()
        async with asyncio.timeout(20):
            await told.wait()

        assert Counting.made.writes == 0
