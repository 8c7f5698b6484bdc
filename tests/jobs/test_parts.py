"""What the parts of a worker owe each other: one that is held up holds up no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from domain.adapters.wiring import Adapters
from domain.base.clock import new_id
from domain.base.settings import Settings
from domain.deliveries.queueing import Due
from jobs.broker import GROUP, IDLE_MS, QUEUE, StreamBroker
from jobs.cron import Cron
from jobs.handlers import tick
from jobs.reactions import Reactions
from jobs.relay import Relay
from jobs.schedule import Line
from tests.factories import Tenant, execute, rows
from tests.jobs import counting
from tests.jobs.crew import Crew, make_labels, until


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_dead_workers_have_left_goes_before_what_is_new(workers: Crew, settings: Settings) -> None:
    broker, dead = StreamBroker(str(settings.redis_url)), "one that is dead"
    left, new = ([Due(new_id(), None) for _ in range(5)] for _ in range(2))
    async with Redis.from_url(str(settings.redis_url)) as client:
        # Its annotations do not say which of the forms of an answer it is.
        redis: Any = client
        await redis.xgroup_create(QUEUE, GROUP, id="0", mkstream=True)
        await broker.send(left)
        ((_, entries),) = await redis.xreadgroup(GROUP, dead, {QUEUE: ">"})
        await redis.xclaim(QUEUE, GROUP, dead, 0, [id for id, _ in entries], idle=2 * IDLE_MS)
    await broker.send(new)

    heard: list[UUID] = []
    async for entry in broker.listen():
        heard.append(UUID(broker.formatter.loads(entry.data).kwargs["delivery_id"]))
        if len(heard) == len(left) + len(new):
            break

    assert heard == [due.id for due in left + new]
    await broker.shutdown()


async def test_what_is_no_job_stops_nobody(workers: Crew, settings: Settings, acme: Tenant) -> None:
    await workers.start()
    async with Redis.from_url(str(settings.redis_url)) as redis:
        await redis.xadd(QUEUE, {"something": "else"})
        await redis.xadd(QUEUE, {"data": "nothing that can be read"})
    await make_labels(acme, 1)

    async def is_done() -> bool:
        return bool(await rows("SELECT FROM counting.effect WHERE org_id = $1", acme.org_id))

    await until(is_done)


async def test_a_line_that_cannot_begin_holds_up_no_other(workers: Crew, settings: Settings, acme: Tenant) -> None:
    @tick(f"test.after_{acme.slug}")
    async def after(_at: datetime, _adapters: Adapters) -> None:
        pass

    lines = [
        Line(counting.beat_each, every=timedelta(hours=1), organizations="SELECT nothing"),
        Line(after, every=timedelta(hours=1)),
    ]
    async with _running(Cron(lines, settings, lambda: None).run()):
        await until(lambda: rows("SELECT FROM tick WHERE name = $1", after.name))
    await execute("DELETE FROM delivery WHERE handler = $1", after.name)


async def test_accounts_do_not_wait_for_logs(
    workers: Crew, settings: Settings, adapters: Adapters, acme: Tenant
) -> None:
    await make_labels(acme, 1)
    entry = "INSERT INTO security_entry (id, user_id, at, action) VALUES ($1, $2, now(), 'SIGNED_IN')"
    await execute(entry, entry_id := new_id(), acme.member.user_id)
    broker, owner = StreamBroker(str(settings.redis_url)), await asyncpg.connect(settings.database_url)
    relay = Relay(Reactions.of(counting), settings, adapters.pubsub, broker)
    try:
        async with owner.transaction():
            await owner.execute("LOCK TABLE relay_position")
            async with _running(relay.run()):
                await until(lambda: rows("SELECT FROM delivery WHERE source_id = $1", entry_id))
    finally:
        await owner.close()
        await broker.shutdown()


async def test_listening_ends_though_redis_keeps_the_cancellation_to_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A queue of its own, in which nothing ever is.
    monkeypatch.setattr("jobs.broker.QUEUE", "planwire:test-of-listening")
    broker, asked = StreamBroker(str(settings.redis_url)), asyncio.Event()
    ask = broker._redis.xreadgroup

    async def swallowing(*arguments: Any, **named: Any) -> Any:
        asked.set()
        with suppress(asyncio.CancelledError):
            return await ask(*arguments, **named)

    monkeypatch.setattr(broker._redis, "xreadgroup", swallowing)
    listening = asyncio.ensure_future(anext(broker.listen()))
    await asked.wait()
    listening.cancel()

    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await listening
    await broker.shutdown()
