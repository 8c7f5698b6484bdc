"""When what was committed could be seen, as an onlooker at the database finds out."""

import asyncio
import bisect
import contextlib
import time
from collections.abc import AsyncIterator
from uuid import UUID

from tests.factories import rows

LOOK_EVERY_S = 0.02


class Commits:
    """The heads of logs over time."""

    def __init__(self, org_ids: list[UUID]) -> None:
        self._heads: dict[UUID, list[tuple[int, float]]] = {org_id: [] for org_id in org_ids}

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look inside the block."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        while True:
            found = await rows("SELECT org_id, seq FROM event_counter WHERE org_id = ANY($1)", list(self._heads))
            at = time.monotonic()
            for row in found:
                heads = self._heads[row["org_id"]]
                if not heads or heads[-1][0] < row["seq"]:
                    heads.append((row["seq"], at))
            await asyncio.sleep(LOOK_EVERY_S)

    def seen_at(self, org_id: UUID, seq: int) -> float:
        """When the event was first seen, or all before it."""
        heads = self._heads[org_id]
        return heads[min(bisect.bisect_left(heads, (seq, 0.0)), len(heads) - 1)][1]
