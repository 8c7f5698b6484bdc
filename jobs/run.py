"""Relay, worker and cron of one process, from its start to its end."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from domain.adapters.bell import Bell
from domain.adapters.wiring import Adapters
from domain.ai import chat
from domain.base import database
from domain.base.errors import RequestError
from domain.base.settings import Settings
from domain.events import log
from domain.notifications import service as inboxes
from domain.search import serving
from domain.work import service as work
from jobs.broker import StreamBroker
from jobs.cron import Cron
from jobs.parts import FINISH_WITHIN_S, Part
from jobs.reactions import Reactions
from jobs.relay import Relay
from jobs.worker import Worker

# One each for relaying, queueing, leases and ticks: a lease must not end because a clean-up has the only one.
SYSTEM_CONNECTIONS = 4


def system_size(settings: Settings) -> int:
    """How many of the process's connections are the system's."""
    return min(SYSTEM_CONNECTIONS, settings.database_pool_size // 2)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[None]:
    """The database for the block, with connections as `run` needs them. Raises Unreachable."""
    await database.connect(settings, system_size=system_size(settings))
    try:
        yield
    finally:
        await database.disconnect()


async def run(
    settings: Settings,
    reactions: Reactions,
    *,
    parts: Collection[Part] = tuple(Part),
    concurrency: int | None = None,
    finish_within_s: float = FINISH_WITHIN_S,
) -> None:
    """Do the parts until cancelled, over a database that is connected; then let running jobs finish for so long.

    `concurrency` is how many jobs run at a time, without it as many as there are connections for them. Raises what
    ends a part by itself.
    """
    if settings.redis_url is None:
        raise ValueError("no Redis: start the embedded one or set REDIS_URL")
    adapters, broker, ending = Adapters.of(settings), StreamBroker(settings.redis_url), asyncio.Event()
    relay = Relay(reactions, settings, adapters.pubsub, broker)
    worker = Worker(
        reactions.by_name, adapters, broker, concurrency or settings.database_pool_size - system_size(settings)
    )
    # For who follows a log that a job has written to, or an inbox, a job or an answer.
    told = (
        (adapters.pubsub, log.grown),
        (adapters.inboxes, inboxes.changed),
        (adapters.jobs, work.changed),
        (adapters.answers, chat.changed),
    )
    bells = [asyncio.create_task(Bell(pubsub, commits).run()) for pubsub, commits in told]
    if Part.WORKER in parts:
        bells.append(asyncio.create_task(_warn(adapters)))
    works: dict[Part, Coroutine[Any, Any, None]] = {
        Part.RELAY: relay.run(),
        Part.WORKER: worker.run(ending, finish_within_s),
        Part.CRON: Cron(reactions.lines, settings, relay.wake).run(),
    }
    for part in set(Part) - set(parts):
        works.pop(part).close()
    tasks = {part: asyncio.create_task(work) for part, work in works.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.set()
        for part, task in tasks.items():
            if part is not Part.WORKER:
                task.cancel()
        # The worker's own deadlines bound this.
        ended = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for bell in bells:
            bell.cancel()
        await asyncio.wait(bells)
        await broker.shutdown()
        await adapters.close()
    for fault in ended:
        if isinstance(fault, Exception):
            raise fault


async def _warn(adapters: Adapters) -> None:
    """Say what of the settings needs a reindex. What does not answer now is told of by whoever needs it."""
    with suppress(RequestError):
        await serving.warn(adapters)
