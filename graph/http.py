"""GraphQL over HTTP: what clients send all day is answered straight from ASGI, all else by Strawberry's view.

Straight means a POST of a JSON object with a length. Whatever is not so, or says something odd, is handed on untouched:
GET, the page, other media types, bodies that are too large or no JSON. So each refusal is made in one place.
"""

import re
from typing import Any

import orjson
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.types import ExecutionResult

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from graph.base.context import Context
from graph.base.documents import ReadyOperations
from graph.base.live import Live
from graph.execution import run
from graph.schema import Schema
from graph.socket import is_name

PATH = "/graphql"
BODY_BYTES = 1024 * 1024
_JSON = (b"content-type", b"application/json")
# Of an integer that does not fit into 64 bits orjson makes a float; one of 18 digits always fits.
_LONG_NUMBER = re.compile(rb"[-:,\[\s][0-9]{19}")


class Headers(Response):
    """What an operation may set cookies on."""

    def __init__(self) -> None:
        self.raw_headers = [_JSON]


class Straight:
    """Answers what may run at once; hands on the rest."""

    def __init__(self, schema: Schema, settings: Settings, adapters: Adapters, live: Live, rest: ASGIApp) -> None:
        if schema.ready is None:
            raise TypeError("graphql-core runs everything of this schema")
        self._schema = schema
        self._ready: ReadyOperations = schema.ready
        self._settings = settings
        self._adapters = adapters
        self._live = live
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or not _is_plain(scope):
            await self._rest(scope, receive, send)
            return
        body = await _read(receive)
        asked = None if body is None else _asked(body)
        ready = None if asked is None else self._ready.of(asked["query"], asked.get("operationName"))
        if asked is None or ready is None or ready.kind == "subscription":
            await self._rest(scope, _again(body, receive), send)
            return
        headers = Headers()
        context = Context(self._settings, self._adapters, HTTPConnection(scope), headers, self._live)
        result = await run(self._schema._schema, self._schema.executor, ready, asked.get("variables"), context)
        answer = _written(result)
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length, *headers.raw_headers]})
        await send({"type": "http.response.body", "body": answer})


def _is_plain(scope: Scope) -> bool:
    """Whether it is a POST of JSON, of a length that is told and not too large."""
    if scope["method"] != "POST":
        return False
    # Of a header that is sent twice the first counts, as it does for Strawberry's view.
    headers = dict(reversed(scope["headers"]))
    is_json = headers.get(b"content-type", b"").partition(b";")[0].strip() == b"application/json"
    length = headers.get(b"content-length", b"")
    return is_json and length.isdigit() and int(length) <= BODY_BYTES


async def _read(receive: Receive) -> bytes | None:
    """The body; None when the other end left before it was whole."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: bytes | None, receive: Receive) -> Receive:
    """A `receive` that begins with what was read already."""
    unread: list[Message] = [{"type": "http.disconnect"}]
    if body is not None:
        unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return unread.pop() if unread else await receive()

    return again


def _asked(body: bytes) -> dict[str, Any] | None:
    """The request, where nothing about it is odd."""
    if _LONG_NUMBER.search(body):
        return None
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(found) is not dict or type(found.get("query")) is not str:
        return None
    name, variables, extensions = found.get("operationName"), found.get("variables"), found.get("extensions")
    is_plain = (
        is_name(name)
        and (variables is None or type(variables) is dict)
        and (extensions is None or type(extensions) is dict)
    )
    return found if is_plain else None


def _written(result: ExecutionResult) -> bytes:
    if result.errors:
        return orjson.dumps({"data": result.data, "errors": [error.formatted for error in result.errors]})
    return orjson.dumps({"data": result.data})
