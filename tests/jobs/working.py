"""Relay and worker in this process, over its servers, with adapters of the test's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from jobs import broker as queue
from jobs import relay as relaying
from jobs.broker import StreamBroker
from jobs.reactions import Reactions
from jobs.relay import Relay
from jobs.worker import Worker

WORKING_AT_ONCE = 4
# What comes from outside, and what accounts do, waits for the relay's next look. Tests ask for what is then done.
LOOK_EVERY_S = 0.1


@contextlib.asynccontextmanager
async def working(settings: Settings, adapters: Adapters, reactions: Reactions) -> AsyncIterator[None]:
    """What is committed is relayed and done, inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (relaying, queue):
            patch.setattr(module, "LOOK_EVERY_S", LOOK_EVERY_S)
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
