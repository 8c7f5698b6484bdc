"""Several API processes over this process's Postgres and a Redis that loses wake-ups; how long, and by what chance."""

import asyncio
import contextlib
import random
import secrets
import sys
from collections.abc import AsyncIterator

import pytest

from domain.adapters.pubsub import PubSub
from domain.base.settings import Settings
from domain.events.follow import Follower
from tests.live_log.fleet import Fleet
from tests.live_log.lossy_redis import LossyRedis
from tests.live_log.sizes import LONG, SHORT, Size


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    """The numbers of the drills."""
    return LONG if request.config.getoption("--long") else SHORT


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """What all chance follows from."""
    given = request.config.getoption("--seed")
    return secrets.randbits(32) if given is None else int(given)


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """The chance of one test. How the processes take turns is not in it."""
    sys.stdout.write(f"to repeat: --seed {seed}\n")
    return random.Random(f"{seed} {request.node.name}")  # noqa: S311


@pytest.fixture(scope="package")
async def lossy_redis(size: Size, seed: int, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LossyRedis]:
    """The Redis of the API processes."""
    chance = random.Random(f"{seed} wake-ups")  # noqa: S311
    lossy = LossyRedis(tmp_path_factory.mktemp("lossy"), lambda: chance.random() < size.lost)
    async with lossy.running():
        yield lossy


@pytest.fixture(scope="package")
async def fleet(
    size: Size, settings: Settings, lossy_redis: LossyRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """The API processes. This one is one more that writes: it wakes them for what it commits."""
    made = Fleet(settings, lossy_redis.url, tmp_path_factory.mktemp("fleet"))
    pubsub = PubSub(lossy_redis.url)
    async with made.running(size.processes):
        waking = asyncio.create_task(Follower(pubsub).run())
        yield made
        waking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waking
    await pubsub.close()
