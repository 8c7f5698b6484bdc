"""Servers and relays that go away between two steps of the road."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from domain.base.settings import Settings
from domain.deliveries import queueing, relaying
from domain.deliveries.queueing import Due
from jobs.broker import StreamBroker
from tests.factories import Tenant, execute, rows
from tests.jobs.counting import REACTIONS
from tests.jobs.crew import Crew, all_done, calls, deliveries, effects, kill, make_labels, until
from tests.jobs.test_soak import LABEL
from tests.live_log.fleet import Fleet
from tests.live_log.lossy_redis import LossyRedis

NAMES = {str(type_): [handler.name for handler in handlers] for type_, handlers in REACTIONS.items()}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[LossyRedis]:
    """A Redis of the test's own, to kill."""
    own = LossyRedis(tmp_path, lambda: False)
    async with own.running():
        yield own


async def test_a_relay_that_is_killed_before_its_commit_leaves_nothing(
    workers: Crew, settings: Settings, acme: Tenant
) -> None:
    await make_labels(acme, 3)
    # The relay waits for this lock in the middle of its transaction.
    owner = await asyncpg.connect(settings.database_url)
    try:
        async with owner.transaction():
            await owner.execute("LOCK TABLE delivery IN SHARE MODE")
            relay = await workers.start("--only", "relay")

            async def waits() -> bool:
                return bool(
                    await rows(
                        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                        "AND query LIKE 'INSERT INTO delivery%'"
                    )
                )

            await until(waits)
            await kill(relay)
    finally:
        await owner.close()

    assert await deliveries(acme.org_id, "counting.count") == []
    assert await rows("SELECT seq FROM relay_position WHERE org_id = $1 AND seq > 0", acme.org_id) == []
    await workers.start()
    await until(lambda: all_done(acme.org_id))
    assert await effects(acme.org_id) == {1: 1, 2: 1, 3: 1}


@pytest.mark.parametrize("is_taken", [False, True], ids=["before it queued", "after it took what to queue"])
async def test_a_relay_that_ends_after_its_commit_loses_nothing(
    workers: Crew, settings: Settings, acme: Tenant, is_taken: bool
) -> None:
    await make_labels(acme, 3)
    while (await relaying.relay_logs(NAMES, [acme.org_id])).is_more:
        pass
    if is_taken:
        assert await queueing.take_due(10_000)
        # AGAIN_AFTER has passed.
        await execute("UPDATE delivery SET queue_at = now() WHERE state = 'PENDING'")

    await workers.start()

    await until(lambda: all_done(acme.org_id))
    assert await effects(acme.org_id) == {1: 1, 2: 1, 3: 1}


async def test_what_is_queued_many_times_is_done_once(workers: Crew, settings: Settings, acme: Tenant) -> None:
    await make_labels(acme, 3)
    await relaying.relay_logs(NAMES, [acme.org_id])
    due = [Due(row["id"], acme.org_id) for row in await deliveries(acme.org_id, "counting.count")]
    broker = StreamBroker(str(settings.redis_url))
    await broker.send(due * 20)
    await broker.shutdown()

    for _ in range(2):
        await workers.start("--only", "worker")

    async def are_done() -> bool:
        return {row["state"] for row in await deliveries(acme.org_id, "counting.count")} == {"DONE"}

    await until(are_done)
    assert await effects(acme.org_id) == {1: 1, 2: 1, 3: 1}
    assert {row["attempts"] for row in await deliveries(acme.org_id, "counting.count")} == {1}


async def test_changes_go_on_without_redis_and_have_their_effects_when_it_is_back(
    workers: Crew, redis: LossyRedis, acme: Tenant
) -> None:
    workers.redis_url = redis.url
    for _ in range(2):
        await workers.start()
    await make_labels(acme, 5)
    await until(lambda: all_done(acme.org_id))

    await redis._kill()
    await make_labels(acme, 5)
    # Without Redis it is relayed and waits.
    await until(lambda: rows("SELECT FROM relay_position WHERE org_id = $1 AND seq = 10", acme.org_id))
    assert (await effects(acme.org_id)).total() == 5
    await redis._start()

    await until(lambda: all_done(acme.org_id))
    assert await effects(acme.org_id) == Counter(range(1, 11))


async def test_a_redis_that_is_killed_with_jobs_in_it_comes_back_empty_and_nothing_is_lost(
    workers: Crew, redis: LossyRedis, acme: Tenant
) -> None:
    workers.redis_url = redis.url
    await workers.start("--concurrency", "1")
    chance = random.Random(6)  # noqa: S311
    for _ in range(4):
        await make_labels(acme, chance.randint(5, 15))
        await redis.restart()

    await until(lambda: all_done(acme.org_id))
    (head,) = await rows("SELECT seq FROM event_counter WHERE org_id = $1", acme.org_id)
    assert await effects(acme.org_id) == Counter(range(1, head["seq"] + 1))


async def test_an_api_that_is_killed_after_its_commit_has_told_nobody_and_nothing_is_lost(
    workers: Crew, settings: Settings, acme: Tenant, tmp_path: Path
) -> None:
    # As if each process died before its wake-up had left.
    redis = LossyRedis(tmp_path, lambda: True)
    async with redis.running():
        workers.redis_url = redis.url
        await workers.start()
        fleet = Fleet(settings, redis.url, tmp_path)
        async with fleet.running(1):
            await fleet.change(LABEL, acme.admin.token, id=acme.id, name="last words")
            await fleet.lose(0)

        await until(lambda: all_done(acme.org_id))
        assert await effects(acme.org_id) == {1: 1}
        assert [call["seq"] for call in await calls(acme.org_id)] == [1]
