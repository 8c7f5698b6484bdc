"""The ASGI application: start and stop, /graphql over HTTP and websocket, GraphiQL, metrics, health."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.unset import UnsetType

from domain.adapters.wiring import Adapters
from domain.base import database, migrate
from domain.base.errors import RequestError, Unauthenticated
from domain.base.settings import Settings
from graph import inbound
from graph.base.auth import actor_of, credentials_of
from graph.base.context import Context
from graph.base.live import Live
from graph.graphiql.page import assets, page
from graph.http import BODY_BYTES, Straight
from graph.schema import schema
from graph.socket import Socket, is_name

INIT_TIMEOUT = timedelta(seconds=10)
READY_WITHIN_S = 2.0


class Endpoint(GraphQL[Context, None]):
    """Strawberry's view with our context and page."""

    graphql_transport_ws_handler_class = Socket

    def __init__(self, settings: Settings, adapters: Adapters, live: Live) -> None:
        super().__init__(
            schema,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=INIT_TIMEOUT,
            # Socket counts them itself, and tells the code of the refusal.
            max_subscriptions_per_connection=None,
            # A page of any other origin gets 403 at the handshake.
            allowed_origins=settings.allowed_origins,
        )
        self._settings = settings
        self._adapters = adapters
        self._live = live

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        sent = response if isinstance(response, Response) else None
        return Context(self._settings, self._adapters, request, sent, self._live)

    async def on_ws_connect(self, context: Context) -> UnsetType | dict[str, object] | None:
        try:
            context.caller = await actor_of(credentials_of(context.connection, context.connection_params))
        except Unauthenticated as refusal:
            raise ConnectionRejectionError from refusal
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        """A body, a socket's message or an object in the URL. Raises JSONDecodeError for anything else."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as fault:
            raise json.JSONDecodeError("not JSON", "", 0) from fault
        if not isinstance(found, dict):
            raise json.JSONDecodeError("not an object", "", 0)
        return found

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> Any:
        """The request of the body or the URL. Raises HTTPException 400 for an operation name that is none."""
        data = await super().parse_http_body(request)
        if isinstance(data, GraphQLRequestData) and not is_name(data.operation_name):
            raise HTTPException(400, "The GraphQL operation's `operationName` must be a name or null, if provided.")
        return data

    def encode_json(self, data: object) -> bytes | str:
        return orjson.dumps(data).decode()

    async def render_graphql_ide(self, request: Request) -> Response:
        return HTMLResponse(page(), headers={"Cache-Control": "no-cache"})


class Application(Starlette):
    """Starlette, before which `Straight` looks at each request."""

    def __init__(self, settings: Settings, adapters: Adapters, live: Live, **options: Any) -> None:
        super().__init__(**options)
        self._straight = Straight(schema, settings, adapters, live, rest=super().__call__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._straight(scope, receive, send)


def create_app(settings: Settings) -> Starlette:
    """The application over the servers that the settings name."""
    adapters = Adapters.of(settings)
    live = Live.of(adapters)
    endpoint: ASGIApp = Endpoint(settings, adapters, live)

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
        Route("/graphql", endpoint, methods=["GET", "POST"]),
        WebSocketRoute("/graphql", endpoint),
        Mount("/graphiql", assets()),
        Route("/metrics", inbound.metrics(settings)),
        Route("/health/live", is_live),
        Route("/health/ready", ready),
    ]
    app = Application(settings, adapters, live, routes=routes, lifespan=lifespan, max_body_size=BODY_BYTES)
    app.state.live, app.state.adapters = live, adapters
    return app
