"""A connection that speaks WebSocket: what a frame may be, and what ends a socket that does not take or answer."""

import asyncio
import socket
from asyncio import BaseTransport

import structlog
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from graph.server_http import LINGER_S, PATIENCE_S, Unservable, refusal_bytes

# A frame is one operation; 256 KiB is more than any document that passes the limits. A message in several frames has
# the same limit.
WEBSOCKET_FRAME_BYTES = 256 * 1024
# A message may come in so many frames; without that, empty ones could go on for ever.
FRAGMENTS_MAX = 1_000
# Proxies drop what is silent for a minute, and a peer that is gone without a word shows only by its missing pong.
PING_INTERVAL_S = 20.0
PONG_DEADLINE_S = 20.0
SEND_BUFFER_BYTES = 64 * 1024
# A frame takes about 10 us to parse, however small, and the system hands over 40,000 at once: so much is parsed, and
# the rest waits until others were served and the application has taken what was in it.
PIECE_BYTES = 4 * 1024
# What still comes when the socket is closed is looked through for the other end's close, and no further than this.
AFTER_CLOSE_BYTES = 16 * 1024

log = structlog.get_logger("server")


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's, which waits without end for a reader that has stopped to read, and cannot close the socket then.

    Whoever sends waits while the buffer is full, so a slow reader costs the buffer and what its operations hold. One
    that takes nothing for `patience_s` is cut off.
    """

    patience_s: float = PATIENCE_S
    linger_s: float = LINGER_S
    _ended = False
    _unparsed = b""
    _parses_soon = False
    _after_close_left = AFTER_CLOSE_BYTES

    def connection_made(self, transport: BaseTransport) -> None:
        # The system's own buffer grows to megabytes, and says that there is room only once a third of it is free: a
        # reader who reads all the time would look like one who does not.
        socket_: socket.socket = transport.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if self.handshake_initiated:
            self._unparsed += data
            # What comes in one piece, as nearly all does, waits for nothing.
            if not self._parses_soon and (self.close_sent or self.queue.empty()):
                self._parse()
            else:
                self._read_no_further()
            return
        super().data_received(data)
        if not self.handshake_initiated and not self._ended:
            # The head comes whole, so nothing that follows could make a handshake of it. Uvicorn would wait for more.
            self._refuse(Unservable(400, "This is no handshake of a websocket."))

    def _parse(self) -> None:
        """Parse the next piece of what has come. Nothing more is read before all of it is parsed."""
        self._parses_soon = False
        if self._ended:
            return
        piece, self._unparsed = self._unparsed[:PIECE_BYTES], self._unparsed[PIECE_BYTES:]
        was_closed = self.close_sent
        super().data_received(piece)
        if was_closed and not self._ended:
            self._after_close_left -= len(piece)
            if self._after_close_left <= 0:
                self._hear_no_more()
                return
        if self._unparsed and not self._ended:
            self._read_no_further()
        self._parse_on()

    def _read_no_further(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _parse_on(self) -> None:
        """Parse the next piece soon, if the application has taken what was in the last; read on if there is none."""
        if self._ended or not (self.close_sent or self.queue.empty()):
            return
        if not self._unparsed:
            if self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
        elif not self._parses_soon:
            self._parses_soon = True
            self.loop.call_soon(self._parse)

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        self._parse_on()
        return message

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        elif not self._ended:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # Uvicorn would log it as a fault of its own.
                self.frames = []
                self._fail(CloseCode.INVALID_DATA, "invalid UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        self._leave()

    def handle_ping(self) -> None:
        if self._ended:
            return
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
            self._parse_on()
            self._end_soon()

    def keepalive_timeout(self) -> None:
        # Uvicorn closes with 1011 here, at which the client of graphql-ws gives up for good; after 1001 it comes back.
        self.pong_timer = None
        self.pending_ping_payload = None
        if not self.close_sent and not self.transport.is_closing():
            self.conn.fail(CloseCode.GOING_AWAY, "no pong came")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()
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
        if self.close_sent or self._ended:
            # It ends by its own deadlines, which are shorter than the server's.
            self._end_by(self.linger_s)
        elif not self.handshake_complete:
            self._refuse(Unservable(503, "The server is going away.", "UNAVAILABLE"))
        elif self.writable.is_set():
            self._fail(CloseCode.GOING_AWAY, "Going away")
        else:
            # A farewell would wait behind what is not read.
            self.transport.abort()

    def _refuse(self, refusal: Unservable) -> None:
        """Answer to a handshake that cannot be one, or comes too late."""
        if self.initial_response is None:
            # The library has its own answer to a line that is too long.
            answer = b"".join(self.conn.data_to_send()) or refusal_bytes(refusal, self.default_headers)
            self.transport.write(answer)
        self.handshake_complete = True
        self._end(1006, "")

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.conn.fail(code, reason)
        self._leave()

    def _leave(self) -> None:
        """Send the close frame that is ready, behind all that was sent before, and end."""
        self.transport.write(b"".join(self.conn.data_to_send()))
        sent = self.conn.close_sent
        self._end(1006 if sent is None else sent.code, "" if sent is None else sent.reason)

    def _end(self, code: int, reason: str) -> None:
        """Tell the application, and throw away what still comes until the other end has closed."""
        self.stop_keepalive()
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._hear_no_more()
        self._end_by(self.linger_s)

    def _hear_no_more(self) -> None:
        self._ended, self._unparsed = True, b""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _end_by(self, time_s: float) -> None:
        # While there is one, uvicorn leaves the transport open when the application has ended.
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(time_s, self._cut_off)
