"""Throttle: counts tries within a window, shared by all processes. Redis keeps the counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.adapters.redis import pool
from domain.base.errors import RateLimited, Unavailable

_CONNECTIONS = 20
# One try more, and the seconds left of the window that its first try opened; atomic, so no two tries share a count.
_COUNT = """
local tries = redis.call('INCR', KEYS[1])
if tries == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {tries, redis.call('TTL', KEYS[1])}
"""

_log = structlog.get_logger("throttle")


@dataclass(frozen=True)
class Limit:
    """At most `tries` within `window_s` seconds from the first."""

    tries: int
    window_s: int


class Throttle:
    """Counters by key, each for one window."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_pool(pool(url, connections=_CONNECTIONS))
        self._count = self._redis.register_script(_COUNT)
        self._is_away = False

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Ask Redis inside the block. That it went away, and that it came back, is logged once each."""
        try:
            yield
        except RedisError as failure:
            if not self._is_away:
                self._is_away = True
                _log.warning("redis does not answer", purpose="throttle", fault=type(failure).__name__)
            raise Unavailable("Tries cannot be counted right now. Try again soon.") from failure
        if self._is_away:
            self._is_away = False
            _log.info("redis answers again", purpose="throttle")

    async def hit(self, key: str, limit: Limit) -> None:
        """Count one try. Raises RateLimited once there are more than the limit; Unavailable without Redis."""
        with self._asking():
            tries, left_s = await self._count(keys=[f"throttle:{key}"], args=[limit.window_s])
        if tries > limit.tries:
            raise RateLimited(max(1, left_s))

    async def check(self, key: str, limit: Limit) -> None:
        """Count nothing. Raises RateLimited once the tries have reached the limit; Unavailable without Redis."""
        with self._asking():
            if int(await self._redis.get(f"throttle:{key}") or 0) < limit.tries:
                return
            left_s = await self._redis.ttl(f"throttle:{key}")
        raise RateLimited(max(1, left_s))

    async def clear(self, key: str) -> None:
        """Forget the key's tries. Raises Unavailable without Redis."""
        with self._asking():
            await self._redis.delete(f"throttle:{key}")

    async def answers(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
