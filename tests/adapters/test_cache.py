"""The cache over several processes: one load for all who wait, nothing kept that failed, nobody held up for long."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from domain.adapters.cache import MOST_BYTES, Cache, Codec, Kind
from domain.base import telemetry
from tests.adapters.conftest import OwnRedis
from tests.events.live import until
from tests.processes import ENVIRON, ROOT

TTL_S = 60
TEXTS: Kind[Any] = Kind("texts", Codec(lambda value: value, lambda told: told), TTL_S)
ANOTHER_PROCESS = """
import asyncio, sys
from redis.asyncio import Redis
from domain.adapters.cache import Cache, Codec, Kind

async def main(url, lock_s):
    kind = Kind("texts", Codec(lambda value: value, lambda told: told), 60)
    cache, redis = Cache(url, lock_s=float(lock_s)), Redis.from_url(url)

    async def load(keys):
        print("loads", flush=True)
        await redis.blpop("gate")
        return dict.fromkeys(keys, "theirs")

    answers = await asyncio.gather(*(cache.get(kind, ["a"], load) for _ in range(50)))
    print(*{values["a"] for values, _ in answers}, sum(len(loaded) for _, loaded in answers), flush=True)
    await redis.aclose()
    await cache.close()

asyncio.run(main(*sys.argv[1:]))
"""


class Source:
    """Where values come from. It is asked once its gate is open, and notes what it was asked for."""

    def __init__(self, *, is_open: bool = True, **values: Any) -> None:
        self.values = values
        self.asked: list[list[str]] = []
        self.fault: Exception | None = None
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()

    async def load(self, keys: list[str]) -> dict[str, Any]:
        """What there is."""
        self.asked.append(keys)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return {key: self.values[key] for key in keys if key in self.values}

    async def of(self, cache: Cache, *keys: str, kind: Kind[Any] = TEXTS) -> dict[str, Any]:
        """The values through the cache."""
        values, _ = await cache.get(kind, keys, self.load)
        return values


@asynccontextmanager
async def process(redis: OwnRedis, **options: float) -> AsyncIterator[Cache]:
    """The cache as a process has it."""
    cache = Cache(redis.url, **options)
    try:
        yield cache
    finally:
        await cache.close()


@asynccontextmanager
async def another_process(redis: OwnRedis, lock_s: float) -> AsyncIterator["asyncio.subprocess.Process"]:
    """A real one, in which fifty ask for `a`, once the first of them loads."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANOTHER_PROCESS, redis.url, str(lock_s)),
        cwd=ROOT,
        env=ENVIRON,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"loads\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def has_looked(client: Redis, since: int) -> bool:
    """Whether somebody looked for a value at least twice since."""
    return await looks(client) >= since + 2


async def looks(client: Redis) -> int:
    """How often somebody looked for values."""
    return int((await client.info("commandstats")).get("cmdstat_mget", {}).get("calls", 0))


def figures() -> tuple[float, float]:
    """Hits and misses so far."""
    hits, misses = telemetry.CACHE_HITS.labels("texts"), telemetry.CACHE_MISSES.labels("texts")
    return hits._value.get(), misses._value.get()


async def test_two_hundred_callers_of_two_processes_take_one_load(redis: OwnRedis) -> None:
    source, before = Source(a="x"), figures()
    async with process(redis) as one, process(redis) as two:
        found = await asyncio.gather(*(source.of(cache, "a") for _ in range(100) for cache in (one, two)))

    assert found == [{"a": "x"}] * 200
    assert source.asked == [["a"]]
    hits, misses = figures()
    assert (hits - before[0], misses - before[1]) == (199, 1)


async def test_who_waits_gets_what_another_process_loads(redis: OwnRedis) -> None:
    source = Source(a="mine")
    # The lock outlasts a slow machine: it ends by its owner's hand.
    async with another_process(redis, 60.0) as child, process(redis, lock_s=60.0) as cache, redis.operator() as client:
        before = await looks(client)
        asking = asyncio.create_task(source.of(cache, "a"))
        await until(lambda: has_looked(client, before))
        await client.rpush("gate", "open")

        assert await asking == {"a": "theirs"}
        assert child.stdout is not None
        assert await child.stdout.readline() == b"theirs 1\n"
    assert source.asked == []


async def test_a_killed_process_holds_nobody_up_for_longer_than_its_lock(redis: OwnRedis) -> None:
    source = Source(a="mine")
    async with another_process(redis, 1.0) as child, process(redis) as cache, redis.operator() as client:
        assert await client.exists("cache:texts:a:lock")
        child.kill()
        await child.wait()

        assert await source.of(cache, "a") == {"a": "mine"}
    assert source.asked == [["a"]]


async def test_what_is_none_is_kept_too(redis: OwnRedis) -> None:
    source = Source(b="")
    async with process(redis) as cache:
        assert await source.of(cache, "a", "b") == {"a": None, "b": ""}
        assert await source.of(cache, "b", "a") == {"a": None, "b": ""}

    assert source.asked == [["a", "b"]]


async def test_only_what_is_missing_is_loaded_and_in_one_call(redis: OwnRedis) -> None:
    source = Source(a=1, b=2, c=3, d=4)
    async with process(redis) as cache:
        await source.of(cache, "b")
        values, loaded = await cache.get(TEXTS, ["d", "a", "b", "a", "c"], source.load)

    assert values == source.values
    assert loaded == {"a", "c", "d"}
    assert source.asked == [["b"], ["d", "a", "c"]]


async def test_those_who_want_each_others_keys_do_not_wait_for_ever(redis: OwnRedis) -> None:
    source = Source(a=1, b=2, c=3, d=4)
    wishes = [("a", "b", "c"), ("c", "d"), ("d", "b", "a"), ("b",)]
    async with process(redis) as one, process(redis) as two:
        found = await asyncio.gather(*(source.of(cache, *wish) for wish in wishes for cache in (one, two)))

    assert found == [{key: source.values[key] for key in wish} for wish in wishes for _ in range(2)]
    assert sorted(key for keys in source.asked for key in keys) == ["a", "b", "c", "d"]


async def test_a_failure_reaches_all_who_waited_for_it_and_is_not_kept(redis: OwnRedis) -> None:
    source = Source(is_open=False, a="x")
    source.fault = ZeroDivisionError()
    async with process(redis) as cache, redis.operator() as client:
        waiting = [asyncio.create_task(source.of(cache, "a")) for _ in range(50)]
        await until(lambda: source.asked)
        source.gate.set()
        told = await asyncio.gather(*waiting, return_exceptions=True)

        assert [type(each) for each in told] == [ZeroDivisionError] * 50
        assert source.asked == [["a"]]
        assert await client.keys("cache:*") == []
        source.fault = None
        assert await source.of(cache, "a") == {"a": "x"}
    assert len(source.asked) == 2


async def test_a_failure_lets_another_process_try_at_once(redis: OwnRedis) -> None:
    fails, works = Source(is_open=False), Source(a="x")
    fails.fault = ZeroDivisionError()
    async with process(redis, lock_s=60.0) as one, process(redis, lock_s=60.0) as two, redis.operator() as client:
        failing = asyncio.create_task(fails.of(one, "a"))
        await until(lambda: fails.asked)
        before = await looks(client)
        waiting = asyncio.create_task(works.of(two, "a"))
        await until(lambda: has_looked(client, before))
        assert works.asked == []
        fails.gate.set()

        with pytest.raises(ZeroDivisionError):
            await failing
        assert await waiting == {"a": "x"}


async def test_when_the_first_is_cut_off_another_loads(redis: OwnRedis) -> None:
    source = Source(is_open=False, a="x")
    async with process(redis, lock_s=60.0) as cache:
        first, *others = [asyncio.create_task(source.of(cache, "a")) for _ in range(20)]
        await until(lambda: source.asked)
        first.cancel()
        await until(lambda: len(source.asked) == 2)
        source.gate.set()

        assert await asyncio.gather(*others) == [{"a": "x"}] * 19
        assert first.cancelled()
        assert cache._led == {}
    assert source.asked == [["a"], ["a"]]


async def test_who_is_cut_off_while_waiting_takes_nobody_along(redis: OwnRedis) -> None:
    source = Source(is_open=False, a="x")
    async with process(redis) as cache:
        first, second, third = [asyncio.create_task(source.of(cache, "a")) for _ in range(3)]
        await until(lambda: source.asked)
        second.cancel()
        await asyncio.wait([second])
        source.gate.set()

        assert [await first, await third] == [{"a": "x"}] * 2
        assert second.cancelled()
    assert source.asked == [["a"]]


async def test_a_load_that_outlasts_its_lock_costs_a_load_and_nobodys_lock(redis: OwnRedis) -> None:
    slow, other = Source(is_open=False, a="slow"), Source(is_open=False, a="other")
    async with process(redis, lock_s=0.1) as one, process(redis, lock_s=60.0) as two, redis.operator() as client:
        first = asyncio.create_task(slow.of(one, "a"))
        await until(lambda: slow.asked)
        second = asyncio.create_task(other.of(two, "a"))
        await until(lambda: other.asked)
        slow.gate.set()

        assert await first == {"a": "slow"}
        assert await client.exists("cache:texts:a:lock")
        other.gate.set()
        assert await second == {"a": "other"}
        assert not await client.exists("cache:texts:a:lock")


async def test_who_has_waited_as_long_as_a_lock_loads_without_it(redis: OwnRedis) -> None:
    source = Source(a="x")
    async with process(redis, lock_s=0.1) as cache, redis.operator() as client:
        await client.set("cache:texts:a:lock", "somebody else's")

        assert await source.of(cache, "a") == {"a": "x"}
        assert await client.get("cache:texts:a:lock") == "somebody else's"
        assert await client.get("cache:texts:a") == '["x"]'


async def test_without_redis_all_is_loaded_and_once_for_who_waits(redis: OwnRedis) -> None:
    source = Source(is_open=False, a="x")
    async with process(redis) as cache:
        await redis.kill()
        with capture_logs() as logs:
            waiting = [asyncio.create_task(source.of(cache, "a")) for _ in range(20)]
            await until(lambda: source.asked)
            source.gate.set()
            assert await asyncio.gather(*waiting) == [{"a": "x"}] * 20
            assert await source.of(cache, "a") == {"a": "x"}
            assert source.asked == [["a"]] * 2
            await redis.start()

            async def is_kept() -> bool:
                await source.of(cache, "a")
                before = len(source.asked)
                return await source.of(cache, "a") == {"a": "x"} and len(source.asked) == before

            await until(is_kept)
    assert [each["event"] for each in logs] == ["redis does not answer", "redis answers again"]


async def test_a_redis_that_hangs_does_not_keep_the_value_from_anybody(redis: OwnRedis) -> None:
    source = Source(a="x")
    async with process(redis) as cache:
        async with redis.hanging():
            assert await source.of(cache, "a") == {"a": "x"}
            assert await source.of(cache, "b") == {"b": None}
    assert source.asked == [["a"], ["b"]]


@pytest.mark.parametrize("garbled", ["", "{", '{"a": 1}', "[]", "17", '["no such day"]'])
async def test_what_cannot_be_read_is_loaded_and_stored_anew(redis: OwnRedis, garbled: str) -> None:
    source = Source(a=5)
    numbers = Kind("texts", Codec[int](str, int), TTL_S)
    async with process(redis) as cache, redis.operator() as client:
        await client.set("cache:texts:a", garbled)
        with capture_logs() as logs:
            assert await source.of(cache, "a", kind=numbers) == {"a": 5}
        assert await source.of(cache, "a", kind=numbers) == {"a": 5}

        assert await client.get("cache:texts:a") == '["5"]'
    # Before and under the lock.
    assert [(each["event"], each["name"]) for each in logs] == [("a cached value is not served", "texts")] * 2
    assert source.asked == [["a"]]


@pytest.mark.parametrize(("length", "is_kept"), [(MOST_BYTES - 4, True), (MOST_BYTES - 3, False)])
async def test_what_is_too_large_is_loaded_each_time(redis: OwnRedis, length: int, is_kept: bool) -> None:
    source = Source(a="x" * length)
    async with process(redis) as cache:
        for _ in range(2):
            assert await source.of(cache, "a") == source.values

    assert len(source.asked) == (1 if is_kept else 2)


async def test_values_end_before_their_time_and_not_together(redis: OwnRedis) -> None:
    source = Source()
    keys = [f"key-{number}" for number in range(40)]
    async with process(redis) as cache, redis.operator() as client:
        for key in keys:
            await source.of(cache, key)
        left_ms = [await client.pttl(f"cache:texts:{key}") for key in keys]

    # Some time has gone by since they were stored.
    assert 0 < min(left_ms) <= max(left_ms) <= TTL_S * 1000
    assert max(left_ms) - min(left_ms) > TTL_S * 10


async def test_the_same_key_of_two_names_is_two(redis: OwnRedis) -> None:
    mine, theirs = Source(a="mine"), Source(a="theirs")
    others = Kind("others", TEXTS.codec, TTL_S)
    async with process(redis) as cache:
        await mine.of(cache, "a")

        assert await theirs.of(cache, "a", kind=others) == {"a": "theirs"}
        assert await mine.of(cache, "a") == {"a": "mine"}
