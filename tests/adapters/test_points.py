"""Points of a window: counted exactly, in few calls, given back to their own window only, and not waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from domain.adapters.points import Balance, OutOfPoints, Points
from domain.base.batches import MOST
from domain.base.errors import Unavailable
from tests.adapters.conftest import OwnRedis
from tests.events.live import until

LIMIT = 100
# Long enough to take and be refused in; a test waits until it has ended.
SHORT_S = 0.3


@asynccontextmanager
async def counting(redis: OwnRedis, window_s: float = 60.0) -> AsyncIterator[Points]:
    """The counters as a process has them."""
    points = Points(redis.url, window_s=window_s)
    try:
        yield points
    finally:
        await points.close()


async def remaining(points: Points, key: str) -> int:
    """What is left, without taking."""
    return (await points.take(key, 0, LIMIT)).remaining


async def server_time(redis: OwnRedis) -> datetime:
    """The clock that windows go by."""
    async with redis.operator() as client:
        seconds, micros = await client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)


async def test_takes_of_one_window_add_up(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        before = await server_time(redis)
        first = await points.take("ada", 30, LIMIT)
        after = await server_time(redis)
        second = await points.take("ada", 70, LIMIT)
        other = await points.take("bob", 1, LIMIT)

    assert (first.remaining, second.remaining, other.remaining) == (70, 0, 99)
    assert first == Balance("ada", LIMIT, 70, second.reset_at)
    minute, millisecond = timedelta(seconds=60), timedelta(milliseconds=1)
    assert before + minute - millisecond <= first.reset_at <= after + minute


async def test_a_take_over_the_limit_takes_nothing(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        balance = await points.take("ada", 60, LIMIT)

        with pytest.raises(OutOfPoints) as refused:
            await points.take("ada", 41, LIMIT)

        assert await remaining(points, "ada") == 40
        assert (await points.take("ada", 40, LIMIT)).remaining == 0
    wait_s = refused.value.retry_after_s
    assert wait_s is not None
    assert 1 <= wait_s <= 60
    assert refused.value.balance == balance
    assert refused.value.message == f"This costs 41 points; 40 of 100 are left. Wait {wait_s} s."
    reset_at = balance.reset_at.isoformat()
    assert refused.value.details == {
        "retryAfter": wait_s,
        "limit": 100,
        "remaining": 40,
        "cost": 41,
        "resetAt": reset_at,
    }


async def test_what_no_window_has_is_refused_without_a_time_to_wait(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        with pytest.raises(OutOfPoints) as refused:
            await points.take("ada", LIMIT + 1, LIMIT)

        assert (await points.take("ada", LIMIT, LIMIT)).remaining == 0
    assert refused.value.retry_after_s is None
    assert refused.value.message == "This costs 101 points, and a whole minute has 100. Ask for less at once."
    assert "retryAfter" not in refused.value.details


async def test_a_refused_or_free_take_opens_no_window(redis: OwnRedis) -> None:
    async with counting(redis) as points, redis.operator() as client:
        await points.take("ada", 0, LIMIT)
        with pytest.raises(OutOfPoints):
            await points.take("ada", LIMIT + 1, LIMIT)

        assert await client.keys() == []


async def test_nobody_takes_or_gives_back_less_than_nothing(redis: OwnRedis) -> None:
    async with counting(redis) as points, redis.operator() as client:
        with pytest.raises(ValueError, match="negative"):
            await points.take("ada", -1, LIMIT)
        balance = await points.take("ada", 1, LIMIT)
        with pytest.raises(ValueError, match="negative"):
            points.give_back(balance, -1)

        assert await client.hget("points:ada", "used") == "1"


async def test_large_numbers_are_counted_to_the_point(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        await points.take("ada", 999_999_998, 1_000_000_000)

        assert (await points.take("ada", 1, 1_000_000_000)).remaining == 1


async def test_two_processes_at_once_never_pass_the_limit(redis: OwnRedis) -> None:
    async with counting(redis) as one, counting(redis) as two:
        takes = [points.take("ada", 1, LIMIT) for _ in range(100) for points in (one, two)]
        told = await asyncio.gather(*takes, return_exceptions=True)

        passed = [each for each in told if isinstance(each, Balance)]
        refused = [each for each in told if isinstance(each, OutOfPoints)]
        assert (len(passed), len(refused)) == (100, 100)
        # Each was decided alone: no two saw the same balance.
        assert sorted(each.remaining for each in passed) == list(range(100))
        assert {each.balance.remaining for each in refused} == {0}
        assert await remaining(one, "ada") == 0


async def test_takes_of_one_turn_are_one_call_and_decided_in_order(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        await points.take("warm", 1, LIMIT)
        before = await redis.calls("evalsha")
        told = await asyncio.gather(
            *(points.take("ada", cost, LIMIT) for cost in (60, 50, 30)),
            *(points.take(f"user-{n}", 1, LIMIT) for n in range(MOST - 3)),
            return_exceptions=True,
        )

        assert await redis.calls("evalsha") == before + 1
    first, second, third, *others = told
    assert isinstance(first, Balance)
    assert first.remaining == 40
    assert isinstance(second, OutOfPoints)
    assert second.balance.remaining == 40
    assert isinstance(third, Balance)
    assert third.remaining == 10
    assert [each.remaining for each in others if isinstance(each, Balance)] == [99] * (MOST - 3)


async def test_refunds_go_along_with_the_next_take(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        ada, bob = await points.take("ada", 90, LIMIT), await points.take("bob", 50, LIMIT)
        before = await redis.calls("evalsha")
        points.give_back(ada, 20)
        points.give_back(ada, 30)
        points.give_back(bob, 50)
        told = await points.take("ada", 60, LIMIT)

        assert await redis.calls("evalsha") == before + 1
        assert told.remaining == 0
        assert await remaining(points, "bob") == 100


async def test_refunds_leave_soon_by_themselves_and_before_the_end(redis: OwnRedis) -> None:
    async with counting(redis) as points, redis.operator() as client:
        balance = await points.take("ada", 90, LIMIT)
        points.give_back(balance, 20)

        async def is_given_back() -> bool:
            return await client.hget("points:ada", "used") == "70"

        await until(is_given_back)
        points.give_back(balance, 10)
        await points.close()

        assert await client.hget("points:ada", "used") == "60"


async def test_more_than_was_used_is_not_given_back(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        balance = await points.take("ada", 10, LIMIT)
        points.give_back(balance, 1000)

        assert await remaining(points, "ada") == 100


async def test_a_window_ends_and_another_begins(redis: OwnRedis) -> None:
    async with counting(redis, SHORT_S) as points:
        first = await points.take("ada", LIMIT, LIMIT)

        async def has_ended() -> bool:
            return await remaining(points, "ada") == LIMIT

        await until(has_ended)
        second = await points.take("ada", 1, LIMIT)

    assert second.remaining == 99
    assert second.reset_at >= first.reset_at + timedelta(seconds=SHORT_S)


async def test_nothing_is_given_back_to_another_window(redis: OwnRedis) -> None:
    async with counting(redis, SHORT_S) as short, counting(redis) as points, redis.operator() as client:
        over = await short.take("ada", 50, LIMIT)

        async def has_ended() -> bool:
            return not await client.exists("points:ada")

        await until(has_ended)
        points.give_back(over, 50)
        # The refund goes first in the call, to a key that is not there.
        assert await remaining(points, "ada") == LIMIT
        assert not await client.exists("points:ada")
        await points.take("ada", 10, LIMIT)
        points.give_back(over, 5)

        assert await remaining(points, "ada") == 90


async def test_a_redis_that_forgot_the_script_is_told_again(redis: OwnRedis) -> None:
    async with counting(redis) as points, redis.operator() as client:
        balance = await points.take("ada", 10, LIMIT)
        await client.script_flush()
        points.give_back(balance, 5)

        assert (await points.take("ada", 10, LIMIT)).remaining == 85


async def test_without_redis_takes_are_unavailable_and_counted_again_when_it_is_back(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        balance = await points.take("ada", 10, LIMIT)
        await redis.kill()
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await points.take("ada", 10, LIMIT)
            points.give_back(balance, 10)
            await redis.start()

            async def is_back() -> bool:
                try:
                    await points.take("bob", 1, LIMIT)
                except Unavailable:
                    return False
                return True

            await until(is_back)

        # Nothing was taken meanwhile; the refund arrived or was dropped.
        assert await remaining(points, "ada") in (90, 100)
    assert [(each["event"], each["log_level"]) for each in logs if each.get("purpose") == "points"] == [
        ("redis does not answer", "warning"),
        ("redis answers again", "info"),
    ]


async def test_only_one_waits_for_a_redis_that_hangs(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        await points.take("ada", 1, LIMIT)
        async with redis.hanging():
            # More than one call takes: some are still in the queue when the first call fails, and are not sent.
            takes = [asyncio.create_task(points.take("ada", 1, LIMIT)) for _ in range(3 * MOST)]
            told = await asyncio.gather(*takes, return_exceptions=True)
            assert {type(each) for each in told} == {Unavailable}

            async def tries() -> bool:
                probe = asyncio.create_task(points.take("ada", 1, LIMIT))
                # A turn to ask, and one for the call to begin; who is refused at once is done then.
                for _ in range(3):
                    await asyncio.sleep(0)
                if probe.done():
                    assert isinstance(probe.exception(), Unavailable)
                    return False
                for _ in range(100):
                    with pytest.raises(Unavailable):
                        await points.take("ada", 1, LIMIT)
                assert not probe.done()
                with pytest.raises(Unavailable):
                    await probe
                return True

            await until(tries)


async def test_who_is_cut_off_takes_nobody_along(redis: OwnRedis) -> None:
    async with counting(redis) as points:
        takes = [asyncio.create_task(points.take("ada", 1, LIMIT)) for _ in range(3)]
        await asyncio.sleep(0)
        takes[1].cancel()
        told = await asyncio.gather(*takes, return_exceptions=True)

    assert [type(each) for each in told] == [Balance, asyncio.CancelledError, Balance]
