"""Wake-ups between processes: each listener hears each, and learns when it may have missed some."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.adapters.pubsub import PubSub
from domain.base.clock import new_id
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from tests.events.live import until

Heard = list[frozenset[UUID] | None]


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The Redis of this process, as its operator sees it."""
    client = Redis.from_url(settings.redis_url or "")
    yield client
    await client.aclose()


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[tuple[PubSub, Heard]]:
    """Somebody who listens, and what was heard."""
    pubsub, heard = PubSub(settings.redis_url or ""), Heard()

    async def listen() -> None:
        async with aclosing(pubsub.wakes()) as wakes:  # type: ignore[type-var]
            async for each in wakes:
                heard.append(each)

    task = asyncio.create_task(listen())
    await until(lambda: heard == [None])
    yield pubsub, heard
    task.cancel()
    await asyncio.wait([task])
    await pubsub.close()


async def test_every_listener_hears_every_wake_up_and_the_sender_its_own(settings: Settings) -> None:
    one, two, three = (frozenset([new_id()]) for _ in range(3))

    async with listening(settings) as (first, heard), listening(settings) as (second, also_heard):
        await first.wake(one)
        await second.wake(two | three)
        await until(lambda: len(heard) > 2 and len(also_heard) > 2)

    assert heard == also_heard == [None, one, two | three]


async def test_a_message_that_is_none_of_ours_wakes_nobody_wrong(settings: Settings, redis: Redis) -> None:
    known = new_id()

    async with listening(settings) as (_, heard):
        for message in (b"", b"x", known.bytes + b"cut off", known.bytes):
            await redis.publish("planwire:log", message)
        await until(lambda: len(heard) == 5)

    assert heard == [None, frozenset(), frozenset(), {known}, {known}]


async def test_who_was_cut_off_hears_that_something_may_be_missed_and_then_all_again(
    settings: Settings, redis: Redis
) -> None:
    org_ids = frozenset([new_id()])

    async with listening(settings) as (pubsub, heard):
        for times in range(2, 4):
            await redis.client_kill_filter(_type="pubsub")
            await until(lambda times=times: heard.count(None) == times)  # type: ignore[misc]
        await redis.client_kill_filter(_type="normal", skipme=True)
        await wake_again(pubsub, org_ids)
        await until(lambda: org_ids in heard)

    assert set(heard) == {None, org_ids}


async def wake_again(pubsub: PubSub, org_ids: frozenset[UUID]) -> None:
    """Send it, a second time where the connection was found dead."""
    try:
        await pubsub.wake(org_ids)
    except Unavailable:
        await pubsub.wake(org_ids)


async def test_without_redis_a_wake_up_is_unavailable() -> None:
    pubsub = PubSub("unix:///nowhere/redis.sock")

    with pytest.raises(Unavailable):
        await pubsub.wake([new_id()])
    await pubsub.close()
