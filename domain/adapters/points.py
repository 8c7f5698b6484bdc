"""Points: what callers' operations may cost within a window, counted for all processes in Redis.

A take waits; a refund does not. All takes of one turn of the event loop, and the refunds since, are one script call, in
which they are decided in order. A call that fails may have counted or not: its takes are Unavailable, its refunds are
dropped, so that nothing is ever given back twice.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from domain.adapters.redis import BareScript, Circuit
from domain.base.batches import Batches
from domain.base.errors import RateLimited, Unavailable

WINDOW_S = 60.0
# A refund waits so long for a take to go along with.
REFUND_AFTER_S = 0.02
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
# A window is a hash of the points used and the millisecond of its end, by the clock of Redis; the end is its identity.
# ARGV is one text of numbers, as is the answer: redis-py takes longer over many small arguments than over anything
# else here. They are the length of a window in milliseconds, the number of refunds, then two for each key, refunds
# first. Four come back for each take: 1 or 0, points used, end, milliseconds to the end.
_COUNT = """
local number = string.gmatch(ARGV[1], '%d+')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, refunds = tonumber(number()), tonumber(number())
for i = 1, refunds do
  local points, ends = tonumber(number()), number()
  local state = redis.call('HMGET', KEYS[i], 'used', 'ends')
  if state[2] == ends then
    redis.call('HSET', KEYS[i], 'used', string.format('%.0f', math.max(0, state[1] - points)))
  end
end
local told = {}
for i = refunds + 1, #KEYS do
  local points, limit = tonumber(number()), tonumber(number())
  local state = redis.call('HMGET', KEYS[i], 'used', 'ends')
  local used, ends = tonumber(state[1] or 0), tonumber(state[2] or 0)
  local opens = ends <= now
  if opens then used, ends = 0, now + window end
  local passes = used + points <= limit
  if passes and points > 0 then
    used = used + points
    if opens then
      redis.call('HSET', KEYS[i], 'used', string.format('%.0f', used), 'ends', string.format('%.0f', ends))
      redis.call('PEXPIREAT', KEYS[i], string.format('%.0f', ends))
    else
      redis.call('HSET', KEYS[i], 'used', string.format('%.0f', used))
    end
  end
  told[#told + 1] = string.format('%d %.0f %.0f %.0f', passes and 1 or 0, used, ends, ends - now)
end
return table.concat(told, ' ')
"""


class Balance(NamedTuple):
    """What is left of a key's window after a take."""

    key: str
    limit: int
    remaining: int
    reset_at: datetime


class OutOfPoints(RateLimited):
    """The window has too few points left, or never has as many. Nothing was taken; `balance` is what is left."""

    def __init__(self, cost: int, balance: Balance, retry_after_s: int) -> None:
        limit, remaining = balance.limit, balance.remaining
        details = {"limit": limit, "remaining": remaining, "cost": cost, "resetAt": balance.reset_at.isoformat()}
        if cost > limit:
            # No wait helps, and a client that is told one would come back for ever.
            super().__init__(
                None, f"This costs {cost} points, and a whole minute has {limit}. Ask for less at once.", **details
            )
        else:
            super().__init__(
                retry_after_s,
                f"This costs {cost} points; {remaining} of {limit} are left. Wait {retry_after_s} s.",
                **details,
            )
        self.balance = balance


@dataclass(slots=True, eq=False)
class _Take:
    """One caller's wish. Compared by identity: the same wish of two callers is two."""

    key: str
    points: int
    limit: int


class Points:
    """Counters of points by key, each for one window that its first take opens."""

    def __init__(self, url: str, *, window_s: float = WINDOW_S) -> None:
        self._window_ms = round(window_s * 1000)
        self._count = BareScript(url, _COUNT)
        self._circuit = Circuit("points", refusal="Points cannot be counted right now. Try again soon.")
        self._takes: Batches[_Take, Balance | OutOfPoints] = Batches(self._decide, apart=True)
        self._refunds: dict[tuple[str, int], int] = {}
        self._refund_later: asyncio.TimerHandle | None = None
        self._refunding: asyncio.Task[None] | None = None

    async def take(self, key: str, points: int, limit: int) -> Balance:
        """Take the points and say what is left; with 0 points only say it.

        Raises OutOfPoints, and takes nothing, when the window would go over the limit; Unavailable without Redis: in
        at most 2 s, and after a failure at once. ValueError when points are negative.
        """
        if points < 0:
            raise ValueError("points cannot be negative")
        self._circuit.check()
        told = await self._takes.get(_Take(key, points, limit))
        if isinstance(told, Balance):
            return told
        if told is None:
            raise RuntimeError("a take was not decided")
        raise told

    def give_back(self, balance: Balance, points: int) -> None:
        """Give back points that were taken with this balance. It is sent soon, in this loop; nobody waits for it.

        Nothing happens when the window has ended meanwhile, or Redis does not answer. ValueError when negative.
        """
        if points < 0:
            raise ValueError("points cannot be negative")
        if points == 0:
            return
        window = balance.key, (balance.reset_at - _EPOCH) // _MS
        self._refunds[window] = self._refunds.get(window, 0) + points
        if self._refund_later is None:
            loop = asyncio.get_running_loop()
            self._refund_later = loop.call_later(REFUND_AFTER_S, self._start_refunding, context=contextvars.Context())

    async def close(self) -> None:
        """Send what is to be given back, and close the connections."""
        if self._refund_later is not None:
            self._refund_later.cancel()
        self._start_refunding()
        try:
            if self._refunding is not None:
                await self._refunding
        finally:
            await self._count.close()

    def _start_refunding(self) -> None:
        self._refund_later = None
        if self._refunds and (self._refunding is None or self._refunding.done()):
            self._refunding = asyncio.create_task(self._refund())

    async def _refund(self) -> None:
        while self._refunds:
            with contextlib.suppress(Unavailable):
                await self._send([])

    async def _decide(self, takes: list[_Take]) -> dict[_Take, Balance | OutOfPoints]:
        numbers = iter((await self._send(takes)).split())
        return {take: _told(take, numbers) for take in takes}

    async def _send(self, takes: list[_Take]) -> str:
        refunds, self._refunds = self._refunds, {}
        keys = [f"points:{key}" for key, _ in refunds]
        numbers = [f"{self._window_ms} {len(refunds)}"]
        numbers += [f"{points} {ends}" for (_, ends), points in refunds.items()]
        for take in takes:
            keys.append(f"points:{take.key}")
            numbers.append(f"{take.points} {take.limit}")
        async with self._circuit.asking():
            told = await self._count.call(keys, " ".join(numbers))
        return told.decode()


def _told(take: _Take, numbers: Iterator[str]) -> Balance | OutOfPoints:
    passes, used, ends, left_ms = next(numbers), int(next(numbers)), int(next(numbers)), int(next(numbers))
    balance = Balance(take.key, take.limit, max(0, take.limit - used), _EPOCH + ends * _MS)
    return balance if passes == "1" else OutOfPoints(take.points, balance, max(1, -(-left_ms // 1000)))
