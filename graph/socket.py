"""GraphQL over a websocket, by graphql-transport-ws: what a message must be, and when the socket ends.

One task reads what comes; each operation runs in a task of its own, and the socket ends them all when it ends.
Source: the protocol of the npm package graphql-ws, PROTOCOL.md.
"""

import asyncio
import contextvars
import json
import time
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import Any

import orjson
import structlog
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from domain.adapters.leases import Lease
from domain.adapters.wiring import Adapters
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.errors import RateLimited, RequestError, Unauthenticated
from domain.base.settings import Settings
from graph.base.context import Context
from graph.base.documents import Ready, Refusal
from graph.base.live import Live
from graph.base.operations import SURROGATE, caller_of
from graph.base.points import payer
from graph.base.requests import Asked, NotARequest, asked, decoded
from graph.execution import Answer, Engine

PROTOCOL = "graphql-transport-ws"
INIT_DEADLINE_S = 10.0
LONGEST_ID = 100
# A message counts as one for each 16 KiB of it: what is read of a large one takes as long as of many small ones.
COUNTED_AS_ONE = 16 * 1024
# Operations that were taken back and have yet to end count beside those that run, up to as many again.
ENDING_SHARE = 2
# Of a frame's 125 bytes two are the code.
LONGEST_REASON = 123
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NO_PROTOCOL = 4400, 4401, 4403, 4406
TOO_LATE, TAKEN_ID, TOO_MANY, FAILED = 4408, 4409, 4429, 4500
TRY_AGAIN_LATER = 1013
log = structlog.get_logger("graph")


class Closed(Exception):
    """The socket is to be closed, by this side."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Gone(Exception):
    """The other end has left, or the socket was closed meanwhile: there is nobody to tell anything."""


class GraphQLOverSocket:
    """The endpoint: takes sockets from the pages that may open them."""

    def __init__(self, engine: Engine, settings: Settings, adapters: Adapters, live: Live) -> None:
        self._engine = engine
        self._settings = settings
        self._adapters = adapters
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        connection = HTTPConnection(scope)
        origin = connection.headers.get("origin")
        if origin is not None and origin not in self._settings.allowed_origins:
            # Not accepted yet, it is answered with 403.
            await send({"type": "websocket.close"})
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NO_PROTOCOL, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        context = Context(self._settings, self._adapters, connection, None, self._live)
        with telemetry.SOCKETS.track_inprogress():
            socket = Socket(self._engine, context, receive, send)
            # Whoever asked before on the same connection is not this socket's caller.
            await asyncio.create_task(socket.run(), context=contextvars.Context())


class Socket:
    """One accepted socket."""

    def __init__(self, engine: Engine, context: Context, receive: Receive, send: Send) -> None:
        self._engine = engine
        self._context = context
        self._receive = receive
        self._send = send
        self._is_open = True
        self._was_asked = False
        self._is_acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        # Besides those: what was taken back and has something to end, and the watch over the caller.
        self._tasks: set[asyncio.Task[None]] = set()
        self._lease: Lease | None = None
        settings = context.settings
        self._messages = Bucket(settings.messages_per_second, settings.messages_per_second + self._most_operations)

    @property
    def _most_operations(self) -> int:
        return self._context.settings.operations_per_socket

    async def run(self) -> None:
        """Serve it until it ends."""
        try:
            await self._serve()
        except Closed as end:
            await self._close(end.code, end.reason)
        except Gone:
            pass
        except Exception:
            log.exception("a socket failed")
            await self._close(FAILED, "Internal server error")
        finally:
            self._is_open = False
            self._stop()
            try:
                if self._tasks:
                    await asyncio.wait(self._tasks)
            finally:
                if self._lease is not None:
                    self._lease.release()

    async def _serve(self) -> None:
        try:
            async with asyncio.timeout(INIT_DEADLINE_S) as patience:
                while not self._is_acknowledged:
                    if (message := await self._message()) is None:
                        return
                    if message["type"] == "connection_init":
                        patience.reschedule(None)
                    await self._take(message)
        except TimeoutError:
            raise Closed(TOO_LATE, "Connection initialisation timeout") from None
        while (message := await self._message()) is not None:
            await self._take(message)

    async def _message(self) -> dict[str, Any] | None:
        """The next message; None once the socket is closed. Raises Closed for what is none."""
        received = await self._receive()
        # What was sent before the client knew that this side has closed is not begun any more.
        if received["type"] != "websocket.receive" or not self._is_open:
            return None
        if (text := received.get("text")) is None:
            raise Closed(BAD_REQUEST, "A message is text.")
        encoded = text.encode()
        if not self._messages.take(max(1, -(-len(encoded) // COUNTED_AS_ONE))):
            raise Closed(TOO_MANY, f"At most {self._context.settings.messages_per_second} messages a second.")
        try:
            message = decoded(encoded)
        except NotARequest as fault:
            raise Closed(BAD_REQUEST, str(fault)) from None
        if type(message) is not dict or type(message.get("type")) is not str:
            raise Closed(BAD_REQUEST, "A message is an object with a type.")
        return message

    async def _take(self, message: dict[str, Any]) -> None:
        kind, payload = message["type"], message.get("payload")
        if kind == "subscribe":
            await self._subscribe(_id(message), _request(payload))
        elif kind == "complete":
            if (task := self._operations.pop(_id(message), None)) is not None:
                task.cancel()
        elif kind not in ("connection_init", "ping", "pong"):
            raise Closed(BAD_REQUEST, "There is no such type of message for a server.")
        elif payload is not None and type(payload) is not dict:
            raise Closed(BAD_REQUEST, f"The payload of a {kind} is an object.")
        elif kind == "connection_init":
            await self._acknowledge(payload)
        elif kind == "ping":
            await self._tell({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})

    async def _acknowledge(self, payload: dict[str, Any] | None) -> None:
        if self._was_asked:
            raise Closed(TOO_MANY, "Too many initialisation requests")
        self._was_asked = True
        context = self._context
        context.connection_params = payload
        try:
            context.caller = await caller_of(context)
            most = context.settings.sockets_per_user
            self._lease = await context.adapters.leases.take(payer(context.caller, context.client_address), most)
        except Unauthenticated:
            raise Closed(FORBIDDEN, "Forbidden") from None
        except RateLimited:
            raise Closed(TOO_MANY, f"At most {context.settings.sockets_per_user} sockets at once.") from None
        except RequestError:
            # Nobody can tell now whose socket it is.
            raise Closed(TRY_AGAIN_LATER, "Try again later") from None
        if context.caller is not None:
            self._begin(self._end_with(context.caller))
        await self._tell({"type": "connection_ack"})
        self._is_acknowledged = True

    async def _end_with(self, caller: Actor) -> None:
        """Close the socket once the session or key of the caller, who opened it, does not hold any more."""
        with self._context.live.presence.watching(caller) as watched:
            await watched.ended.wait()
        await self._close(FORBIDDEN, "Forbidden")

    async def _subscribe(self, id: str, request: Asked) -> None:
        if not self._is_acknowledged:
            raise Closed(UNAUTHORIZED, "Unauthorized")
        if id in self._operations:
            raise Closed(TAKEN_ID, f"Subscriber for {id} already exists")
        most = self._most_operations
        if len(self._operations) < most and len(self._tasks) < most * ENDING_SHARE:
            self._operations[id] = self._begin(self._operate(id, request))
            return
        # Told before anything else is read, so whoever does not take it cannot have more of it.
        error = {"message": f"At most {most} operations run on a socket.", "extensions": {"code": RateLimited.code}}
        await self._tell({"id": id, "type": "error", "payload": [error]})

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _operate(self, id: str, request: Asked) -> None:
        """Run an operation, and tell what it gives. It is cancelled where nobody wants that any more."""
        try:
            found = await self._engine.found(request)
            if found.kind == "subscription":
                await self._follow(id, found, request)
            else:
                # An answer takes ten times as much as its text, and the text may have to wait until it is taken.
                for text in _last(id, await self._engine.run(found, request, self._context)):
                    await self._tell_of(id, text)
        except Gone:
            pass
        except Exception:
            log.exception("an operation failed")
            await self._close(FAILED, "Internal server error")
        finally:
            # Behind the last message, so that none of another operation is taken for one of this. A client who has it
            # may use the id again: nothing was awaited since it was sent, so nothing was read.
            if self._operations.get(id) is asyncio.current_task():
                del self._operations[id]

    async def _follow(self, id: str, found: Ready | Refusal, request: Asked) -> None:
        async with aclosing(self._engine.follow(found, request, self._context)) as answers:
            async for answer in answers:
                if not answer.was_run:
                    await self._tell_of(id, _error(id, answer))
                    return
                await self._tell_of(id, _next(id, answer))
        await self._tell_of(id, _complete(id))

    async def _tell_of(self, id: str, text: str) -> None:
        """Send a message of the operation that runs in this task. Raises Gone where its id is not its own any more."""
        if self._operations.get(id) is not asyncio.current_task():
            raise Gone
        await self._write(text)

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._write(_text(message))

    async def _write(self, text: str) -> None:
        if not self._is_open:
            raise Gone
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError:
            raise Gone from None

    async def _close(self, code: int, reason: str) -> None:
        """Say why, and end. What runs is ended before: what it has to send would hold this up."""
        if self._is_open:
            self._is_open = False
            self._stop()
            fitting = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": code, "reason": fitting})

    def _stop(self) -> None:
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()


class Bucket:
    """Tokens that come back with time: `rate` a second, `most` at once."""

    def __init__(self, rate: int, most: int) -> None:
        self._rate = rate
        self._most = most
        self._tokens = float(most)
        self._at = time.monotonic()

    def take(self, wanted: int = 1) -> bool:
        """Take so many tokens, if there are; of a full bucket never more than it holds."""
        now = time.monotonic()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < min(wanted, self._most):
            return False
        self._tokens = max(0.0, self._tokens - wanted)
        return True


def _id(message: dict[str, Any]) -> str:
    id = message.get("id")
    if type(id) is not str or not 1 <= len(id) <= LONGEST_ID:
        raise Closed(BAD_REQUEST, f"The id of a {message['type']} is a string of 1 to {LONGEST_ID} characters.")
    if SURROGATE.search(id):
        raise Closed(BAD_REQUEST, "The id holds an unpaired surrogate.")
    return id


def _request(payload: Any) -> Asked:
    if type(payload) is not dict:
        raise Closed(BAD_REQUEST, "The payload of a subscribe is an object.")
    try:
        return asked(payload)
    except NotARequest as fault:
        raise Closed(BAD_REQUEST, str(fault)) from None


def _last(id: str, answer: Answer) -> list[str]:
    """The messages with the only answer of an operation."""
    return [_next(id, answer), _complete(id)] if answer.was_run else [_error(id, answer)]


def _next(id: str, answer: Answer) -> str:
    return _text({"id": id, "type": "next", "payload": answer.payload()})


def _error(id: str, answer: Answer) -> str:
    return _text({"id": id, "type": "error", "payload": answer.errors})


def _complete(id: str) -> str:
    return _text({"id": id, "type": "complete"})


def _text(message: dict[str, Any]) -> str:
    try:
        return orjson.dumps(message).decode()
    except TypeError:
        # A ping may hold what orjson does not write: a long integer, an unpaired surrogate.
        return json.dumps(message)
