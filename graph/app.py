"""The ASGI application: start and stop, /graphql over HTTP and websocket, GraphiQL, files, metrics, health."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.adapters.storage_local import PATH as FILES
from domain.adapters.wiring import Adapters
from domain.base import database, migrate
from domain.base.allowed_documents import allowed_documents
from domain.base.errors import RequestError
from domain.base.settings import Settings
from domain.mail.links import UNSUBSCRIBE
from graph import dev_mail, files, inbound
from graph.base.limits import LIMITS, Limits
from graph.base.live import Live
from graph.base.persisted import Persisted
from graph.execution import Engine
from graph.graphiql.page import assets
from graph.http import BODY_BYTES, PATH, GraphQLOverHTTP, security_headers
from graph.schema import schema
from graph.socket import GraphQLOverSocket

READY_WITHIN_S = 2.0
# How long a browser may remember what a preflight has told it.
PREFLIGHT_S = 3600


class Application:
    """Hands a connection to GraphQL, or to Starlette whatever is not for that path."""

    def __init__(self, http: ASGIApp, socket: ASGIApp, rest: Starlette, settings: Settings) -> None:
        self._http = http
        self._socket = socket
        self._rest = rest
        self._shared = CORSMiddleware(
            self._answer,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            allow_credentials=True,
            expose_headers=("Retry-After",),
            max_age=PREFLIGHT_S,
        )
        # What is asked for there is allowed by the URL alone, so a page may not send who its user is.
        self._shared_files = CORSMiddleware(
            self._answer,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "HEAD", "PUT"),
            allow_headers=("*",),
            expose_headers=files.EXPOSED_HEADERS,
            max_age=PREFLIGHT_S,
        )
        self._headers = security_headers(settings)
        self.state = rest.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(name == b"origin" for name, _ in scope["headers"]):
            if scope["method"] == "OPTIONS":
                # What answers a preflight knows of no other headers.
                send = self._secured(send)
            shared = self._shared_files if scope["path"].startswith(FILES) else self._shared
            await shared(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._rest(scope, receive, send)
        elif scope["path"] != PATH:
            await self._rest(scope, receive, self._secured(send))
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    def _secured(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in self._headers if each[0] not in told)]
            await send(message)

        return sending


def create_app(settings: Settings, limits: Limits = LIMITS) -> Application:
    """The application over the servers that the settings name."""
    adapters = Adapters.of(settings)
    live = Live.of(adapters)
    allowed = {} if settings.documents_file is None else allowed_documents(settings.documents_file)
    persisted = Persisted(adapters.documents, allowed, only=settings.documents == "persisted")
    engine = Engine(schema, introspection=settings.introspection, limits=limits, persisted=persisted)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.connect(settings)
        try:
            async with live.running():
                yield
        finally:
            await database.disconnect()
            await adapters.close()

    async def is_live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        found = {"database": False, "migrations": False, "redis": await adapters.throttle.answers()}
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                found["migrations"] = await migrate.current()
            found["database"] = True
        except (RequestError, TimeoutError):
            found["database"] = False
        return JSONResponse(found, status_code=200 if all(found.values()) else 503)

    routes: list[Any] = [
        Mount("/graphiql", assets()),
        Route("/metrics", inbound.metrics(settings)),
        Route(f"/{UNSUBSCRIBE}", inbound.unsubscribe(settings), methods=["GET", "POST"]),
        Route(f"/{inbound.STRIPE_WEBHOOK}", inbound.stripe_webhook(adapters.stripe), methods=["POST"]),
        *dev_mail.routes(adapters.mail, settings),
        *files.routes(adapters.storage),
        Route("/health/live", is_live),
        Route("/health/ready", ready),
    ]
    rest = Starlette(routes=routes, lifespan=lifespan, max_body_size=BODY_BYTES)
    rest.state.live, rest.state.adapters = live, adapters
    return Application(
        GraphQLOverHTTP(engine, settings, adapters, live),
        GraphQLOverSocket(engine, settings, adapters, live),
        rest,
        settings,
    )


def metrics_alone(settings: Settings) -> Starlette:
    """An application of /metrics only, for a process that serves nothing else."""
    return Starlette(routes=[Route("/metrics", inbound.metrics(settings))])
