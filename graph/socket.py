"""The websocket: what a message must be, and when the socket ends by itself."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocketDisconnect
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)

from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.errors import RateLimited, RequestError
from graph.base.context import Context

CREDENTIAL_ENDED = 4403
TRY_AGAIN_LATER = 1013
MOST_OPERATIONS = 100
LONGEST_ID = 100


class Socket(BaseGraphQLTransportWSHandler[Context, None]):
    """Strawberry's handler, which executes what it is sent unseen and stays open whatever becomes of the caller."""

    _guard: "asyncio.Task[None] | None" = None

    async def handle(self) -> None:
        with telemetry.SOCKETS.track_inprogress():
            await super().handle()

    async def handle_message(self, message: Message) -> None:
        sent: Any = message
        if not is_name(sent.get("type")) or not is_name(sent.get("id")):
            await self.handle_invalid_message("Invalid message")
            return
        await super().handle_message(message)

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        try:
            await super().handle_connection_init(message)
        except RequestError:
            # Nobody can tell now whose socket it is.
            await self.websocket.close(code=TRY_AGAIN_LATER, reason="Try again later")
            return
        caller = self.context.caller
        if self.connection_acknowledged and self._guard is None and caller is not None:
            self._guard = asyncio.create_task(self._close_when_ended(caller))

    async def _close_when_ended(self, caller: Actor) -> None:
        """Close the socket once the session or key of the caller, who opened it, does not hold any more."""
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
        id = message.get("id")
        if (
            not isinstance(id, str)
            or not isinstance(payload, dict)
            or not isinstance(payload.get("query"), str)
            or not isinstance(payload.get("variables"), dict | None)
            or not is_name(payload.get("operationName"))
        ):
            await self.handle_invalid_message("Invalid subscribe message")
        elif self.connection_acknowledged and len(self.operations) >= MOST_OPERATIONS and id not in self.operations:
            error = {
                "message": f"At most {MOST_OPERATIONS} operations run on a socket.",
                "extensions": {"code": RateLimited.code},
            }
            await self.websocket.send_json({"id": id, "type": "error", "payload": [error]})
        else:
            await super().handle_subscribe(message)


def is_name(found: object) -> bool:
    """Whether it can be the name of something, or none is given."""
    return found is None or (isinstance(found, str) and len(found) <= LONGEST_ID and found.isprintable())
