"""A client that sends the bytes it is told to, and servers and logs to send them at."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.base.settings import Settings
from graph.server import configuration
from graph.server_http import HttpProtocol
from tests.ports import Server

# Only a test that fails waits for so long.
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the one error."""
        (error,) = self.json()["errors"]
        return str(error["extensions"]["code"])


class Raw:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send it, and wait until the system has taken nearly all. Raises TimeoutError."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    async def answer(self) -> Answer:
        """The next response. Raises IncompleteReadError when the connection ends before, TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if headers.get("transfer-encoding") == "chunked":
                parts = []
                while size := int(await self.reader.readline(), 16):
                    parts.append(await self.reader.readexactly(size))
                    await self.reader.readexactly(2)
                await self.reader.readexactly(2)
                body = b"".join(parts)
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split(" ")[1]), headers, body)

    async def rest(self) -> bytes:
        """All that still comes until the server has closed in order. Raises ConnectionResetError, TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def ended(self) -> None:
        """Wait until the server has ended the connection, in order or not. Raises TimeoutError."""
        with contextlib.suppress(ConnectionError):
            await self.rest()


@contextlib.asynccontextmanager
async def raw(address: str, receive_buffer_bytes: int | None = None) -> AsyncIterator[Raw]:
    """A connection to host:port; with a small buffer the system takes next to nothing that is not read."""
    host, _, port = address.partition(":")
    plain = socket.socket()
    if receive_buffer_bytes is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    plain.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    except OSError:
        plain.close()
        raise
    reader, writer = await asyncio.open_connection(sock=plain)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def exchange(address: str, data: bytes) -> Answer:
    """The response to it, after which the server closes and says nothing more."""
    async with raw(address) as client:
        await client.send(data)
        answer = await client.answer()
        assert await client.rest() == b""
    return answer


def post(body: bytes, *lines: str, path: str = "/graphql") -> bytes:
    """A whole request with a JSON body."""
    head = [f"POST {path} HTTP/1.1", "Host: planwire.test", "Content-Type: application/json"]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", *lines, "", ""]).encode() + body


async def still_serves(address: str) -> None:
    """Somebody else is answered meanwhile."""
    answer = await exchange(address, post(b'{"query": "{ __typename }"}', "Connection: close"))
    assert (answer.status, answer.json()["data"]) == (200, {"__typename": "Query"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers what it was asked: path, headers, body. `/early` answers before it reads."""
    if scope["path"].startswith("/large"):
        body = b"x" * int(scope["path"].removeprefix("/large/"))
    elif scope["path"] == "/early":
        body = b"early"
    else:
        parts = []
        while (message := await receive())["type"] == "http.request":
            parts.append(message["body"])
            if not message["more_body"]:
                break
        headers = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        asked = {"method": scope["method"], "path": scope["path"], "headers": headers}
        body = json.dumps({**asked, "body": b"".join(parts).decode()}).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Running:
    """A server in this process."""

    address: str
    server: Server

    @property
    def connections(self) -> set[Any]:
        """What is connected."""
        return self.server.server_state.connections


@contextlib.asynccontextmanager
async def running(
    settings: Settings, http: type[HttpProtocol] = HttpProtocol, app: ASGIApp = echo, **options: Any
) -> AsyncIterator[Running]:
    """An application under uvicorn as the product is configured, but for another protocol or other options."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = configuration(app, settings, lifespan=False)
    config.http = http
    for name, value in options.items():
        setattr(config, name, value)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield Running(f"127.0.0.1:{listener.getsockname()[1]}", server)
    finally:
        server.should_exit = True
        await serving
        listener.close()


@contextlib.contextmanager
def nothing_unhandled(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """Nothing of warning or worse is logged inside the block, by whichever way. Holds the structured lines."""
    with structlog.testing.capture_logs() as lines:
        yield lines
    bad = [line for line in lines if line["log_level"] not in ("debug", "info")]
    records = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert (bad, records) == ([], [])
