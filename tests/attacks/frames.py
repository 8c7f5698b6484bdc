"""Frames of a websocket as bytes, right ones and wrong ones."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from tests.attacks.raw import PATIENCE_S, Raw, raw

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: planwire.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client, by RFC 6455, section 5.2; its mask is zeros, which changes nothing."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes([first, mask | size])
    elif size < 65536:
        head = bytes([first, mask | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


async def next_frame(client: Raw) -> tuple[int, bytes]:
    """Opcode and payload of what the server sends next. Raises IncompleteReadError when it closes before."""
    async with asyncio.timeout(PATIENCE_S):
        first, second = await client.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await client.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await client.reader.readexactly(8))
        return first & 0x0F, await client.reader.readexactly(size)


async def close_code(client: Raw) -> int:
    """The code of the close frame, after which the server says nothing more and closes in order."""
    while True:
        opcode, payload = await next_frame(client)
        if opcode == CLOSE:
            assert await client.rest() == b""
            return int.from_bytes(payload[:2])


@contextlib.asynccontextmanager
async def shaken(address: str, receive_buffer_bytes: int | None = None) -> AsyncIterator[Raw]:
    """A socket after the handshake of HTTP, and before any message."""
    async with raw(address, receive_buffer_bytes) as client:
        await client.send(HANDSHAKE)
        assert (await client.answer()).status == 101
        yield client
