"""What every adapter over Redis needs: connections, a bounded wait, and no wait at all while Redis is away."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from domain.base.errors import Unavailable

TIMEOUT_S = 2.0
# After a failure nobody waits for Redis for so long; then one caller tries.
PAUSE_S = 1.0

_log = structlog.get_logger("redis")


def pool(url: str, *, connections: int) -> BlockingConnectionPool:
    """Connections that callers wait for when all are lent. A command is sent once: who counts may not count twice."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


class BareScript:
    """A script that is called for nearly every request, over connections of its own; one for each call at a time.

    It speaks over a connection itself: what redis-py's client does around a command takes longer than the command. Only
    a block of `Circuit.asking` ends a call that takes too long.
    """

    def __init__(self, url: str, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._pool = ConnectionPool.from_url(url, socket_timeout=None, retry=Retry(NoBackoff(), 0))

    async def call(self, keys: Sequence[str], argument: str) -> bytes:
        """What the script tells, which is a text. Raises RedisError and OSError."""
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            given = (len(keys), *keys, argument)
            try:
                await connection.send_command("EVALSHA", self._digest, *given)
                told: bytes = await connection.read_response()
            except NoScriptError:
                # Redis has begun anew, and keeps what it is sent once.
                await connection.send_command("EVAL", self._text, *given)
                told = await connection.read_response()
            return told
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class Circuit:
    """Keeps callers from waiting for a server that has just failed.

    Closed, all pass. A failure opens it: for PAUSE_S all are refused at once, then one asks, and the others are refused
    until that is answered. An answer closes it. Opening and closing are logged, refusals are not.
    """

    def __init__(self, purpose: str, *, refusal: str) -> None:
        self._purpose = purpose
        self._refusal = refusal
        self._again_at: float | None = None

    def check(self) -> None:
        """Raises Unavailable while nobody may ask. For callers who queue before they ask."""
        if self._again_at is not None and asyncio.get_running_loop().time() < self._again_at:
            raise Unavailable(self._refusal)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask Redis inside the block.

        Raises Unavailable when it fails or gives no answer within TIMEOUT_S, and at once while nobody may ask.
        """
        self.check()
        loop = asyncio.get_running_loop()
        if self._again_at is not None:
            self._again_at = loop.time() + TIMEOUT_S
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield
        except (RedisError, OSError, TimeoutError) as fault:
            if self._again_at is None:
                _log.warning("redis does not answer", purpose=self._purpose, fault=type(fault).__name__)
            self._again_at = loop.time() + PAUSE_S
            raise Unavailable(self._refusal) from fault
        if self._again_at is not None:
            _log.info("redis answers again", purpose=self._purpose)
            self._again_at = None
