"""A socket on which a test says what it likes, and hears all that comes back."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.attacks.raw import PATIENCE_S
from tests.sockets import PROTOCOL


class Talk:
    """One socket after its handshake. Nothing is said by itself."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, *messages: Any) -> None:
        """Send each: a text or bytes as they are, anything else as JSON."""
        for each in messages:
            await self.connection.send(each if isinstance(each, str | bytes) else json.dumps(each))

    async def hear(self) -> Any:
        """The next message. Raises ConnectionClosed; TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.connection.recv())

    async def heard(self, id: str) -> list[Any]:
        """The messages of an operation up to its last; those of others are passed over."""
        found: list[Any] = []
        while not found or found[-1]["type"] == "next":
            message = await self.hear()
            if message.get("id") == id:
                found.append(message)
        return found

    async def begin(self, token: str | None = None) -> None:
        """The handshake of the protocol."""
        payload = {} if token is None else {"authorization": f"Bearer {token}"}
        await self.say({"type": "connection_init", "payload": payload})
        assert await self.hear() == {"type": "connection_ack"}

    async def ask(self, id: str, document: str | None, **payload: Any) -> None:
        """Begin an operation."""
        query = {} if document is None else {"query": document}
        await self.say({"id": id, "type": "subscribe", "payload": query | payload})

    async def answer(self, document: str | None, **payload: Any) -> Any:
        """The answer to a query or mutation that is run."""
        await self.ask("answer", document, **payload)
        following, complete = await self.heard("answer")
        assert complete == {"id": "answer", "type": "complete"}
        return following["payload"]

    async def refusal(self, document: str | None, **payload: Any) -> dict[str, Any]:
        """The one error of an operation that is not run: its message beside its extensions."""
        await self.ask("refusal", document, **payload)
        (error,) = await self.heard("refusal")
        assert error["type"] == "error"
        (told,) = error["payload"]
        return {"message": told["message"], **told["extensions"]}

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the server's close; what comes before is passed over. Raises TimeoutError."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.hear()
        assert self.connection.close_code is not None
        return self.connection.close_code, self.connection.close_reason or ""


@contextlib.asynccontextmanager
async def talking(address: str, *protocols: str, **options: Any) -> AsyncIterator[Talk]:
    """A socket to host:port by the protocol, or by others."""
    offered: Any = protocols or (PROTOCOL,)
    # Closing by the test waits for nobody: a server that does not answer shows elsewhere.
    options = {"compression": None, "close_timeout": 0.5, **options}
    async with connect(f"ws://{address}/graphql", subprotocols=offered, **options) as connection:
        yield Talk(connection)
