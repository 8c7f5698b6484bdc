"""Leases: how many of something a key holds at once, over all processes. Sockets of a user are counted so.

Redis keeps a sorted set for each key: a member for each lease, with the millisecond at which it ends unless renewed.
One task renews all leases of this process and takes released ones out, one call after the other, so that no renewal
brings back what was released. A process that is killed renews nothing, and its leases end.

While Redis is away each process counts its own alone. The task goes on trying, and enters all of them when it answers.
A call that nobody waited for to the end may leave an entry behind, until that ends by itself.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable

from redis.asyncio import Redis

from domain.adapters.redis import PAUSE_S, Circuit, pool
from domain.base.endless import endlessly
from domain.base.errors import RateLimited, Unavailable

EXPIRY_S = 60.0
# Several renewals may fail before a lease ends; and Redis that came back empty learns of the leases so soon.
RENEWED_EVERY_S = 5.0
# One script call holds up all of Redis, so it stays short.
_MOST_A_CALL = 500
# Takes do not wait for renewals.
_CONNECTIONS = 4
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# KEYS: the key. ARGV: milliseconds that a lease lives, how many there may be, the member. Back come 1, or 0 when full.
_TAKE = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)
# KEYS: the key of each member. ARGV: milliseconds that a lease lives, number of released members, then the members,
# released ones first.
_KEEP = (
    _NOW
    + """
for i = 1, #KEYS do
  if i <= tonumber(ARGV[2]) then
    redis.call('ZREM', KEYS[i], ARGV[i + 2])
  else
    redis.call('ZADD', KEYS[i], now + ARGV[1], ARGV[i + 2])
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
  end
end
"""
)


class Lease:
    """One of those that a key may hold, until released."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it back. A second time does nothing; nobody waits for Redis."""
        release, self._release = self._release, None
        if release is not None:
            release()


class Leases:
    """Leases by key, renewed for as long as this process lives."""

    def __init__(self, url: str, *, expiry_s: float = EXPIRY_S, renewed_every_s: float = RENEWED_EVERY_S) -> None:
        self._expiry_s = expiry_s
        self._expiry_ms = round(expiry_s * 1000)
        self._renewed_every_s = renewed_every_s
        self._redis = Redis.from_pool(pool(url, connections=_CONNECTIONS))
        self._enter = self._redis.register_script(_TAKE)
        self._keep = self._redis.register_script(_KEEP)
        self._circuit = Circuit("leases", refusal="Leases cannot be counted right now.")
        # The leases of this process: members by key, from before Redis is asked.
        self._held: dict[str, set[str]] = {}
        # Members that Redis is being asked about. A renewal would have them counted before they are let in.
        self._entering: dict[str, asyncio.Task[None]] = {}
        # Members that Redis has yet to forget, with their keys and when they have ended by themselves.
        self._released: dict[str, tuple[str, float]] = {}
        self._work = asyncio.Event()
        self._renew_at = 0.0
        self._keeping: asyncio.Task[None] | None = None

    async def take(self, key: str, most: int) -> Lease:
        """A lease, to be released. Without Redis it is counted in this process alone.

        Raises RateLimited when the key holds `most` already.
        """
        if len(self._held.get(key, ())) >= most:
            raise _full(most)
        if self._keeping is None:
            self._renew_at = asyncio.get_running_loop().time() + self._renewed_every_s
            again = {"again_after_s": PAUSE_S, "again_at_most_s": self._renewed_every_s}
            self._keeping = asyncio.create_task(endlessly(self._keep_up, **again))
        member = secrets.token_hex(16)
        self._held.setdefault(key, set()).add(member)
        lease = Lease(lambda: self._release(key, member))
        # A task of its own: when the caller is cut off it still comes to its end, and then the lease is given back.
        entering = self._entering[member] = asyncio.create_task(self._enter_one(key, member, most))
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            entering.add_done_callback(lambda task: _end(task, lease))
            raise
        return lease

    async def close(self) -> None:
        """Give back every lease of this process, as far as Redis answers, and close the connections."""
        if self._entering:
            await asyncio.wait(self._entering.values())
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        for key, members in list(self._held.items()):
            for member in list(members):
                self._release(key, member)
        with contextlib.suppress(Unavailable):
            await self._tell(renewing=False)
        await self._redis.aclose()

    async def _enter_one(self, key: str, member: str, most: int) -> None:
        try:
            async with self._circuit.asking():
                entered = await self._enter(keys=[_name(key)], args=[self._expiry_ms, most, member])
        except Unavailable:
            # It may be there or not; all are entered when Redis answers.
            self._renew_at = min(self._renew_at, asyncio.get_running_loop().time() + PAUSE_S)
            self._work.set()
            return
        except BaseException:
            self._release(key, member)
            raise
        finally:
            del self._entering[member]
        if not entered:
            self._drop(key, member)
            raise _full(most)

    def _drop(self, key: str, member: str) -> bool:
        """Count it no more in this process, and say whether it was."""
        members = self._held.get(key, set())
        if member not in members:
            return False
        members.remove(member)
        if not members:
            del self._held[key]
        return True

    def _release(self, key: str, member: str) -> None:
        if self._drop(key, member):
            self._released[member] = key, asyncio.get_running_loop().time() + self._expiry_s
            self._work.set()

    async def _keep_up(self) -> None:
        """Wait for something to tell Redis, and tell it: what was released at once, what is held every few seconds."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._renew_at):
                await self._work.wait()
        self._work.clear()
        renewing = loop.time() >= self._renew_at
        try:
            await self._tell(renewing=renewing)
        except Unavailable:
            self._forget_ended()
            # Redis may come back empty.
            self._renew_at = loop.time() + PAUSE_S
            await asyncio.sleep(PAUSE_S)
        else:
            if renewing:
                self._renew_at = loop.time() + self._renewed_every_s

    async def _tell(self, *, renewing: bool) -> None:
        released = list(self._released.items())
        for at in range(0, len(released), _MOST_A_CALL):
            some = released[at : at + _MOST_A_CALL]
            await self._call([(key, member) for member, (key, _) in some], released=len(some))
            for member, _ in some:
                self._released.pop(member, None)
        held = [(key, member) for key, members in self._held.items() for member in members] if renewing else []
        for at in range(0, len(held), _MOST_A_CALL):
            some_held = held[at : at + _MOST_A_CALL]
            # Some were released while the others were renewed.
            await self._call([one for one in some_held if self._is_in(*one)], released=0)

    def _is_in(self, key: str, member: str) -> bool:
        return member in self._held.get(key, ()) and member not in self._entering

    async def _call(self, members: list[tuple[str, str]], *, released: int) -> None:
        if not members:
            return
        async with self._circuit.asking():
            await self._keep(
                keys=[_name(key) for key, _ in members],
                args=[self._expiry_ms, released, *(member for _, member in members)],
            )

    def _forget_ended(self) -> None:
        now = asyncio.get_running_loop().time()
        for member, (_, ends_at) in list(self._released.items()):
            if ends_at <= now:
                del self._released[member]


def _end(entering: "asyncio.Task[None]", lease: Lease) -> None:
    # A failure that nobody looks at would be reported.
    if not entering.cancelled():
        entering.exception()
    lease.release()


def _name(key: str) -> str:
    return f"leases:{key}"


def _full(most: int) -> RateLimited:
    return RateLimited(None, f"At most {most} at once, and as many are open. Close one first.", limit=most)
