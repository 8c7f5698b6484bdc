"""Everybody sees the whole log once and in order, whatever is cut, lost, restarted or killed meanwhile.

Several API processes serve the logs of several organizations while writers write to all of them. What each subscriber
saw over all its sockets is held against the rows of the log.
"""

import contextlib
import random
import sys
import time

from domain.base.database import acting_for
from domain.base.settings import Settings
from domain.events import chain, cursors
from tests.events.chain import first_fault
from tests.live_log.commits import Commits
from tests.live_log.drill import Drill, make_world
from tests.live_log.fleet import Fleet
from tests.live_log.lossy_redis import LossyRedis
from tests.live_log.sizes import Size
from tests.live_log.subscribers import Cut, log_of


async def test_everybody_sees_the_whole_log_once_and_in_order(
    settings: Settings, fleet: Fleet, lossy_redis: LossyRedis, size: Size, chance: random.Random
) -> None:
    world = await make_world()
    drill = Drill(world, fleet, lossy_redis, settings, size, chance)
    commits = Commits([tenant.org_id for tenant in world.busy])
    lossy_redis.passed = lossy_redis.dropped = 0
    begun = time.monotonic()

    # Who did not see all in time is found below, with what is missing.
    with contextlib.suppress(TimeoutError):
        async with commits.watched():
            await drill.run()

    sys.stdout.write(await figures(drill, commits, time.monotonic() - begun))
    for subscriber in drill.listeners + drill.bystanders:
        expected = await drill.expected(subscriber)
        assert subscriber.faults == []
        assert [event.id for event in subscriber.seen] == [event.id for event in expected]
        places = [cursors.read(settings, subscriber.org_id, event.cursor) for event in subscriber.seen]
        assert places == [event.seq for event in expected]
    assert len(drill.listeners) == size.subscribers
    assert drill.cuts.total() == size.cuts
    assert drill.tally.done == size.writers * size.changes_each
    assert min(drill.tally.committed, drill.tally.rolled_back, lossy_redis.passed, lossy_redis.dropped) > 0
    for tenant in [*world.busy, world.silent]:
        assert await first_fault(tenant.org_id) is None
        with acting_for([tenant.org_id]):
            assert await chain.verify(tenant.org_id) is None


async def figures(drill: Drill, commits: Commits, took_s: float) -> str:
    """What happened, and how long after its commit those who were listening were told of an event."""
    logs = {tenant.org_id: await log_of(tenant.org_id) for tenant in drill.world.busy}
    numbers = {event.id: event.seq for log in logs.values() for event in log}
    delays = sorted(
        max(0.0, told.at - max(told.listening_since, commits.seen_at(each.org_id, numbers[told.id])))
        for each in drill.listeners
        for told in each.seen
    )
    cuts = ", ".join(f"{drill.cuts[how]} {how}" for how in Cut)
    return (
        f"{sum(map(len, logs.values()))} events of {len(logs)} logs in {took_s:.1f} s: "
        f"{drill.tally.committed} changes committed, {drill.tally.rolled_back} rolled back, "
        f"{drill.tally.refused} refused\n"
        f"{len(drill.listeners)} subscribers saw {len(delays)} events over "
        f"{sum(each.sockets for each in drill.listeners)} sockets; cuts: {cuts}\n"
        f"wake-ups: {drill.redis.passed} passed, {drill.redis.dropped} dropped\n"
        f"told after: median {delays[len(delays) // 2]:.3f} s, 99 % {delays[len(delays) * 99 // 100]:.3f} s, "
        f"longest {delays[-1]:.3f} s\n"
    )
