"""Throttle: counts tries within a window, shared by all processes. Redis keeps the counts."""

from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from domain.base.errors import RateLimited, Unavailable

_TIMEOUT_S = 2.0
# One try more, and the seconds left of the window that its first try opened; atomic, so no two tries share a count.
_COUNT = """
local tries = redis.call('INCR', KEYS[1])
if tries == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {tries, redis.call('TTL', KEYS[1])}
"""


@dataclass(frozen=True)
class Limit:
    """At most `tries` within `window_s` seconds from the first."""

    tries: int
    window_s: int


# One try less, never below none; a key whose window has ended stays away.
_FORGIVE = """
local tries = tonumber(redis.call('GET', KEYS[1]) or '0')
if tries > 0 then redis.call('DECR', KEYS[1]) end
return tries
"""


class Throttle:
    """Counters by key, each for one window."""

    def __init__(self, url: str) -> None:
        # The default pool raises at its limit; this one lets callers wait for a connection.
        pool = BlockingConnectionPool.from_url(
            url, max_connections=20, timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._redis = Redis(connection_pool=pool)
        self._count = self._redis.register_script(_COUNT)
        self._forgive = self._redis.register_script(_FORGIVE)

    async def hit(self, key: str, limit: Limit) -> None:
        """Count one try. Raises RateLimited once there are more than the limit; Unavailable without Redis."""
        try:
            tries, left_s = await self._count(keys=[f"throttle:{key}"], args=[limit.window_s])
        except RedisError as failure:
            raise Unavailable("Tries cannot be counted right now. Try again soon.") from failure
        if tries > limit.tries:
            raise RateLimited(max(1, left_s))

    async def forgive(self, key: str) -> None:
        """Take one try back that turned out to be right. Raises Unavailable without Redis."""
        try:
            await self._forgive(keys=[f"throttle:{key}"])
        except RedisError as failure:
            raise Unavailable("Tries cannot be counted right now. Try again soon.") from failure

    async def clear(self, key: str) -> None:
        """Forget the key's tries. Raises Unavailable without Redis."""
        try:
            await self._redis.delete(f"throttle:{key}")
        except RedisError as failure:
            raise Unavailable("Tries cannot be counted right now. Try again soon.") from failure

    async def answers(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
