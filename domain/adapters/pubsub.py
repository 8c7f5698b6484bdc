"""PubSub: tells processes what grew or changed. Redis carries it and may lose it: the database is the truth."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.adapters.redis import TIMEOUT_S, pool
from domain.base.endless import heed_cancellation
from domain.base.errors import Unavailable

LOGS = "planwire:log"
INBOXES = "planwire:inbox"
JOBS = "planwire:job"
ANSWERS = "planwire:answer"
TEXTS = "planwire:text"
_ID_BYTES = 16
# One connection rings and one listens.
_CONNECTIONS = 2
# A listener whose peer has gone without a word learns of it from TCP's own probes, which redis-py asks for.
# How long to wait before Redis is tried again.
_AGAIN_AFTER_S = 0.5

log = structlog.get_logger("pubsub")


class PubSub:
    """What processes tell each other on one channel: ids of what grew or changed, or on TEXTS text as it comes."""

    def __init__(self, url: str, channel: str = LOGS) -> None:
        self._channel = channel
        # Redis that is away is tried again here, where the listener learns of it.
        self._redis = Redis.from_pool(pool(url, connections=_CONNECTIONS))

    async def wake(self, ids: Collection[UUID]) -> None:
        """Wake every listener for these ids. Raises Unavailable without Redis."""
        await self.tell(b"".join(id.bytes for id in ids))

    async def wakes(self) -> AsyncIterator[frozenset[UUID] | None]:
        """Ids as they are woken, without end; None at each new connection: some may have been missed."""
        async with aclosing(self.told()) as messages:
            async for message in messages:
                yield None if message is None else _ids(message)

    async def tell(self, message: bytes) -> None:
        """Tell every listener. Raises Unavailable without Redis."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.publish(self._channel, message)
        except (RedisError, OSError, TimeoutError) as fault:
            raise Unavailable("Wake-ups cannot be sent right now.") from fault

    async def told(self) -> AsyncGenerator[bytes | None, None]:
        """Messages as they are told, without end; None at each new connection: some may have been missed."""
        is_told = False
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    heed_cancellation()
                    is_told = False
                    yield None
                    async for message in channel.listen():
                        yield message["data"]
            except (RedisError, OSError) as fault:
                if not is_told:
                    log.warning("wake-ups are not heard", fault=type(fault).__name__)
                is_told = True
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _ids(message: bytes) -> frozenset[UUID]:
    whole = len(message) - len(message) % _ID_BYTES
    return frozenset(UUID(bytes=message[at : at + _ID_BYTES]) for at in range(0, whole, _ID_BYTES))
