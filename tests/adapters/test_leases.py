"""Leases over several processes: never more than allowed, none lost, none left behind."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.adapters.leases import Lease, Leases
from domain.base.errors import RateLimited
from tests.adapters.conftest import OwnRedis
from tests.events.live import until
from tests.processes import ENVIRON, ROOT

MOST = 3
# Far apart, so that renewals come in time on a busy machine too.
EXPIRY_S, RENEWED_EVERY_S = 2.0, 0.1
ANOTHER_PROCESS = """
import asyncio, sys
from domain.adapters.leases import Leases

async def hold():
    leases = Leases(sys.argv[1], expiry_s=float(sys.argv[2]))
    held = [await leases.take("ada", 3) for _ in range(3)]
    print("held", flush=True)
    await asyncio.sleep(3600)

asyncio.run(hold())
"""


@asynccontextmanager
async def process(
    redis: OwnRedis, expiry_s: float = EXPIRY_S, renewed_every_s: float = RENEWED_EVERY_S
) -> AsyncIterator[Leases]:
    """The leases as a process has them."""
    leases = Leases(redis.url, expiry_s=expiry_s, renewed_every_s=renewed_every_s)
    try:
        yield leases
    finally:
        await leases.close()


async def live(redis: OwnRedis, key: str = "ada") -> int:
    """How many Redis knows of, ended or not."""
    async with redis.operator() as client:
        return int(await client.zcard(f"leases:{key}"))


async def until_live(redis: OwnRedis, count: int, key: str = "ada") -> None:
    """Wait until Redis knows of so many."""

    async def is_so() -> bool:
        return await live(redis, key) == count

    await until(is_so)


async def until_taken(leases: Leases) -> None:
    """Take a lease as soon as there is one."""

    async def is_taken() -> bool:
        try:
            await leases.take("ada", MOST)
        except RateLimited:
            return False
        return True

    await until(is_taken)


async def test_one_more_than_allowed_is_refused_until_one_is_released(redis: OwnRedis) -> None:
    async with process(redis) as one, process(redis) as two:
        first = await one.take("ada", MOST)
        await one.take("ada", MOST)
        await two.take("ada", MOST)

        for leases in (one, two):
            with pytest.raises(RateLimited) as refused:
                await leases.take("ada", MOST)
            assert refused.value.message == "At most 3 at once, and as many are open. Close one first."
            assert (refused.value.retry_after_s, refused.value.details) == (None, {"limit": 3})
        assert await live(redis) == MOST
        await two.take("bob", MOST)

        first.release()
        first.release()
        await until_live(redis, MOST - 1)
        await two.take("ada", MOST)
        with pytest.raises(RateLimited):
            await one.take("ada", MOST)


async def test_at_once_no_more_than_allowed_are_let_in(redis: OwnRedis) -> None:
    async with process(redis) as one, process(redis) as two:
        takes = [leases.take("ada", MOST) for _ in range(20) for leases in (one, two)]
        told = await asyncio.gather(*takes, return_exceptions=True)

        assert sum(isinstance(each, Lease) for each in told) == MOST
        assert sum(isinstance(each, RateLimited) for each in told) == 40 - MOST
        assert await live(redis) == MOST


async def test_a_process_that_refuses_by_its_own_count_asks_nobody(redis: OwnRedis) -> None:
    async with process(redis, renewed_every_s=60.0) as leases:
        for _ in range(MOST):
            await leases.take("ada", MOST)
        before = await redis.calls("evalsha")
        with pytest.raises(RateLimited):
            await leases.take("ada", MOST)

        assert await redis.calls("evalsha") == before


async def test_leases_are_put_off_while_their_process_lives(redis: OwnRedis) -> None:
    async with process(redis, expiry_s=60.0) as leases, redis.operator() as client:

        async def ends() -> list[float]:
            members: Any = await client.zrange("leases:ada", 0, -1, withscores=True)
            return [at for _, at in members]

        for _ in range(MOST):
            await leases.take("ada", MOST)
        first = await ends()

        async def are_put_off() -> bool:
            return min(await ends()) > max(first)

        await until(are_put_off)
        assert len(await ends()) == MOST


async def test_many_leases_are_renewed_in_few_calls(redis: OwnRedis) -> None:
    async with process(redis, renewed_every_s=60.0) as leases:
        for number in range(600):
            await leases.take(f"user-{number % 200}", MOST)
        # A server that does not have the script yet is asked twice.
        await leases._tell(renewing=True)
        before = await redis.calls("evalsha")
        await leases._tell(renewing=True)

        assert await redis.calls("evalsha") == before + 2


async def test_the_leases_of_a_killed_process_end(redis: OwnRedis) -> None:
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ANOTHER_PROCESS, redis.url, str(EXPIRY_S)),
        cwd=ROOT,
        env=ENVIRON,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"held\n"
        assert await live(redis) == MOST
    finally:
        other.kill()
        await other.wait()
    async with process(redis) as leases:
        for _ in range(MOST):
            await until_taken(leases)

        assert await live(redis) == MOST


async def test_a_process_that_ends_leaves_nothing(redis: OwnRedis) -> None:
    async with process(redis) as leases:
        for key in ("ada", "ada", "bob"):
            await leases.take(key, MOST)
        assert (await live(redis), await live(redis, "bob")) == (2, 1)

    assert (await live(redis), await live(redis, "bob")) == (0, 0)


async def test_without_redis_each_process_counts_its_own_and_enters_them_later(redis: OwnRedis) -> None:
    async with process(redis) as one, process(redis) as two:
        before = await one.take("ada", MOST)
        await redis.kill()
        with capture_logs() as logs:
            for _ in range(MOST - 1):
                await one.take("ada", MOST)
            for leases in (one, two):
                await leases.take("bob", 1)
                with pytest.raises(RateLimited):
                    await leases.take("bob", 1)
            with pytest.raises(RateLimited):
                await one.take("ada", MOST)
            before.release()
            await redis.start()
            await until_live(redis, MOST - 1)
            # The other process too has found that Redis answers; until then it would count its own alone.
            await until_live(redis, 2, "bob")

        await two.take("ada", MOST)
        with pytest.raises(RateLimited):
            await two.take("ada", MOST)
    told = [each["event"] for each in logs if each.get("purpose") == "leases"]
    assert told.count("redis does not answer") == 2
    assert set(told) == {"redis does not answer", "redis answers again"}


async def test_a_redis_that_came_back_empty_learns_of_all(redis: OwnRedis) -> None:
    async with process(redis) as leases, redis.operator() as client:
        for _ in range(MOST):
            await leases.take("ada", MOST)
        await client.flushall()
        await client.script_flush()

        await until_live(redis, MOST)


async def test_who_is_cut_off_leaves_no_lease(redis: OwnRedis) -> None:
    async with process(redis) as leases:
        for turns in range(8):
            taking = asyncio.create_task(leases.take("ada", 1))
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            done, _ = await asyncio.wait([taking])
            for each in done:
                if not each.cancelled():
                    each.result().release()
            await until(lambda: not leases._held)
            await until_live(redis, 0)

        assert (leases._held, leases._entering) == ({}, {})
        await leases.take("ada", 1)


async def test_who_is_cut_off_while_redis_hangs_leaves_no_lease(redis: OwnRedis) -> None:
    async with process(redis) as leases:
        await leases.take("bob", 1)
        async with redis.hanging():
            taking = asyncio.create_task(leases.take("ada", 1))
            await until(lambda: leases._entering)
            taking.cancel()
            await asyncio.wait([taking])
            assert taking.cancelled()

        await until(lambda: "ada" not in leases._held)
        await until_live(redis, 0)
        assert await live(redis, "bob") == 1
