"""Taskiq over a Redis stream that carries the ids of deliveries from the relay to the workers.

An entry is read by one worker (one at a time, so that they spread evenly) and stays pending until it is acknowledged,
which also deletes it. A worker that lives says so of its entries every HEARTBEAT_S; one that nobody has spoken for
within IDLE_MS is taken by another, which each worker looks for every LOOK_EVERY_S, busy queue or not. So a job that
takes long stays where it is, and a dead worker's goes on within IDLE_MS + LOOK_EVERY_S.

Rows in Postgres decide what is done, so an entry that comes twice, or is lost with the whole of Redis, harms nothing.
A key beside the stream tells whether Redis still is the one that we knew.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import AckableMessage, TaskiqMessage
from taskiq.receiver import Receiver
from taskiq_redis import RedisStreamBroker

from domain.adapters.redis import TIMEOUT_S, pool
from domain.base.endless import heed_cancellation
from domain.base.errors import Unavailable
from domain.deliveries.queueing import Due

QUEUE = "planwire:jobs"
GROUP = "planwire"
# Set once all that is due is queued: where it is missing, Redis is new or was emptied.
KNOWN = "planwire:jobs:known"
TASK = "deliver"
HEARTBEAT_S = 0.7
# As long as a lease of the row, so that who takes the entry may take the row as well.
IDLE_MS = 3500
LOOK_EVERY_S = 0.5
AGAIN_AFTER_S = 0.5
# A worker has a new name each time. One that has been gone for so long is forgotten, unless entries hang on it.
CONSUMER_FORGOTTEN_AFTER_MS = 3_600_000
_CONNECTIONS = 8

_log = structlog.get_logger("broker")


class StreamBroker(RedisStreamBroker):
    """Carries deliveries. `send` is the relay's side, `listen` the worker's."""

    def __init__(self, url: str) -> None:
        super().__init__(
            url,
            queue_name=QUEUE,
            consumer_group_name=GROUP,
            # From the first entry on: the group may be made after it.
            consumer_id="0",
            xread_count=1,
            xread_block=int(LOOK_EVERY_S * 1000),
        )
        # Bounded waits, and no command sent twice, as everywhere else.
        self.connection_pool = pool(url, connections=_CONNECTIONS)
        # Its annotations do not say which of the forms of an answer it is.
        self._redis: Any = Redis(connection_pool=self.connection_pool)
        self._running: dict[Callable[[], Awaitable[None] | None], bytes] = {}

    async def send(self, deliveries: Sequence[Due]) -> None:
        """Queue the deliveries in their order, in one round trip. Raises Unavailable."""
        async with self._asking(), self._redis.pipeline(transaction=False) as commands:
            for due in deliveries:
                commands.xadd(QUEUE, {"data": self.formatter.dumps(_message(due)).message})
            await commands.execute()

    async def length(self) -> int:
        """How many entries wait or run. Raises Unavailable."""
        async with self._asking():
            return int(await self._redis.xlen(QUEUE))

    async def knows(self) -> bool:
        """Whether Redis has what was queued, as far as one key can tell. Raises Unavailable."""
        async with self._asking():
            return bool(await self._redis.exists(KNOWN))

    async def note_known(self) -> None:
        """Say that all that is due will be queued from now on. Raises Unavailable."""
        async with self._asking():
            await self._redis.set(KNOWN, b"1")

    async def startup(self) -> None:
        """Nothing is asked of Redis yet: it may be away."""

    async def shutdown(self) -> None:
        """Close the connections."""
        await self.connection_pool.disconnect()

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Entries without end, those of dead workers first. Comes back by itself when Redis does."""
        loop, look_at, is_told = asyncio.get_running_loop(), 0.0, False
        while True:
            try:
                if loop.time() >= look_at:
                    if left := await self._left_behind():
                        yield self._entry(*left)
                        # Where one was, there may be more.
                        continue
                    look_at = loop.time() + LOOK_EVERY_S
                fetched = await self._redis.xreadgroup(GROUP, self.consumer_name, {QUEUE: ">"}, 1, block=self.block)
                is_told = False
                for _, entries in fetched or []:
                    for id, fields in entries:
                        yield self._entry(id, fields)
                # Nobody else would end a wait that begins anew each second.
                heed_cancellation()
            except (RedisError, OSError, TimeoutError) as fault:
                # Redis is new, or was emptied while it was waited for.
                if str(fault).startswith(("NOGROUP", "UNBLOCKED")) and await self._made_group():
                    continue
                if not is_told:
                    _log.warning("jobs are not heard of", fault=type(fault).__name__)
                is_told = True
                await asyncio.sleep(AGAIN_AFTER_S)

    async def beat(self) -> None:
        """Say that the entries of this worker are being worked on. Raises Unavailable."""
        await asyncio.sleep(HEARTBEAT_S)
        if ids := list(self._running.values()):
            async with self._asking():
                await self._redis.xclaim(QUEUE, GROUP, self.consumer_name, 0, ids, idle=0, justid=True)

    def forget(self, ack: Callable[[], Awaitable[None] | None]) -> None:
        """Speak for an entry no more, whether it was acknowledged or not."""
        self._running.pop(ack, None)

    def _entry(self, id: bytes, fields: Mapping[bytes, bytes]) -> AckableMessage:
        async def ack() -> None:
            async with self._asking(), self._redis.pipeline(transaction=True) as commands:
                commands.xack(QUEUE, GROUP, id)
                commands.xdel(QUEUE, id)
                await commands.execute()

        self._running[ack] = id
        # What is not ours has no data: Taskiq cannot read it, and acknowledges it.
        return AckableMessage(data=fields.get(b"data", b""), ack=ack)

    async def _left_behind(self) -> tuple[bytes, Mapping[bytes, bytes]] | None:
        """An entry that nobody has spoken for lately, ours from now on; None when there is none."""
        for pending in await self._redis.xpending_range(QUEUE, GROUP, "-", "+", 100, idle=IDLE_MS):
            if (id := pending["message_id"]) in self._running.values():
                continue
            for claimed, fields in await self._redis.xclaim(QUEUE, GROUP, self.consumer_name, IDLE_MS, [id]):
                if fields:
                    return claimed, fields
                # The entry itself is gone: what is left is that it was pending.
                await self._redis.xack(QUEUE, GROUP, id)
        return None

    async def _made_group(self) -> bool:
        """Whether there is a group now, made by us or by another worker."""
        try:
            # From the first entry on: some may be there before anybody reads.
            await self._redis.xgroup_create(QUEUE, GROUP, id="0", mkstream=True)
        except (RedisError, OSError, TimeoutError) as fault:
            return str(fault).startswith("BUSYGROUP")
        return True

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                yield
        except (RedisError, OSError, TimeoutError) as fault:
            raise Unavailable("Jobs cannot be queued right now.") from fault

    async def forget_consumers(self) -> None:
        """Leave consumers out that have been gone for long. Raises Unavailable."""
        async with self._asking():
            for consumer in await self._redis.xinfo_consumers(QUEUE, GROUP):
                if consumer["pending"] == 0 and consumer["idle"] > CONSUMER_FORGOTTEN_AFTER_MS:
                    await self._redis.xgroup_delconsumer(QUEUE, GROUP, consumer["name"])


class StreamReceiver(Receiver):
    """Taskiq's receiver, which tells the broker when an entry is no longer worked on."""

    broker: StreamBroker

    async def callback(self, message: bytes | AckableMessage, raise_err: bool = False) -> None:
        """Run what the entry asks for."""
        try:
            await super().callback(message, raise_err)
        finally:
            if isinstance(message, AckableMessage):
                self.broker.forget(message.ack)


def _message(due: Due) -> TaskiqMessage:
    told: dict[str, Any] = {"delivery_id": str(due.id), "org_id": due.org_id and str(due.org_id)}
    return TaskiqMessage(task_id=str(due.id), task_name=TASK, labels={"ack_type": "manual"}, args=[], kwargs=told)
