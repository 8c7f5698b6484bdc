"""A connection that speaks HTTP: how long each part of a request may take, how large it may be, and what is refused.

Uvicorn looks at all bytes as they come. This feeds its parser one head at a time and no further than the request that
is being answered, so what a client sends ahead waits in the system's buffer and not in memory. Three things can hold a
connection, and each has its end: a head that does not come whole, a body that still comes after its answer, and an
answer that nobody takes. A body whose answer is still to be given is the application's matter.
"""

import asyncio
import resource
import socket
from asyncio import Transport
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
import orjson
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from graph.server_answer import hold_head

# From the opening of the connection, or the first byte after an answer. A head is one packet or two.
HEAD_DEADLINE_S = 10.0
# A body that comes after its answer is thrown away for so long.
BODY_DEADLINE_S = 10.0
# Request line and headers together, and in the same way what frames a chunked body between two pieces of it.
HEAD_BYTES = 16 * 1024
TARGET_BYTES = 8 * 1024
HEADERS_MAX = 100
# Beyond so many chunks a body holds so many bytes in each, on average: a byte in each costs much more than a byte.
CHUNKS_FREE = 1_000
CHUNK_BYTES_LEAST = 16
# An answer of which nothing is taken for so long is given up.
PATIENCE_S = 30.0
# The system's own buffer grows to megabytes and says that there is room only once a third of it is free: a slow reader
# would look like one that takes nothing.
SEND_BUFFER_BYTES = 128 * 1024
# To close while something unread is there resets the connection, and the other end may lose the last answer by it.
LINGER_S = 1.0
# Descriptors that connections leave to the pools, to files and to the pipes of the process.
DESCRIPTORS_KEPT = 256

END_OF_HEAD = b"\r\n\r\n"

log = structlog.get_logger("server")


class Unservable(Exception):
    """The request cannot be served, and nothing that follows it on the connection can be read."""

    def __init__(self, status: int, message: str, code: str = "BAD_USER_INPUT") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


def refusal_bytes(refusal: Unservable, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The whole answer, after which the connection ends."""
    errors = [{"message": refusal.message, "extensions": {"code": refusal.code}}]
    body = orjson.dumps({"errors": errors})
    lines = [b"%s: %s\r\n" % header for header in headers]
    head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    return b"".join([STATUS_LINE[refusal.status], *lines, head, body])


class Flow(FlowControl):
    """Uvicorn's, which the application lets read on whenever it asks for more of the body."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


def connections_max() -> int:
    """How many connections a process may hold, by the descriptors that the system gives it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, limit - DESCRIPTORS_KEPT)


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's, with an end to whatever a client can draw out."""

    head_deadline_s: float = HEAD_DEADLINE_S
    body_deadline_s: float = BODY_DEADLINE_S
    patience_s: float = PATIENCE_S
    linger_s: float = LINGER_S
    # None asks the system.
    connections_max: int | None = None

    # Connections of the process that do not wait for an answer, the longest waiting first. Descriptors are the
    # process's too, so all its servers share this.
    waiting: ClassVar[dict["HttpProtocol", None]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""
        self._in_head = True
        # How many bytes may come before something is whole: a head, a piece of a body, the end of a message.
        self._left = HEAD_BYTES
        self._moved = False
        # The last bytes that were parsed, as the end of a head may come in two parts.
        self._tail = b""
        # What is left of a body of a known length; None for a chunked one.
        self._body_left: int | None = 0
        self._chunks = self._chunked_bytes = 0
        # The parser takes no body after the wish for another protocol; it goes round the parser then.
        self._body_unparsed = False
        self._held = b""
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for: Callable[[], None] | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    # What the transport tells.

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        socket_: socket.socket = transport.get_extra_info("socket")
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().connection_made(transport)
        self.flow: Flow = Flow(transport)
        most = self.connections_max if self.connections_max is not None else connections_max()
        if len(self.connections) > most and not self._make_room():
            self._refuse(Unservable(503, "The server holds as many connections as it can.", "UNAVAILABLE"))
            return
        self.waiting[self] = None
        self._wait(self.head_deadline_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._held += data
        self._go_on()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_reader()
        if not self._is_answering():
            self._watch_reader()
            if self._held:
                self._go_on()

    # What the parser tells.

    def on_headers_complete(self) -> None:
        self._check_head()
        self._in_head, self._moved = False, True
        # Who asks once more is there; what is not taken yet is looked at again after the next answer.
        if self._reader_timer is not None:
            self._forget_reader()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            # What trails a chunked body would come to the headers, which the application has read already.
            self.headers = []

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        hold_head(cycle)
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._moved = True
        if self._body_left is not None:
            self._body_left -= len(body)
        else:
            self._chunked_bytes += len(body)
        super().on_body(body)

    def on_chunk_header(self) -> None:
        """Called for each chunk, the last one too, before what it holds. Raises Unservable."""
        self._chunks += 1
        if self._chunks > CHUNKS_FREE and self._chunked_bytes < self._chunks * CHUNK_BYTES_LEAST:
            raise Unservable(400, "The body is framed by too much.")

    def on_message_complete(self) -> None:
        self._moved = True
        if not self._body_unparsed:
            self._in_head = True
            super().on_message_complete()

    # What the answer tells.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()
        if self._held and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._go_on()
        else:
            self._settle()

    def handle_websocket_upgrade(self) -> None:
        self._leave()
        super().handle_websocket_upgrade()

    def shutdown(self) -> None:
        if not self._ended:
            super().shutdown()
            # Who takes nothing may not hold the end of the process up.
            self.patience_s = self.linger_s
            self._forget_reader()
            self._watch_reader()

    # How a request is read.

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _go_on(self) -> None:
        """Parse what has come, up to the next request that has to wait for its turn."""
        data, at, self._held = self._held, 0, b""
        if self.flow.is_held:
            self._release()
        try:
            while at < len(data) and not self._ended:
                if self._in_head and (self._is_answering() or self.flow.write_paused):
                    self._hold(data[at:])
                    break
                end = self._end_of_part(data, at)
                self._parse(data if end - at == len(data) else data[at:end], is_last=end == len(data))
                at = end
        except httptools.HttpParserError as fault:
            cause = fault.__context__
            self._refuse(cause if isinstance(cause, Unservable) else Unservable(400, "This is no HTTP request."))
        except Unservable as refusal:
            self._refuse(refusal)
        self._settle()

    def _hold(self, data: bytes) -> None:
        self._held = data
        self.flow.pause_reading()
        self.flow.is_held = True

    def _release(self) -> None:
        self.flow.is_held = False
        self.flow.resume_reading()

    def _end_of_part(self, data: bytes, at: int) -> int:
        """Where to stop parsing, so that one request at most begins or ends before."""
        if not self._in_head and self._body_left is not None:
            return min(at + self._body_left, len(data))
        limit = min(at + self._left, len(data))
        if self._tail:
            seam = (self._tail + data[at : at + 3]).find(END_OF_HEAD)
            if seam >= 0:
                return min(at + seam + len(END_OF_HEAD) - len(self._tail), limit)
        found = data.find(END_OF_HEAD, at, limit)
        return found + len(END_OF_HEAD) if found >= 0 else limit

    def _parse(self, part: bytes, *, is_last: bool) -> None:
        """Parse so much. Raises Unservable and HttpParserError."""
        self._moved = False
        try:
            if self._body_unparsed:
                self._take_unparsed(part)
            else:
                self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                if not is_last:
                    raise Unservable(400, "Nothing may be sent before the handshake is answered.") from None
                self._ended = True
                self.handle_websocket_upgrade()
        if self._moved:
            self._left, self._tail = HEAD_BYTES, b""
            return
        self._tail = (self._tail + part)[-3:]
        self._left -= len(part)
        if self._left > 0:
            return
        if not self._in_head:
            raise Unservable(400, "The body is framed by too much.")
        if len(self.url) > TARGET_BYTES:
            raise Unservable(414, f"The target of a request has at most {TARGET_BYTES} bytes.")
        raise Unservable(431, f"The head of a request has at most {HEAD_BYTES} bytes.")

    def _take_unparsed(self, part: bytes) -> None:
        super().on_body(part)
        self._moved = True
        self._body_left = (self._body_left or 0) - len(part)
        if self._body_left == 0:
            self._body_unparsed = False
            self._in_head = True
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def _check_head(self) -> None:
        """Refuse what two readers could understand in two ways, and what is too much. Raises Unservable."""
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Unservable(505, "The versions of HTTP are 1.1 and 1.0.")
        if len(self.url) > TARGET_BYTES:
            raise Unservable(414, f"The target of a request has at most {TARGET_BYTES} bytes.")
        if len(self.headers) > HEADERS_MAX:
            raise Unservable(431, f"A request has at most {HEADERS_MAX} headers.")
        hosts, length = 0, 0
        is_chunked = False
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                # The parser has seen to it that there is one, of digits.
                length = int(value)
            elif name == b"transfer-encoding":
                if value.strip().lower() != b"chunked" or version != "1.1":
                    raise Unservable(400, "The only transfer coding is chunked, of HTTP/1.1.")
                is_chunked = True
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise Unservable(400, "A request names one host.")
        self._body_left = None if is_chunked else length
        self._chunks = self._chunked_bytes = 0
        self._body_unparsed = False
        if self.parser.should_upgrade() and (is_chunked or length):
            if self._should_upgrade() or is_chunked:
                raise Unservable(400, "A request for another protocol has no such body.")
            # Java's client wishes for HTTP/2 with its first request, whatever that is; a server may pass over it.
            self._body_unparsed = True

    # How a connection ends.

    def _settle(self) -> None:
        """Wait for what has to come next."""
        if self.transport.is_closing():
            self._stop_waiting()
        elif self._ended:
            # It lingers, and its timer ends it.
            return
        elif self._is_answering():
            self.waiting.pop(self, None)
            if self._timer is not None:
                self._stop_waiting()
        elif not self._in_head:
            self._wait(self.body_deadline_s, self._body_is_late)
        elif self._left < HEAD_BYTES:
            self._unset_keepalive_if_required()
            self.waiting.setdefault(self)
            self._wait(self.head_deadline_s, self._head_is_late)
        elif not self._held:
            self._stop_waiting()
            self.waiting.setdefault(self)
            if self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def _wait(self, time_s: float, late: Callable[[], None]) -> None:
        if self._timer is not None and self._timer_for == late:
            return
        self._stop_waiting()
        self._timer, self._timer_for = self.loop.call_later(time_s, late), late

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_for = None

    def _head_is_late(self) -> None:
        if self._left < HEAD_BYTES:
            self._refuse(Unservable(408, f"The head of a request has to come within {self.head_deadline_s:g} s."))
        else:
            # Who opened the connection ahead of time would take it for the answer to its first request.
            self.transport.close()

    def _body_is_late(self) -> None:
        log.info("a body that came after its answer was cut off")
        self.transport.abort()

    def _refuse(self, refusal: Unservable) -> None:
        """Answer, and read nothing more."""
        if self._ended or self.transport.is_closing():
            return
        log.info("a request was refused", status=refusal.status, reason=refusal.message)
        cycle = self.cycle
        is_answered = not self._in_head and cycle is not None and cycle.response_started
        if cycle is not None and not cycle.response_complete:
            # It is the body of this request that cannot be read.
            cycle.disconnected = True
            cycle.message_event.set()
        if not is_answered:
            self.transport.write(refusal_bytes(refusal, self.server_state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Say that nothing more comes, and throw away what still does, until the other end has closed."""
        self._ended = True
        self.waiting.pop(self, None)
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._release()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait(self.linger_s, self.transport.abort)

    def _leave(self) -> None:
        self.waiting.pop(self, None)
        self._stop_waiting()
        self._forget_reader()

    def _make_room(self) -> bool:
        """End the connection that has waited longest without a request. Whether there was one."""
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        del self.waiting[longest]
        longest.transport.abort()
        return True

    # Who does not take the answer.

    def _watch_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent and self._reader_timer is None:
            self._reader_timer = self.loop.call_later(self.patience_s, self._look_at_reader, unsent)

    def _look_at_reader(self, before: int) -> None:
        self._reader_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before:
            log.info("a reader that took nothing was cut off", unsent_bytes=unsent)
            self.transport.abort()
        else:
            self._watch_reader()

    def _forget_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None
