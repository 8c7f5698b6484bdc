"""GraphQL over HTTP, straight from ASGI: what a request has to be, and what its answer looks like.

Who accepts `application/graphql-response+json` is told by the status whether anything was run; who knows
`application/json` alone gets 200 for every answer of GraphQL, as it always was, but for 429.
Source: GraphQL over HTTP, the Working Draft of the GraphQL Foundation.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from domain.adapters.wiring import Adapters
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from graph.base.context import Context
from graph.base.deadlines import Deadlines
from graph.base.documents import Ready
from graph.base.live import Live
from graph.base.operations import request_and_trace
from graph.base.requests import Asked, NotARequest, asked, decoded
from graph.execution import Answer, Engine
from graph.graphiql.page import POLICY, page

PATH = "/graphql"
BODY_BYTES = 1024 * 1024
# A body of that size comes at 100 kB a second.
BODY_DEADLINE_S = 10.0
# Of a GET: the five that a request has, and room for what somebody's tracker adds.
MOST_PARAMETERS = 20
RESPONSE, JSON, HTML = "application/graphql-response+json", "application/json", "text/html"
CSP = b"content-security-policy"
SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (CSP, b"default-src 'none'; frame-ancestors 'none'"),
)
# Of this host alone, whose neighbors may have no TLS. Browsers heed it only where it came over TLS, so a proxy that
# takes HTTP too needs no case of its own. Source: RFC 6797.
HSTS = (b"strict-transport-security", b"max-age=31536000")
# A cache that keeps answers all the same shall know what they depend on.
VARY = (b"vary", b"Accept")
QVALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
Headers = Mapping[bytes, bytes]
log = structlog.get_logger("graph")


class ClientGone(Exception):
    """The other end left before its request was whole."""


class Refused(Exception):
    """The request is not looked at any further."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.errors = [{"message": message, "extensions": {"code": "BAD_USER_INPUT"}}]
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


def security_headers(settings: Settings) -> list[tuple[bytes, bytes]]:
    """What every answer carries. Source: OWASP, HTTP Security Response Headers."""
    return [*SECURITY_HEADERS, HSTS] if settings.public_url.startswith("https://") else list(SECURITY_HEADERS)


@dataclass
class Reply:
    """What is sent back."""

    body: bytes
    media_type: str
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def send(self, send: Send, always: Iterable[tuple[bytes, bytes]]) -> None:
        """Send it, with the headers that are always sent."""
        headers = [
            (b"content-type", f"{self.media_type}; charset=utf-8".encode()),
            (b"content-length", b"%d" % len(self.body)),
            VARY,
            *always,
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Cookies(Response):
    """What an operation may set cookies on."""

    def __init__(self) -> None:
        self.raw_headers = []


class GraphQLOverHTTP:
    """The endpoint."""

    def __init__(self, engine: Engine, settings: Settings, adapters: Adapters, live: Live) -> None:
        self._engine = engine
        self._settings = settings
        self._adapters = adapters
        self._live = live
        self._bodies = Deadlines(BODY_DEADLINE_S)
        self._headers = security_headers(settings)
        # The page's own policy in the place of the others': of two a browser lets pass what both do, which is nothing.
        self._page_headers = [header for header in self._headers if header[0] != CSP] + [(CSP, POLICY)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]):
            headers = _joined(scope["headers"])
        media_type, always = JSON, self._headers
        try:
            if scope["method"] == "GET" and _is_for_page(scope, headers):
                reply, always = Reply(page().encode(), HTML), self._page_headers
            else:
                media_type = accepted(headers.get(b"accept", b""))
                reply = await self._answered(scope, headers, receive, media_type)
        except Refused as refusal:
            reply = Reply(orjson.dumps({"errors": refusal.errors}), media_type, refusal.status, refusal.headers)
        except ClientGone:
            return
        except Exception:
            request_id, trace_id = request_and_trace(HTTPConnection(scope).headers)
            log.exception("a request failed", request_id=request_id, trace_id=trace_id)
            extensions = {"code": "INTERNAL", "requestId": request_id}
            error = {"message": "Something went wrong on our side.", "extensions": extensions}
            reply = Reply(orjson.dumps({"errors": [error]}), media_type, 500)
        await reply.send(send, always)

    async def _answered(self, scope: Scope, headers: Headers, receive: Receive, media_type: str) -> Reply:
        is_get = scope["method"] == "GET"
        if is_get:
            request = _of_url(scope["query_string"])
        elif scope["method"] == "POST":
            request = _of_body(headers, await _read(headers, receive, self._bodies))
        else:
            raise Refused(405, "Only GET and POST are answered here.", allow="GET, POST")
        found = await self._engine.found(request)
        if is_get and isinstance(found, Ready) and found.kind != "query":
            raise Refused(405, f"A {found.kind} is not sent by GET.", allow="POST")
        cookies = Cookies()
        context = Context(self._settings, self._adapters, HTTPConnection(scope), cookies, self._live)
        answer = await self._engine.run(found, request, context)
        return _reply(answer, media_type, cookies)


def _is_for_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks, and for nothing else."""
    return not scope["query_string"] and HTML.encode() in headers.get(b"accept", b"").lower()


def _reply(answer: Answer, media_type: str, cookies: Cookies) -> Reply:
    reply = Reply(orjson.dumps(answer.payload()), media_type, headers=cookies.raw_headers)
    if answer.excess is not None:
        reply.status = 429
        if answer.excess.retry_after_s is not None:
            reply.headers.append((b"retry-after", b"%d" % answer.excess.retry_after_s))
    elif not answer.was_run and media_type == RESPONSE:
        is_away = any(error.get("extensions", {}).get("code") == Unavailable.code for error in answer.errors)
        reply.status = 503 if is_away else 400
    return reply


@lru_cache(maxsize=256)
def accepted(accept: bytes) -> str:
    """The media type to answer in. Raises Refused (406) where the header names none that there is.

    Source: RFC 9110, section 12.5.1.
    """
    if not accept:
        return JSON
    best, chosen = 0.0, None
    for offered in (RESPONSE, JSON):
        # Who takes anything has been sent application/json all the time.
        weight = _weight(offered, accept.decode("latin-1"), is_default=offered == JSON)
        if weight > best:
            best, chosen = weight, offered
    if chosen is None:
        raise Refused(406, f"The answer can be {RESPONSE} or {JSON}.")
    return chosen


def _weight(offered: str, accept: str, *, is_default: bool) -> float:
    """How much the header wants it, 0 to 1, by the most exact of its ranges that holds it."""
    found = (-1, 0.0)
    for each in accept.lower().split(","):
        range_, _, rest = each.partition(";")
        told = _parameters(rest)
        if not _is_utf8(told):
            continue
        exactness = {offered: 2, "application/*": 1, "*/*": 0}.get(range_.strip())
        if exactness is None or (exactness < 2 and not is_default):
            continue
        weight = told.get("q", "1")
        found = max(found, (exactness, float(weight) if QVALUE.fullmatch(weight) else 0.0))
    return found[1]


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers of which some are sent several times, which means their values in a list. Source: RFC 9110, 5.3."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _parameters(text: str) -> dict[str, str]:
    """Of a media type, in lower case. Of one that is there twice both values, which is none that is known."""
    found: dict[str, str] = {}
    for each in text.split(";"):
        name, _, value = (part.strip() for part in each.partition("="))
        value = value.strip('"')
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _is_utf8(parameters: Mapping[str, str]) -> bool:
    return parameters.get("charset", "utf-8") in ("utf-8", "utf8")


async def _read(headers: Headers, receive: Receive, deadlines: Deadlines) -> bytes:
    """The body. Raises Refused; ClientGone."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    try:
        with deadlines.one():
            size = 0
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > BODY_BYTES:
                    raise _too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise Refused(408, f"The body did not come within {BODY_DEADLINE_S:.0f} s.") from None


def _too_large() -> Refused:
    return Refused(413, f"A body has at most {BODY_BYTES} bytes.")


def _of_body(headers: Headers, body: bytes) -> Asked:
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Refused(415, "A body is taken as it is, without a Content-Encoding.", accept_encoding="identity")
    if not _is_json(headers.get(b"content-type", b"")):
        raise Refused(415, f"A body has to be {JSON} in UTF-8.", accept_post=JSON)
    try:
        return asked(decoded(body))
    except NotARequest as fault:
        raise Refused(400, str(fault)) from None


@lru_cache(maxsize=256)
def _is_json(content_type: bytes) -> bool:
    named, _, parameters = content_type.decode("latin-1").lower().partition(";")
    return named.strip() == JSON and _is_utf8(_parameters(parameters))


def _of_url(query_string: bytes) -> Asked:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        raise Refused(400, "The query string is not right: UTF-8 in %XX, and few parameters.") from None
    found: dict[str, object] = dict(pairs)
    if len(found) < len(pairs):
        raise Refused(400, "A parameter stands in the query string twice.")
    try:
        for name in ("variables", "extensions"):
            if name in found:
                found[name] = decoded(str(found[name]).encode()) if found[name] else None
        if found.get("operationName") == "":
            found["operationName"] = None
        return asked(found)
    except NotARequest as fault:
        raise Refused(400, str(fault)) from None
