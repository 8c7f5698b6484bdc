"""How uvicorn serves the application: its limits, and a websocket that does not wait for ever."""

import asyncio
import gc
import socket
from asyncio import BaseTransport

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from domain.base.settings import Settings

BACKLOG = 2048
# A frame is one operation; 256 KiB is more than any document that passes the limits.
WEBSOCKET_FRAME_BYTES = 256 * 1024
# Requests get this long to end before the application closes its connections.
REQUESTS_DEADLINE_S = 2

SEND_BUFFER_BYTES = 64 * 1024
# Objects that may be in cycles and were made and not freed: before the youngest are looked at; then in how many such
# looks the middle generation is, and in how many of these all are.
COLLECT_AFTER = (50_000, 20, 20)

log = structlog.get_logger("server")


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's, which waits without end for a reader that has stopped to read, and cannot close the socket then.

    Whoever sends waits while the buffer is full, so a slow reader costs the buffer and what its operations hold. One
    that takes nothing for `patience_s` is cut off.
    """

    patience_s: float = 30.0

    def connection_made(self, transport: BaseTransport) -> None:
        # The system's own buffer grows to megabytes, and says that there is room only once a third of it is free: a
        # reader who reads all the time would look like one who does not.
        socket_: socket.socket = transport.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            # A pong for who reads nothing would wait in memory, and pings are never held back.
            self.conn.data_to_send()

    async def send(self, message: ASGISendEvent) -> None:
        while not self.writable.is_set():
            unsent = self.transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self.patience_s):
                    await self.writable.wait()
            except TimeoutError:
                if self.transport.get_write_buffer_size() >= unsent:
                    log.info("a reader that took nothing was cut off", unsent_bytes=unsent)
                    self.transport.abort()
                    raise ClientDisconnected from None
        if self.close_sent:
            # It was closed for another reason while this waited.
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent:
            self._end_soon()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end_soon()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        # The client may have said that it closes, and take nothing any more.
        if not self.disconnected:
            self._end_soon()

    def _end_soon(self) -> None:
        """Closing waits for what is sent to be taken; this ends it where nobody takes it."""
        self.loop.call_later(self.patience_s, self._cut_off)

    def _cut_off(self) -> None:
        if not self.disconnected:
            self.transport.abort()

    def shutdown(self) -> None:
        if self.writable.is_set():
            super().shutdown()
        else:
            # A farewell would wait behind what is not read.
            self.transport.abort()


def calm_collector() -> None:
    """Let Python look for cycles seldom, and never in what the start has made.

    A look at everything stops the process; with 1,000 sockets for about 0.4 s, every second or two by Python's own
    thresholds. What is in no cycle, which is nearly all, is freed at once all the same.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def configuration(app: ASGIApp, settings: Settings, *, lifespan: bool = True) -> uvicorn.Config:
    """Uvicorn's configuration for the application."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws=WebSocketProtocol,
        ws_max_size=WEBSOCKET_FRAME_BYTES,
        ws_per_message_deflate=False,
        lifespan="on" if lifespan else "off",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        backlog=BACKLOG,
        timeout_graceful_shutdown=REQUESTS_DEADLINE_S,
    )
