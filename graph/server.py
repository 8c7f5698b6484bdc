"""How uvicorn serves the application: its limits, and a websocket that does not wait for ever."""

import asyncio

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

log = structlog.get_logger("server")


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's, which waits without end for a reader that has stopped to read, and cannot close the socket then.

    Whoever sends waits while the socket's buffer is full, so a slow reader costs the buffer and what its operations
    hold. One that takes nothing for `patience_s` is cut off.
    """

    patience_s: float = 30.0
    _end: asyncio.TimerHandle | None = None

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
        await super().send(message)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._end_in_time()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._end_in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def _end_in_time(self) -> None:
        """Closing waits without end for a reader that does not take what is left."""
        if self._end is None and not self.disconnected:
            self._end = self.loop.call_later(self.close_timeout, self.transport.abort)


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
