"""The websocket: what a message must be, and when the socket ends by itself."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocketDisconnect
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, SubscribeMessage

from domain.base import telemetry
from graph.base.context import Context

CREDENTIAL_ENDED = 4403


class Socket(BaseGraphQLTransportWSHandler[Context, None]):
    """Strawberry's handler, which executes what it is sent unseen and stays open whatever becomes of the caller."""

    _guard: "asyncio.Task[None] | None" = None

    async def handle(self) -> None:
        with telemetry.SOCKETS.track_inprogress():
            await super().handle()

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        await super().handle_connection_init(message)
        if self.connection_acknowledged and self._guard is None and self.context.caller is not None:
            self._guard = asyncio.create_task(self._close_when_ended())

    async def _close_when_ended(self) -> None:
        """Close the socket once the session or key that opened it does not hold any more."""
        caller = self.context.caller
        if caller is None:
            return
        with self.context.live.presence.watching(caller) as watched:
            await watched.ended.wait()
        for operation_id in list(self.operations):
            await self.cleanup_operation(operation_id)
        with suppress(WebSocketDisconnect, WebSocketDisconnected, RuntimeError):
            await self.websocket.close(code=CREDENTIAL_ENDED, reason="Forbidden")

    async def handle_task_exception(self, error: Exception) -> None:
        # Who went away while something was sent to it: no fault, and nobody to tell.
        if not isinstance(error, WebSocketDisconnected):
            await super().handle_task_exception(error)

    async def shutdown(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
        await super().shutdown()

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        payload: Any = message.get("payload")
        if (
            not isinstance(message.get("id"), str)
            or not isinstance(payload, dict)
            or not isinstance(payload.get("query"), str)
            or not isinstance(payload.get("variables"), dict | None)
            or not is_name(payload.get("operationName"))
        ):
            await self.handle_invalid_message("Invalid subscribe message")
            return
        await super().handle_subscribe(message)


def is_name(found: object) -> bool:
    """Whether it can be an operation's name, or none is given."""
    return found is None or (isinstance(found, str) and found.isprintable())
