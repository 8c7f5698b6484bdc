"""Servers in the process of a test, and clients of them. The servers notice at once that they shall end: Uvicorn looks
ten times a second."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

# How often Uvicorn renews the date of its answers.
LOOK_S = 1.0
# To read the certificates of the system for each client takes longer than most tests, and no server here has TLS.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client of servers without TLS."""
    return httpx.AsyncClient(verify=_NO_CERTIFICATES, **options)


class Server(uvicorn.Server):
    """Uvicorn, woken by `should_exit`, and without its signal handlers: whoever runs the tests has their own."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._told = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether it shall end."""
        return self._told.is_set()

    @should_exit.setter
    def should_exit(self, told: bool) -> None:
        (self._told.set if told else self._told.clear)()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the signals stay whose they are."""
        yield

    async def main_loop(self) -> None:
        """As Uvicorn's, but for the wait."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), LOOK_S)


class _Fake(Server):
    """One of which nobody tests how it ends."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As Uvicorn's, which always waits for a tenth of a second."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        # An idle connection is gone when the loop has come round.
        for _ in range(2):
            await asyncio.sleep(0)
        try:
            await asyncio.wait_for(self._wait_tasks_to_complete(), self.config.timeout_graceful_shutdown)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()


@contextlib.asynccontextmanager
async def at_a_port(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve a fake at a port."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Fake(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
