"""Thousands of changes while one process or server after the other is killed: every event has each effect once.

In the suite it is short; `bin/test --long -k soak` makes 5,000 changes. `--seed` repeats its chance.
"""

import asyncio
import random
import secrets
import sys
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.base.settings import Settings
from tests.factories import Tenant, make_tenant, rows
from tests.jobs.crew import Crew, all_done, calls, effects, ended, kill, until
from tests.live_log.fleet import BusyError, Fleet
from tests.live_log.lossy_redis import LossyRedis

SHORT, LONG = 200, 5000
WRITERS = 8
WORKERS = 2
# Between two troubles, at most.
CALM_S = {SHORT: 2.0, LONG: 4.0}
LABEL = """mutation ($id: ID!, $name: String!) {
  labelCreate(input: {organizationId: $id, name: $name, color: "#336699"}) { errors { code message path } }
}"""


async def _events(tenants: list[Tenant]) -> int:
    org_ids = [tenant.org_id for tenant in tenants]
    (row,) = await rows("SELECT coalesce(sum(seq), 0)::int AS count FROM event_counter WHERE org_id = ANY($1)", org_ids)
    return int(row["count"])


async def _write(fleet: Fleet, tenants: list[Tenant], number: int, wanted: int) -> None:
    """Change something until there are so many events, whatever each answer is."""
    turn = 0
    while await _events(tenants) < wanted:
        turn += 1
        tenant = tenants[turn % len(tenants)]
        try:
            await fleet.change(LABEL, tenant.admin.token, id=tenant.id, name=f"{number} {turn}")
        except (httpx.TransportError, BusyError):
            # Nobody knows whether it was done; the log does.
            await asyncio.sleep(0.1)


class Troubles:
    """What is killed while others write."""

    def __init__(self, chance: random.Random, workers: Crew, fleet: Fleet, redis: LossyRedis, calm_s: float) -> None:
        self._chance = chance
        self._workers = workers
        self._fleet = fleet
        self._redis = redis
        self._calm_s = calm_s
        self._crew: list[ForkServerProcess] = []
        self.counts: Counter[str] = Counter()

    async def begin(self) -> None:
        """Start those who work."""
        self._crew = [await self._workers.start() for _ in range(WORKERS)]

    async def go_on(self) -> None:
        """One after the other, each kind once before chance chooses."""
        kinds = [self._lose_worker, self._lose_redis, self._lose_api, self._end_worker]
        self._chance.shuffle(kinds)
        while True:
            kind = kinds.pop() if kinds else self._chance.choice([self._lose_worker, self._lose_redis, self._lose_api])
            await asyncio.sleep(self._chance.uniform(0.2, self._calm_s))
            await kind()
            self.counts[kind.__name__.strip("_")] += 1

    async def _lose_worker(self) -> None:
        await kill(self._crew.pop(0))
        self._crew.append(await self._workers.start())

    async def _end_worker(self) -> None:
        worker = self._crew.pop(0)
        worker.terminate()
        assert await ended(worker) == 0
        self._crew.append(await self._workers.start())

    async def _lose_redis(self) -> None:
        await self._redis.restart()

    async def _lose_api(self) -> None:
        await self._fleet.lose_one(0)


async def test_soak(workers: Crew, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    wanted = LONG if request.config.getoption("--long") else SHORT
    given = request.config.getoption("--seed")
    seed = secrets.randbits(32) if given is None else int(given)
    sys.stdout.write(f"to repeat: --seed {seed}\n")
    tenants = [await make_tenant(name) for name in ("acme", "globex", "initech")]
    redis = LossyRedis(tmp_path, lambda: False)
    async with redis.running():
        fleet = Fleet(settings, redis.url, tmp_path)
        fleet._environ["RATE_POINTS_MINUTE"] = "1000000000"
        workers.redis_url = redis.url
        async with fleet.running(1):
            troubles = Troubles(random.Random(seed), workers, fleet, redis, CALM_S[wanted])  # noqa: S311
            await troubles.begin()
            trouble = asyncio.create_task(troubles.go_on())
            await asyncio.gather(*(_write(fleet, tenants, number, wanted) for number in range(WRITERS)))
            # A change may be under way whose answer was lost; each kind of trouble comes at least once.
            await until(lambda: _enough(troubles), 300)
            trouble.cancel()
            await asyncio.wait([trouble])
            if not trouble.cancelled():
                trouble.result()
            await troubles.begin()
            for tenant in tenants:
                await until(lambda tenant=tenant: all_done(tenant.org_id), 600)  # type: ignore[misc]

    sys.stdout.write(f"{await _events(tenants)} events; {dict(troubles.counts)}\n")
    for tenant in tenants:
        (head,) = await rows("SELECT seq FROM event_counter WHERE org_id = $1", tenant.org_id)
        each_once = Counter(range(1, head["seq"] + 1))
        assert await effects(tenant.org_id) == each_once
        # A call outside may be made again after a kill; under its id the receiver knows it.
        assert Counter(seq for seq, _ in {(call["seq"], call["job_id"]) for call in await calls(tenant.org_id)}) == (
            each_once
        )
        assert await _attempts_without_end(tenant) == []


async def _enough(troubles: Troubles) -> bool:
    return len(troubles.counts) == 4


async def _attempts_without_end(tenant: Tenant) -> list[dict[str, Any]]:
    return await rows("SELECT id, last_error FROM delivery WHERE org_id = $1 AND state <> 'DONE'", tenant.org_id)
