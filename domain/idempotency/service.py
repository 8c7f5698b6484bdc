"""Changes that run at most once for an actor, a field and a key, and whose outcome a repeat gets again.

Attempt: who asks for what under which key. Outcome: what is kept of the answer, a user error included; what else fails
keeps nothing, because nothing has happened. An attempt is alone with its key while it holds an advisory lock, which
nobody waits for inside a transaction: who does not get it leaves, sleeps without a connection, and tries again.

`once` changes and keeps in one transaction. A crash before its commit leaves neither, after it both.

`once_outside` calls an outside service between two transactions. The first claims the key: a row without an outcome,
whose id never changes, and a lease that outlasts the call. The second changes what is ours and keeps the outcome. Who
fails or goes away between the two gives the claim back; a crash leaves it until its lease ends. The next attempt then
takes it over and calls again with the same id, by which the service knows that it is the same call.

What is kept counts for 24 hours, and what is claimed for as long as its lease, should that be longer. Of rows that do
not count any more each new one drops some, whoever's they are. A row is locked with SKIP LOCKED before it is written:
one that somebody else holds is neither taken over nor dropped, and nobody who holds anything waits for it.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, NoReturn, TypeVar
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
# How long it may take to give a claim back, for which somebody waits, or nobody any more.
GIVE_BACK_WITHIN_S = 2.0
# Where a caller is told what is wrong with a key. No argument can have this name.
PATH = ("@idempotent", "key")
# More than one, so that a backlog shrinks; few, because it is somebody else's request that does it.
_DROPPED_AT_ONCE = 10

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


@dataclass(frozen=True)
class OutsideCall(Generic[T, R]):
    """A change that an outside service has a part in.

    `call` runs outside any transaction, for at most `timeout_s`, and gets the id by which the service knows the call
    again. `finish` makes the result of what it gives, and runs in the transaction that keeps the outcome.
    """

    call: Callable[[UUID], Awaitable[T]]
    finish: Callable[[T], Awaitable[R]]
    timeout_s: float


class _Found(Row):
    id: UUID
    arguments_digest: bytes
    outcome: str | None
    lease_until: datetime | None
    counts: bool


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
                    if isinstance(found, Kept):
                        return found
                    # A claim is here from when the field still called outside: once its lease has ended it is nobody's.
                    if found is None or await _vacant(found):
                        result = await _settled(attempt.actor, do, refuse)
                        await _insert(attempt, new_id(), outcome=keep(result), lease_until=None)
                        return result
        await waiting.pause()


async def once_outside(attempt: Attempt, wanted: OutsideCall[T, R], *, keep: Keep[R], refuse: Refuse[R]) -> R | Kept:
    """What came of the call and the change behind it; Kept when that happened before.

    A user error of either is an outcome; anything else gives the claim back for the next attempt, and so does who goes
    away. Raises InProgress, also when it took so long that another attempt has taken over; Conflict when the arguments
    were others; Unavailable; Timeout.
    """
    _require_no_transaction()
    claim = await _claim(attempt, timedelta(seconds=wanted.timeout_s) + LEASE_MARGIN)
    if isinstance(claim, Kept):
        return claim
    try:
        try:
            called = await _in_time(wanted.call(claim.id), wanted.timeout_s)
        except (UserError, UserErrors) as refusal:
            return await _finish(attempt, claim, raising(refusal), keep, refuse)
        return await _finish(attempt, claim, lambda: wanted.finish(called), keep, refuse)
    except (Exception, asyncio.CancelledError):
        await _give_back(claim)
        raise


async def outside(wanted: OutsideCall[T, R]) -> R:
    """As `once_outside` for who gave no key: a new id each time, and nothing is kept. Raises Timeout."""
    _require_no_transaction()
    called = await _in_time(wanted.call(new_id()), wanted.timeout_s)
    async with tx():
        return await wanted.finish(called)


def raising(refusal: Refusal) -> Callable[[], Awaitable[NoReturn]]:
    """A change that is refused for this reason."""

    async def refused() -> NoReturn:
        raise refusal

    return refused


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


async def _find(attempt: Attempt) -> Kept | _Found | None:
    """What is kept under the key, or else the row that has its place: a claim, or one that does not count any more.

    Raises Conflict when what still counts was for other arguments.
    """
    rows = await fetch(
        sql(
            "SELECT id, arguments_digest, outcome, lease_until, {} AS counts FROM idempotency WHERE {}",
            _counts(now()),
            attempt.whose,
        ),
        _Found,
    )
    if not rows:
        return None
    (found,) = rows
    if found.counts and found.arguments_digest != attempt.digest:
        raise Conflict("This key was used with other arguments. Use a new one for a new request.", *PATH)
    return Kept(found.outcome) if found.counts and found.outcome is not None else found


def _counts(at: datetime) -> Sql:
    """The condition under which a row still counts."""
    return sql("(created_at > {} OR coalesce(lease_until > {}, false))", at - KEPT_FOR, at)


async def _vacant(found: _Found) -> bool:
    """Whether nobody is at work under the row, which then is ours to the end of the transaction. Never waits."""
    is_leased = found.lease_until is not None and found.lease_until > now()
    return not is_leased and await _held(found)


async def _held(row: _Found | Claim) -> bool:
    """Whether the row is as it was, and ours to the end of the transaction. Never waits.

    The lease tells whose a claim is: whoever takes it over gives it a later one.
    """
    held = sql(
        "SELECT true FROM idempotency WHERE id = {} AND lease_until IS NOT DISTINCT FROM {} FOR UPDATE SKIP LOCKED",
        row.id,
        row.lease_until,
    )
    return bool(await fetch_value(held))


async def _settled(actor: Actor, do: Callable[[], Awaitable[R]], refuse: Refuse[R]) -> R:
    """What `do` gives, or what a user error makes, which undoes what was changed."""
    try:
        with _standings_of(actor):
            async with savepoint():
                return await do()
    except (UserError, UserErrors) as refusal:
        return refuse(refusal)


async def _insert(attempt: Attempt, id: UUID, *, outcome: str | None, lease_until: datetime | None) -> None:
    """Write the row, in the place of one that is held, and drop some that do not count any more, whoever's they are."""
    ref, at = attempt.actor.ref, now()
    await execute(
        sql(
            # Nobody waits here: rows that others hold are left to them, and a row that is replaced is held already.
            "WITH dropped AS (DELETE FROM idempotency WHERE id = ANY(ARRAY("
            "SELECT id FROM idempotency WHERE NOT {} AND NOT ({}) "
            "ORDER BY created_at LIMIT {} FOR UPDATE SKIP LOCKED))) "
            "INSERT INTO idempotency "
            "(id, actor_kind, actor_id, field, key, arguments_digest, outcome, lease_until, created_at) "
            "VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT (actor_kind, actor_id, field, key) DO UPDATE SET "
            "id = excluded.id, arguments_digest = excluded.arguments_digest, outcome = excluded.outcome, "
            "lease_until = excluded.lease_until, created_at = excluded.created_at",
            _counts(at),
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
                if isinstance(found, Kept):
                    return found
                # Who comes late may be writing its outcome at this moment: then the row is held, and looked at again.
                if found is None or await _vacant(found):
                    if found is None or not found.counts:
                        claim = Claim(new_id(), until)
                        await _insert(attempt, claim.id, outcome=None, lease_until=until)
                        return claim
                    await execute(sql("UPDATE idempotency SET lease_until = {} WHERE id = {}", until, found.id))
                    return Claim(found.id, until)
        await waiting.pause()


async def _finish(
    attempt: Attempt, claim: Claim, do: Callable[[], Awaitable[R]], keep: Keep[R], refuse: Refuse[R]
) -> R:
    """What `do` gives, once its outcome is kept. Raises InProgress when the claim is another attempt's by now."""
    with _standings_of(attempt.actor):
        async with tx():
            if not await _held(claim):
                raise InProgress("Another request with this key has taken over. Try again soon.", *PATH)
            result = await _settled(attempt.actor, do, refuse)
            await execute(
                # An outcome counts from when it is there, however late the claim was taken over.
                sql(
                    "UPDATE idempotency SET outcome = {}, lease_until = NULL, created_at = {} WHERE id = {}",
                    keep(result),
                    now(),
                    claim.id,
                )
            )
            return result


_giving_back: set["asyncio.Task[None]"] = set()


async def _give_back(claim: Claim) -> None:
    """End the lease, so that the next attempt need not wait for it. Where that cannot be done it runs out by itself."""

    async def end_lease() -> None:
        with suppress(RequestError, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_WITHIN_S), tx():
                # This may wait, as for an end of ours that the server still rolls back, and holds nothing meanwhile.
                ended = sql(
                    "UPDATE idempotency SET lease_until = {} WHERE id = {} AND lease_until = {}",
                    now(),
                    claim.id,
                    claim.lease_until,
                )
                await execute(ended)

    # A task of its own: what was cancelled may be cancelled again wherever it waits.
    giving = asyncio.create_task(end_lease())
    _giving_back.add(giving)
    giving.add_done_callback(_giving_back.discard)
    await asyncio.shield(giving)
