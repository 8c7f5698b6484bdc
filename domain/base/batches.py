"""One look-up for all who ask at the same moment.

Who asks leaves a key and waits. Whoever asked within one turn of the event loop is answered by one look-up; those who
come while it is under way are answered by the next, so every answer was looked up after its question. Nothing is kept.

Where several ask at once, the next look-up waits for some turns of the loop. A busy loop has brought more of them by
then, and each look-up costs as much as a third of a request; one with nothing else to do has gone round in no time.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from domain.base.database_faults import away

K = TypeVar("K")
V = TypeVar("V")

# Everybody waits for the look-up that is under way, so a connection that hangs must not hold it for long.
LOOK_UP_TIMEOUT_S = 5.0
# How often the loop goes round between two look-ups, where several ask at once.
TURNS = 4
# One look-up stays short, and so does what one failure takes along.
MOST = 200


class Batches(Generic[K, V]):
    """`look_up` gets at most MOST different keys and gives what it found; a key that it leaves out is None's.

    `apart`: it knows nothing of whoever asked first. What it opens and keeps, such as a connection, would keep that.
    """

    def __init__(self, look_up: Callable[[list[K]], Awaitable[Mapping[K, V]]], *, apart: bool = False) -> None:
        self._look_up = look_up
        self._apart = apart
        self._asked: dict[K, list[asyncio.Future[V | None]]] = {}
        self._working: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """What belongs to the key.

        Raises what the look-up raises, to all whom it was made for; Unavailable when it takes too long.
        """
        # A future for each who asks: one who is cut off takes nobody along.
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, []).append(answer)
        if self._working is None or self._working.done():
            context = contextvars.Context() if self._apart else None
            self._working = asyncio.create_task(self._work(), context=context)
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():
                # It came in the same moment; a failure that nobody looks at would be reported.
                answer.exception()
            raise

    async def _work(self) -> None:
        while self._asked:
            keys = list(self._asked)[:MOST]
            asked = {key: self._asked.pop(key) for key in keys}
            # Those who were cut off meanwhile ask for nothing.
            asked = {key: answers for key, answers in asked.items() if not all(answer.done() for answer in answers)}
            if asked:
                await self._answer(asked)
            if len(asked) > 1:
                for _ in range(TURNS):
                    await asyncio.sleep(0)

    async def _answer(self, asked: dict[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._in_time(list(asked))
        except Exception as fault:
            for answer in _unanswered(asked):
                answer.set_exception(fault)
        except BaseException:
            for answer in _unanswered(asked):
                answer.cancel()
            raise
        else:
            for key, answers in asked.items():
                for answer in answers:
                    if not answer.done():
                        answer.set_result(found.get(key))

    async def _in_time(self, keys: list[K]) -> Mapping[K, V]:
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                return await self._look_up(keys)
        except TimeoutError as fault:
            raise away() from fault


def _unanswered(asked: Mapping[K, list[asyncio.Future[V | None]]]) -> list[asyncio.Future[V | None]]:
    return [answer for answers in asked.values() for answer in answers if not answer.done()]
