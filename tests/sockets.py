"""graphql-transport-ws as a client speaks it: one socket, several operations, what each received in order."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

PROTOCOL = Subprotocol("graphql-transport-ws")
PATIENCE_S = 10.0


class Ended(Exception):
    """The operation has ended. `errors` are those of an `error` message, None for `complete` or a closed socket."""

    def __init__(self, errors: list[dict[str, Any]] | None) -> None:
        super().__init__(errors)
        self.errors = errors


class Stream:
    """The messages of one operation."""

    def __init__(self, client: "Client", id: str) -> None:
        self._client = client
        self.id = id
        self.received: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def next(self) -> Any:
        """The next payload. Raises Ended; TimeoutError after ten seconds without any."""
        async with asyncio.timeout(PATIENCE_S):
            message = await self.received.get()
        if message is None or message["type"] == "complete":
            raise Ended(None)
        if message["type"] == "error":
            raise Ended(message["payload"])
        return message["payload"]

    async def data(self) -> Any:
        """The root field's value in the next payload, which must have no errors."""
        payload = await self.next()
        assert payload.get("errors") is None, payload["errors"]
        (value,) = payload["data"].values()
        return value

    async def codes(self) -> list[str]:
        """The codes of the errors that the operation ends with, in an `error` message or a last payload."""
        try:
            payload = await self.next()
        except Ended as end:
            errors = end.errors or []
        else:
            errors = payload["errors"]
            with contextlib.suppress(Ended):
                raise AssertionError(f"more came: {await self.next()}")
        return [error["extensions"]["code"] for error in errors]

    async def stop(self) -> None:
        """Tell the server that no more is wanted."""
        await self._client.send({"id": self.id, "type": "complete"})


class Client:
    """A socket whose handshake is done."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._streams: dict[str, Stream] = {}
        self._ids = itertools.count(1)
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                message = json.loads(text)
                if (stream := self._streams.get(message.get("id", ""))) is not None:
                    stream.received.put_nowait(message)
        for stream in self._streams.values():
            stream.received.put_nowait(None)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message as it is."""
        await self.connection.send(json.dumps(message))

    async def run(self, document: str, **variables: Any) -> Stream:
        """Begin an operation."""
        stream = Stream(self, str(next(self._ids)))
        self._streams[stream.id] = stream
        payload = {"query": document, "variables": variables}
        await self.send({"id": stream.id, "type": "subscribe", "payload": payload})
        return stream

    async def close_code(self) -> int | None:
        """The code that the server closed the socket with. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
        return self.connection.close_code

    async def close(self) -> None:
        """Close the socket as a client does."""
        await self.connection.close()
        await self._reading

    def cut(self) -> None:
        """Lose the connection without a word."""
        self.connection.transport.abort()


@contextlib.asynccontextmanager
async def opened(address: str, token: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A socket to host:port, acknowledged, as whoever has the token."""
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL], compression=None, **options) as connection:
        payload = {} if token is None else {"authorization": f"Bearer {token}"}
        await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await connection.recv())["type"] == "connection_ack"
        client = Client(connection)
        try:
            yield client
        finally:
            await client.close()
