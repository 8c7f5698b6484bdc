"""Changes that run at most once for an actor, a field and a key, and whose outcome a repeat gets again.

Attempt: who asks for what under which key. Outcome: what is kept of the answer, a user error included; what else fails
keeps nothing, because nothing has happened. An attempt is alone with its key while it holds an advisory lock, which
nobody waits for inside a transaction: who does not get it leaves, sleeps without a connection, and tries again.

`once` changes and keeps in one transaction. A crash before its commit leaves neither, after it both.

`once_outside` calls an outside service between two transactions. The first claims the key: a row without an outcome,
whose id never changes, and a lease that outlasts the call. The second changes what is ours and keeps the outcome. A
crash between the two leaves the claim; once its lease has ended the next attempt takes it over and calls again with
the same id, by which the service knows that it is the same call.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, fetch, fetch_value, savepoint, transaction, tx
from domain.base.errors import Conflict, InProgress, RequestError, Timeout, UserError, UserErrors
from domain.base.sql import Row, Sql, sql

KEPT_FOR = timedelta(hours=24)
# How long an attempt waits for another one with its key.
PATIENCE_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.2
# What a lease lasts beyond the call: the answer has to be written down too.
LEASE_MARGIN = timedelta(seconds=15)
# Where a caller is told what is wrong with a key. No argument can have this name.
PATH = ("@idempotent", "key")
_DROPPED_AT_ONCE = 100

R = TypeVar("R")
T = TypeVar("T")
Refusal = UserError | UserErrors
Keep = Callable[[R], str]
"""What is kept of a result."""
Refuse = Callable[[Refusal], R]
"""The result that a user error makes."""


@dataclass(frozen=True)
class Attempt:
    """Who asks for what under which key. `digest` is of all arguments: equal ones have equal digests."""

    actor: Actor
    field: str
    key: str
    digest: bytes

    @property
    def whose(self) -> Sql:
        """The condition under which a row is this actor's, field's and key's."""
        ref = self.actor.ref
        return sql(
            "actor_kind = {} AND actor_id = {} AND field = {} AND key = {}",
            ref.kind.value,
            ref.id,
            self.field,
            self.key,
        )

    @property
    def lock_number(self) -> int:
        """The number of the advisory lock: 64 bits, so two keys that share one only wait for each other."""
        ref = self.actor.ref
        text = "\x00".join(("idempotency", ref.kind.value, str(ref.id), self.field, self.key))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True)
class Kept:
    """The outcome of an earlier attempt, as `keep` wrote it."""

    outcome: str


@dataclass(frozen=True)
class Claim:
    """A key that is claimed until then. The id stays the same when the claim is taken over."""

    id: UUID
    lease_until: datetime


class _Found(Row):
    id: UUID
    arguments_digest: bytes
    outcome: str | None
    lease_until: datetime | None


async def once(attempt: Attempt, do: Callable[[], Awaitable[R]], *, keep: Keep[R], refuse: Refuse[R]) -> R | Kept:
    """What `do` gives, run in the transaction that keeps its outcome; Kept when it ran before.

    A user error undoes what `do` changed, and what `refuse` makes of it is the outcome. Anything else that `do` raises
    goes on, and nothing is kept. Raises InProgress; Conflict when the arguments were others; Unavailable; Timeout.
    """
    _require_no_transaction()
    waiting = _Waiting()
    while True:
        with _standings_of(attempt.actor):
            async with tx():
                if await _locked(attempt):
                    found = await _find(attempt)
                    if found is None:
                        result = await _settled(attempt.actor, do, refuse)
                        await _insert(attempt, new_id(), outcome=keep(result), lease_until=None)
                        return result
                    if found.outcome is not None:
                        return Kept(found.outcome)
        await waiting.pause()


async def once_outside(
    attempt: Attempt,
    call: Callable[[UUID], Awaitable[T]],
    finish: Callable[[T], Awaitable[R]],
    *,
    timeout_s: float,
    keep: Keep[R],
    refuse: Refuse[R],
) -> R | Kept:
    """What `finish` makes of what `call` gives; Kept when that happened before.

    `call` runs outside any transaction, for at most `timeout_s`, and gets the id by which the service knows the call
    again. `finish` runs in the transaction that keeps the outcome. A user error of either is an outcome; anything else
    gives the claim back for the next attempt. Raises InProgress, also when the call took so long that another attempt
    has taken over; Conflict when the arguments were others; Unavailable; Timeout.
    """
    _require_no_transaction()
    claim = await _claim(attempt, timedelta(seconds=timeout_s) + LEASE_MARGIN)
    if isinstance(claim, Kept):
        return claim
    try:
        try:
            called = await _in_time(call(claim.id), timeout_s)
        except (UserError, UserErrors) as refusal:
            told = refusal

            async def refused() -> R:
                raise told

            return await _finish(attempt, claim, refused, keep, refuse)
        return await _finish(attempt, claim, lambda: finish(called), keep, refuse)
    except Exception:
        # Where the database is away as well, the lease runs out by itself.
        with suppress(RequestError):
            await _give_back(claim)
        raise


async def outside(call: Callable[[UUID], Awaitable[T]], finish: Callable[[T], Awaitable[R]], *, timeout_s: float) -> R:
    """As `once_outside` for who gave no key: a new id each time, and nothing is kept. Raises Timeout."""
    _require_no_transaction()
    called = await _in_time(call(new_id()), timeout_s)
    async with tx():
        return await finish(called)


class _Waiting:
    """Pauses that grow, each somewhat random so that many who wait do not come back together."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.time() + PATIENCE_S
        self._pause_s = FIRST_PAUSE_S

    async def pause(self) -> None:
        """Raises InProgress when patience has ended."""
        left_s = self._ends - self._loop.time()
        if left_s <= 0:
            raise InProgress("The first request with this key still runs. Try again soon.", *PATH)
        await asyncio.sleep(min(left_s, self._pause_s * random.uniform(0.5, 1)))  # noqa: S311  # no secret
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


@contextmanager
def _standings_of(actor: Actor) -> Iterator[None]:
    """What the block makes of the caller's standings ends with a failure: the services believe it committed by then."""
    before = dict(actor.standings)
    try:
        yield
    except BaseException:
        actor.stand(before)
        raise


def _require_no_transaction() -> None:
    """Inside one, a lock would be kept after it was left, and a call would hold a connection."""
    if transaction() is not None:
        raise RuntimeError("this begins transactions of its own and cannot join one")


async def _in_time(call: Awaitable[T], timeout_s: float) -> T:
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await call
    except TimeoutError as fault:
        if not limit.expired():
            raise
        raise Timeout("The other service did not answer in time. Try again.") from fault


async def _locked(attempt: Attempt) -> bool:
    """Whether the key is ours alone to the end of the transaction. Never waits."""
    # A statement of its own: the next one then sees all that was committed before the lock was had.
    return bool(await fetch_value(sql("SELECT pg_try_advisory_xact_lock({}::bigint)", attempt.lock_number)))


async def _find(attempt: Attempt) -> _Found | None:
    """What is kept or claimed and still counts. Raises Conflict when it was for other arguments."""
    rows = await fetch(
        sql(
            "SELECT id, arguments_digest, outcome, lease_until FROM idempotency WHERE {} AND created_at > {}",
            attempt.whose,
            now() - KEPT_FOR,
        ),
        _Found,
    )
    if not rows:
        return None
    if rows[0].arguments_digest != attempt.digest:
        raise Conflict("This key was used with other arguments. Use a new one for a new request.", *PATH)
    return rows[0]


async def _settled(actor: Actor, do: Callable[[], Awaitable[R]], refuse: Refuse[R]) -> R:
    """What `do` gives, or what a user error makes, which undoes what was changed."""
    try:
        with _standings_of(actor):
            async with savepoint():
                return await do()
    except (UserError, UserErrors) as refusal:
        return refuse(refusal)


async def _insert(attempt: Attempt, id: UUID, *, outcome: str | None, lease_until: datetime | None) -> None:
    """Write the row in the place of one that does not count any more, and drop others of the actor that do not."""
    ref, at = attempt.actor.ref, now()
    await execute(
        sql(
            # Rows that another attempt is dropping are left to it, so that nobody waits here.
            "WITH dropped AS (DELETE FROM idempotency WHERE id = ANY(ARRAY("
            "SELECT id FROM idempotency WHERE actor_kind = {} AND actor_id = {} AND created_at <= {} AND NOT ({}) "
            "ORDER BY created_at LIMIT {} FOR UPDATE SKIP LOCKED))) "
            "INSERT INTO idempotency "
            "(id, actor_kind, actor_id, field, key, arguments_digest, outcome, lease_until, created_at) "
            "VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT (actor_kind, actor_id, field, key) DO UPDATE SET "
            "id = excluded.id, arguments_digest = excluded.arguments_digest, outcome = excluded.outcome, "
            "lease_until = excluded.lease_until, created_at = excluded.created_at",
            ref.kind.value,
            ref.id,
            at - KEPT_FOR,
            attempt.whose,
            _DROPPED_AT_ONCE,
            id,
            ref.kind.value,
            ref.id,
            attempt.field,
            attempt.key,
            attempt.digest,
            outcome,
            lease_until,
            at,
        )
    )


async def _claim(attempt: Attempt, lease: timedelta) -> Claim | Kept:
    """The key for as long as the lease, by a new row or by one whose lease has ended; Kept when there is an outcome."""
    waiting = _Waiting()
    while True:
        async with tx():
            if await _locked(attempt):
                found, until = await _find(attempt), now() + lease
                if found is None:
                    claim = Claim(new_id(), until)
                    await _insert(attempt, claim.id, outcome=None, lease_until=until)
                    return claim
                if found.outcome is not None:
                    return Kept(found.outcome)
                if found.lease_until is not None and found.lease_until <= now():
                    await execute(sql("UPDATE idempotency SET lease_until = {} WHERE id = {}", until, found.id))
                    return Claim(found.id, until)
        await waiting.pause()


async def _finish(
    attempt: Attempt, claim: Claim, do: Callable[[], Awaitable[R]], keep: Keep[R], refuse: Refuse[R]
) -> R:
    """What `do` gives, once its outcome is kept. Raises InProgress when the claim is another attempt's by now."""
    with _standings_of(attempt.actor):
        async with tx():
            # The lease tells whose claim it is: whoever takes it over gives it a later one.
            held = sql("SELECT true FROM idempotency WHERE {} FOR UPDATE", _holding(claim))
            if not await fetch_value(held):
                raise InProgress("Another request with this key has taken over. Try again soon.", *PATH)
            result = await _settled(attempt.actor, do, refuse)
            await execute(
                sql("UPDATE idempotency SET outcome = {}, lease_until = NULL WHERE id = {}", keep(result), claim.id)
            )
            return result


async def _give_back(claim: Claim) -> None:
    """End the lease, so that the next attempt need not wait for it."""
    async with tx():
        await execute(sql("UPDATE idempotency SET lease_until = {} WHERE {}", now(), _holding(claim)))


def _holding(claim: Claim) -> Sql:
    return sql("id = {} AND lease_until = {}", claim.id, claim.lease_until)
