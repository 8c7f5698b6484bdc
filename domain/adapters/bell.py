"""Bell: wakes all processes, this one too, for what this one has committed."""

import asyncio
from collections.abc import Collection
from uuid import UUID

from domain.adapters.pubsub import PubSub
from domain.base.commits import Commits
from domain.base.endless import endlessly

# After Redis refused an answer: the first wait, and the longest.
AGAIN_AFTER_S = 0.1
AGAIN_AT_MOST_S = 2.0
RING_AT_MOST_EVERY_S = 0.01


class Bell:
    """One in every process that changes what others follow. `run` rings it."""

    def __init__(self, pubsub: PubSub, commits: Commits) -> None:
        self._pubsub = pubsub
        self._commits = commits
        self._changed: set[UUID] = set()
        self._has_changed = asyncio.Event()

    async def run(self) -> None:
        """Ring until cancelled."""
        with self._commits.told(self._note):
            await endlessly(self._ring, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)

    def _note(self, ids: Collection[UUID]) -> None:
        self._changed |= set(ids)
        self._has_changed.set()

    async def _ring(self) -> None:
        await self._has_changed.wait()
        self._has_changed.clear()
        ids, self._changed = self._changed, set()
        # Where this fails, everybody finds it at the next look.
        await self._pubsub.wake(ids)
        # The first of a burst is told at once, the rest of it together: telling costs as much as a statement.
        await asyncio.sleep(RING_AT_MOST_EVERY_S)
