"""The cache: values in Redis, each loaded once for all who wait for it, in this process and in the others.

Who asks for a key first leads here: it looks into Redis, takes the key's lock there, loads, stores, unlocks. Others of
this process wait for the leader; leaders of other processes look again until the value is there or the lock is free.

- A leader that is cut off unlocks, and one of those who wait leads. One whose process dies holds the lock for LOCK_S.
- A load that fails is not stored. Its failure goes to all who wait in this process; other processes try themselves.
- A lock that ends before its load does lets others load beside it, which costs a load and harms nothing.
- Without Redis each process loads for itself, and still once for all who wait there.

A value is whatever its key says for ever: what changes has another key. Nothing is dropped but by its time.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import structlog
from aiocache import RedisCache
from aiocache.serializers import NullSerializer

from domain.adapters.redis import Circuit, pool
from domain.base import telemetry
from domain.base.errors import Unavailable

# Longer than loads take, and short enough to wait for when the one who loads has died.
LOCK_S = 2.0
# What is larger takes as long to fetch as to load, and a client's many questions would fill Redis.
MOST_BYTES = 64 * 1024
# What was stored at one moment does not end at one moment.
_SHORTEST = 0.9
_LOOK_AGAIN_S = 0.02
# Values are small, so few connections serve many; who finds none waits for one.
_CONNECTIONS = 10

T = TypeVar("T")
_log = structlog.get_logger("cache")


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How a value is kept: `encode` makes of it what JSON can hold, `decode` the value again. None needs neither."""

    encode: Callable[[T], Any]
    decode: Callable[[Any], T]


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What is cached: its name, which tells its keys and its figures apart, its codec, and how long it lasts."""

    name: str
    codec: Codec[T]
    ttl_s: float

    def key(self, key: str) -> str:
        """The key in Redis."""
        return f"cache:{self.name}:{key}"


class Cache:
    """Values by key, in front of whatever loads them."""

    def __init__(self, url: str, *, lock_s: float = LOCK_S) -> None:
        self._lock_s = lock_s
        self._redis: Any = RedisCache(
            serializer=NullSerializer(encoding=None),
            # The circuit says how long a call may take.
            timeout=0,
            # Its settings know neither every kind of URL nor a wait for a connection.
            connection_pool_class=lambda **_: pool(url, connections=_CONNECTIONS),
        )
        self._circuit = Circuit("cache", refusal="The cache does not answer.")
        self._led: dict[str, asyncio.Future[Any]] = {}
        """By key in Redis, what will come of those that somebody leads."""

    async def get(
        self, kind: Kind[T], keys: Sequence[str], load: Callable[[list[str]], Awaitable[Mapping[str, T]]]
    ) -> tuple[dict[str, T | None], set[str]]:
        """Key -> value for each of the keys, and those that this call had to load.

        `load` gets the missing keys in one call; one that it leaves out is None's, which is cached too. Raises what it
        raises. Values are shared: nobody may change one.
        """
        values: dict[str, T | None] = {}
        loaded: set[str] = set()
        wanted = list(dict.fromkeys(keys))
        while wanted:
            theirs = {key: led for key in wanted if (led := self._led.get(kind.key(key))) is not None}
            if mine := [key for key in wanted if key not in theirs]:
                # First, so that two who wait for each other's keys cannot wait for ever.
                found, missed = await self._lead(kind, mine, load)
                values.update(found)
                loaded |= missed
            if theirs:
                await asyncio.wait(theirs.values())
            # Of one who was cut off nothing comes.
            wanted = [key for key, led in theirs.items() if led.cancelled()]
            values.update((key, led.result()) for key, led in theirs.items() if not led.cancelled())
        telemetry.CACHE_HITS.labels(kind.name).inc(len(values) - len(loaded))
        telemetry.CACHE_MISSES.labels(kind.name).inc(len(loaded))
        return values, loaded

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.client.aclose()

    async def _lead(
        self, kind: Kind[T], keys: list[str], load: Callable[[list[str]], Awaitable[Mapping[str, T]]]
    ) -> tuple[dict[str, T | None], set[str]]:
        """Find the values for all who come meanwhile."""
        loop = asyncio.get_running_loop()
        led: dict[str, asyncio.Future[Any]] = {key: loop.create_future() for key in keys}
        self._led.update((kind.key(key), future) for key, future in led.items())
        try:
            values, loaded = await self._find(kind, keys, load)
        except BaseException as fault:
            for future in led.values():
                if isinstance(fault, Exception):
                    future.set_exception(fault)
                    # A failure that nobody looks at would be reported.
                    future.exception()
                else:
                    future.cancel()
            raise
        else:
            for key, future in led.items():
                future.set_result(values[key])
            return values, loaded
        finally:
            for key in keys:
                del self._led[kind.key(key)]

    async def _find(
        self, kind: Kind[T], keys: list[str], load: Callable[[list[str]], Awaitable[Mapping[str, T]]]
    ) -> tuple[dict[str, T | None], set[str]]:
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._lock_s
        values: dict[str, T | None] = {}
        loaded: set[str] = set()
        await self._look(kind, keys, values)
        while missing := [key for key in keys if key not in values]:
            token = secrets.token_hex(16)
            locked = missing if loop.time() > patient_until else await self._lock(kind, missing, token)
            if not locked:
                await asyncio.sleep(_LOOK_AGAIN_S)
                await self._look(kind, missing, values)
                continue
            try:
                # Another may have stored it between the look and the lock.
                await self._look(kind, locked, values)
                if wanted := [key for key in locked if key not in values]:
                    found = await load(wanted)
                    values.update((key, found.get(key)) for key in wanted)
                    loaded.update(wanted)
                    await self._store(kind, {key: values[key] for key in wanted})
            finally:
                await self._unlock(kind, locked, token)
        return values, loaded

    # What is done in Redis. Without it nothing is stored, every lock is free, and nothing is kept.

    async def _look(self, kind: Kind[T], keys: list[str], values: dict[str, T | None]) -> None:
        """Add the values that are there."""
        try:
            async with self._circuit.asking():
                found: list[bytes | None] = await self._redis.multi_get([kind.key(key) for key in keys])
        except Unavailable:
            return
        for key, text in zip(keys, found, strict=True):
            if text is None:
                continue
            try:
                told = orjson.loads(text)
                values[key] = None if told is None else kind.codec.decode(told[0])
            except (ValueError, TypeError, LookupError) as fault:
                # Loaded anew, it is stored anew.
                _log.error("a cached value is not served", name=kind.name, fault=type(fault).__name__)

    async def _lock(self, kind: Kind[T], keys: list[str], token: str) -> list[str]:
        """Lock the keys that are free, and say which."""
        locked = []
        try:
            async with self._circuit.asking():
                for key in keys:
                    with suppress(ValueError):
                        await self._redis.add(_lock_of(kind.key(key)), token, ttl=self._lock_s)
                        locked.append(key)
        except Unavailable:
            return keys
        return locked

    async def _store(self, kind: Kind[T], values: dict[str, T | None]) -> None:
        texts = {
            key: orjson.dumps(None if value is None else [kind.codec.encode(value)]) for key, value in values.items()
        }
        # It spreads load and keeps nothing secret.
        ttl_s = kind.ttl_s * random.uniform(_SHORTEST, 1.0)  # noqa: S311
        with suppress(Unavailable):
            async with self._circuit.asking():
                for key, text in texts.items():
                    if len(text) <= MOST_BYTES:
                        await self._redis.set(kind.key(key), text, ttl=ttl_s)

    async def _unlock(self, kind: Kind[T], keys: list[str], token: str) -> None:
        """Free those that are still ours."""
        with suppress(Unavailable):
            async with self._circuit.asking():
                for key in keys:
                    await self._redis.raw("eval", RedisCache.RELEASE_SCRIPT, 1, _lock_of(kind.key(key)), token)


def _lock_of(key: str) -> str:
    return f"{key}:lock"
