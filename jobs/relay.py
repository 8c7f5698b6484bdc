"""The relay: brings what was committed to those who act on it. Nothing that was committed is lost on this road.

Who is there. The log of each organization, and the security log of accounts, are written by the change itself, in its
transaction. The relay reads what is unsent in them and makes deliveries: a row for each event and each handler that the
table of reactions lists. The queue carries the ids of deliveries to workers, whose handlers do them and note it in the
row. Several relays and workers may run; a log is one relay's at a time (its position's row is locked, others skip it).

What moves. A commit wakes the relay through Redis, as it wakes subscribers; a look at all logs once a second finds what
was not told. Position and deliveries move in one transaction, in the order of the log. Then what is due is queued: new
deliveries, those whose pause is over, those whose worker has gone, and those that the queue lost. The queue is kept
short, so a backlog waits in Postgres and not in the memory of Redis.

What a crash, or kill -9, does:
- of the process that committed, before it told anybody: the next look finds the events, a second later.
- of the relay before its commit: position and deliveries are as they were, and the next relay makes them.
- of the relay after its commit, before it queued: the deliveries are due, and queued by the next look of any relay; by
  AGAIN_AFTER later if they were marked as queued already and were not.
- of Redis: the rows stay. Where nothing is lost the workers go on; where it comes back empty, which a key that is
  missing tells, all that is due is queued again.
- of a worker: see `worker.py`.
A delivery may so be queued twice. Its row is taken by one worker at a time and done once.
"""

import asyncio
from collections.abc import Collection
from uuid import UUID

from domain.adapters.pubsub import PubSub
from domain.base.endless import endlessly
from domain.base.settings import Settings
from domain.deliveries import queueing, relaying
from jobs.broker import StreamBroker
from jobs.reactions import Reactions

LOOK_EVERY_S = 1.0
# In the queue at a time: more than workers do in a second, and some 200 KB of Redis.
QUEUED_AT_MOST = 1000
QUEUED_AT_ONCE = 200
# After a fault: the first wait, and the longest.
AGAIN_AFTER_S, AGAIN_AT_MOST_S = 0.1, 1.0
FORGET_CONSUMERS_EVERY_S = 600.0


class Relay:
    """One of any number of relays."""

    def __init__(self, reactions: Reactions, settings: Settings, pubsub: PubSub, broker: StreamBroker) -> None:
        self._events = reactions.names_by_type(settings)
        self._delays = reactions.delays
        self._accounts = reactions.names_by_action
        self._pubsub = pubsub
        self._broker = broker
        self._grown: set[UUID] = set()
        self._has_grown = asyncio.Event()
        self._has_due = asyncio.Event()

    async def run(self) -> None:
        """Relay and queue until cancelled."""
        async with asyncio.TaskGroup() as group:
            steps = (self._listen, self._relay_grown, self._relay_all, self._relay_accounts, self._queue)
            for step in (*steps, self._forget_consumers):
                group.create_task(endlessly(step, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S))

    def wake(self) -> None:
        """Queue what is due now: somebody has made deliveries."""
        self._has_due.set()

    async def _listen(self) -> None:
        # What was missed before a new connection is found by the look at all.
        async for org_ids in self._pubsub.wakes():
            if org_ids is not None:
                self._grown |= org_ids
                self._has_grown.set()

    async def _relay_grown(self) -> None:
        """Relay the logs that somebody told of."""
        await self._has_grown.wait()
        self._has_grown.clear()
        grown, self._grown = self._grown, set()
        await self._relay(grown)

    async def _relay_all(self) -> None:
        """Relay what nobody told of."""
        await self._relay(None)
        await asyncio.sleep(LOOK_EVERY_S)

    async def _relay_accounts(self) -> None:
        """Relay what happened to accounts, which nobody tells of."""
        while True:
            relayed = await relaying.relay_accounts(self._accounts)
            if relayed.deliveries:
                self.wake()
            if not relayed.is_more:
                break
        await asyncio.sleep(LOOK_EVERY_S)

    async def _relay(self, org_ids: Collection[UUID] | None) -> None:
        while True:
            relayed = await relaying.relay_logs(self._events, org_ids, delays=self._delays)
            if relayed.deliveries:
                self.wake()
            if not relayed.is_more:
                break

    async def _queue(self) -> None:
        """Queue what is due, when somebody says that there is something, and once a second."""
        if not await self._broker.knows():
            await queueing.forget_queued()
            await self._broker.note_known()
        self._has_due.clear()
        while (room := QUEUED_AT_MOST - await self._broker.length()) > 0:
            due = await queueing.take_due(min(room, QUEUED_AT_ONCE))
            if not due:
                break
            try:
                await self._broker.send(due)
            except BaseException:
                await queueing.give_back(due)
                raise
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._has_due.wait()
        except TimeoutError:
            return

    async def _forget_consumers(self) -> None:
        await asyncio.sleep(FORGET_CONSUMERS_EVERY_S)
        await self._broker.forget_consumers()
