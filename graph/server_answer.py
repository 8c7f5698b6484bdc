"""How an answer leaves: head and body in one write, where uvicorn writes each by itself.

A second write is a second call of the system, and wakes the other end for a head without its body.
"""

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# A longer body is not copied for it.
MOST_JOINED_BYTES = 64 * 1024
# What no header holds. Each line ends in two of them.
_CONTROLS = bytes([*range(9), *range(10, 32), 127])


class WholeAnswers:
    """The application, for one request of uvicorn's. Holds the head back until the first piece of the body is there."""

    def __init__(self, app: ASGI3Application, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._head: ASGISendEvent | None = None

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await self._app(scope, receive, self._send)
        if self._head is not None:
            await send(self._head)

    async def _send(self, message: ASGISendEvent) -> None:
        head, self._head = self._head, None
        if message["type"] == "http.response.start" and head is None and not self._cycle.response_started:
            self._head = message
            return
        if head is not None:
            if self._is_written(head, message):
                return
            await self._cycle.send(head)
        await self._cycle.send(message)

    def _is_written(self, head: ASGISendEvent, message: ASGISendEvent) -> bool:
        """Write the answer, as uvicorn would, where nothing is special about it."""
        cycle = self._cycle
        if head["type"] != "http.response.start" or message["type"] != "http.response.body":
            return False
        if message.get("more_body") or cycle.flow.write_paused or cycle.disconnected or not cycle.keep_alive:
            return False
        body, headers = message.get("body", b""), [*cycle.default_headers, *head.get("headers", ())]
        if len(body) > MOST_JOINED_BYTES or cycle.scope["method"] == "HEAD":
            return False
        if (b"content-length", b"%d" % len(body)) not in headers:
            return False
        lines = b"".join([STATUS_LINE[head["status"]], *[b"%b: %b\r\n" % each for each in headers]])
        if len(lines) - len(lines.translate(None, _CONTROLS)) != 2 * (1 + len(headers)):
            return False
        if b"\nconnection:" in lines or b"\ntransfer-encoding:" in lines:
            return False
        cycle.transport.write(b"".join((lines, b"\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True
