"""Relay and worker in this process, over its servers, with adapters of the test's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from jobs.broker import StreamBroker
from jobs.reactions import Reactions
from jobs.relay import Relay
from jobs.worker import Worker

WORKING_AT_ONCE = 4


@contextlib.asynccontextmanager
async def working(settings: Settings, adapters: Adapters, reactions: Reactions) -> AsyncIterator[None]:
    """What is committed is relayed and done, inside the block."""
    broker, ending = StreamBroker(str(settings.redis_url)), asyncio.Event()
    relay = asyncio.create_task(Relay(reactions, settings, adapters.pubsub, broker).run())
    worker = asyncio.create_task(Worker(reactions.by_name, adapters, broker, WORKING_AT_ONCE).run(ending, 5.0))
    try:
        yield
    finally:
        ending.set()
        relay.cancel()
        await asyncio.gather(relay, worker, return_exceptions=True)
        await broker.shutdown()
