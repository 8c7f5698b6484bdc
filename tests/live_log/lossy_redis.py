"""A Redis that loses wake-ups: a server of the drills' own behind a proxy that drops some of what it pushes.

The proxy takes whole frames out of what the server sends, so a reader misses a message and nothing else. It outlives
the server: a connection ends with the server's, and the next one reaches the server that was started again.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from domain.base.embedded import _redis_binary

START_DEADLINE_S = 20.0
POLL_S = 0.02
_CHUNK = 65536
# As an array for readers of the second protocol, as a push for those of the third.
_MESSAGES = (b"*3\r\n$7\r\nmessage\r\n", b">3\r\n$7\r\nmessage\r\n")
_STRINGS, _LISTS, _MAPS = b"$!=", b"*~>", b"%|"


def frame_end(data: bytes, at: int = 0) -> int | None:
    """Where the frame that begins at `at` ends; None while it is not all there.

    Source: Redis serialization protocol specification, versions 2 and 3.
    """
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    kind, end = data[at : at + 1], line + 2
    if kind in _STRINGS:
        length = int(data[at + 1 : line])
        end += 0 if length < 0 else length + 2
        return end if end <= len(data) else None
    if kind not in _LISTS and kind not in _MAPS:
        return end
    count = int(data[at + 1 : line]) * (2 if kind in _MAPS else 1)
    # What attributes are about follows them.
    for _ in range(count + (kind == b"|")):
        found = frame_end(data, end)
        if found is None:
            return None
        end = found
    return end


class LossyRedis:
    """The server and the proxy. `loses` is asked for each message on its way to a reader."""

    def __init__(self, directory: Path, loses: Callable[[], bool]) -> None:
        self._directory = directory
        self._loses = loses
        self._server: asyncio.subprocess.Process | None = None
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self.passed = self.dropped = 0

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"redis://127.0.0.1:{self._port}"

    @property
    def _socket(self) -> Path:
        return self._directory / "redis.sock"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block."""
        await self._start()
        try:
            async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as proxy:
                self._port = proxy.sockets[0].getsockname()[1]
                yield
                proxy.close()
                # The connections end with the server. Python 3.11's proxy would not wait for them.
                await self._kill()
                while self._connections:
                    await asyncio.wait(self._connections)
        finally:
            await self._kill()

    async def restart(self) -> None:
        """Kill the server, and start it again with nothing in it."""
        await self._kill()
        await self._start()

    async def _start(self) -> None:
        self._server = await asyncio.create_subprocess_exec(
            _redis_binary(),
            *("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._directory)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(START_DEADLINE_S):
            while True:
                if await self._answers():
                    break
                await asyncio.sleep(POLL_S)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            await _ended(writer)

    async def _kill(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGKILL)
            await server.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._socket)
        except OSError:
            await _ended(writer)
            return
        both = [
            asyncio.create_task(self._forward(reader, to_server)),
            asyncio.create_task(self._filter(from_server, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
            await _ended(to_server)
            await _ended(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()

    async def _filter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                held += data
                while (end := frame_end(held)) is not None:
                    frame, held = held[:end], held[end:]
                    if not self._is_lost(frame):
                        writer.write(frame)
                await writer.drain()

    def _is_lost(self, frame: bytes) -> bool:
        if not frame.startswith(_MESSAGES):
            return False
        lost = self._loses()
        self.dropped += lost
        self.passed += not lost
        return lost


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
