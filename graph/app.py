"""The ASGI application: start and stop, /graphql over HTTP and websocket, GraphiQL, health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UnsetType

from domain.adapters.wiring import Adapters
from domain.base import database, migrate
from domain.base.errors import Unauthenticated
from domain.base.settings import Settings
from graph.base.auth import actor_of, credentials_of
from graph.base.context import Context
from graph.graphiql.page import assets, page
from graph.schema import schema

INIT_TIMEOUT = timedelta(seconds=10)


class Endpoint(GraphQL[Context, None]):
    """Strawberry's view with our context and page."""

    def __init__(self, settings: Settings, adapters: Adapters) -> None:
        super().__init__(
            schema,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            # A page of any other origin gets 403 at the handshake.
            allowed_origins=settings.allowed_origins,
        )
        self._settings = settings
        self._adapters = adapters

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return Context(self._settings, self._adapters, request, response if isinstance(response, Response) else None)

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        try:
            await actor_of(credentials_of(context.connection, context.connection_params))
        except Unauthenticated as refusal:
            raise ConnectionRejectionError from refusal
        return await super().on_ws_connect(context)

    def encode_json(self, data: object) -> bytes | str:
        return orjson.dumps(data).decode()

    async def render_graphql_ide(self, request: Request) -> Response:
        return HTMLResponse(page(), headers={"Cache-Control": "no-cache"})


def create_app(settings: Settings) -> Starlette:
    """The application over the servers that the settings name."""
    adapters = Adapters.of(settings)
    endpoint: ASGIApp = Endpoint(settings, adapters)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.connect(settings)
        try:
            yield
        finally:
            await database.disconnect()
            await adapters.close()

    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        found = {"database": False, "migrations": False, "redis": await adapters.throttle.answers()}
        try:
            found["migrations"] = await migrate.current()
            found["database"] = True
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            found["database"] = False
        return JSONResponse(found, status_code=200 if all(found.values()) else 503)

    routes: list[Any] = [
        Route("/graphql", endpoint, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", endpoint),
        Mount("/graphiql", assets()),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
