"""An HTTP server that answers what it is told to, byte by byte, and keeps what it was asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """The server. `answers` are given in order, the last one from then on; an empty one leaves the client waiting."""

    port: int = 0
    answers: list[bytes | Callable[[Asked], bytes]] = field(default_factory=lambda: [OK])
    connections: int = 0
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
            if headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            asked = Asked(line, headers, await reader.readexactly(int(headers.get("content-length", 0))))
            self.asked.append(asked)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            told = answer if isinstance(answer, bytes) else answer(asked)
            writer.write(told)
            if not told:
                await reader.read()
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(
    host: str = "127.0.0.1", *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server on a free port of this machine."""
    server = Server()
    listening = await asyncio.start_server(server.handle, host, port, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
