"""One attempt at a delivery: taken, kept, and ended in one of five ways.

A claim is a row whose `claim` names the attempt and whose `available_at` lies ahead: the lease. Attempts are counted
when they begin, so one that takes its process with it counts as well. Whoever ends a claim names it; a claim that was
taken over meanwhile is nobody's, and ending it changes nothing.

Everything is done as the organization that the delivery belongs to, under its row-level security. Deliveries of
accounts and of nobody go through doors.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from domain.base.clock import new_id
from domain.base.database import Door, acting_for, fetch, system_fetch
from domain.base.sql import Row, Sql, sql
from domain.base.telemetry import PRIVATE_TEXT, REDACTED
from domain.deliveries.models import Kind
from domain.events import queries as events
from domain.events.queries import EventRow
from domain.identity.security_log import SecurityEntryRow

# Longer than a process is ever busy with itself alone; short, because it is how long a dead worker's jobs wait.
LEASE = timedelta(seconds=3.5)
TRIES = 8
ERROR_LENGTH = 300


@dataclass(frozen=True)
class Claim:
    """A delivery that is ours until somebody finds its lease ended. `attempt` counts from 1."""

    id: UUID
    token: UUID
    attempt: int
    kind: Kind
    handler: str
    source_id: UUID
    org_id: UUID | None
    user_id: UUID | None
    seq: int | None
    tick_at: datetime | None


class Gone(Exception):
    """The claim is somebody else's by now, or the delivery has ended."""


async def claim(delivery_id: UUID, org_id: UUID | None) -> Claim | None:
    """Take the delivery for LEASE; None when it has ended, is not due, or somebody is at it.

    Raises Unavailable; Timeout.
    """
    rows = await _run(
        org_id,
        sql(
            "UPDATE delivery SET attempts = attempts + 1, claim = {}::uuid, available_at = now() + {}, "
            "queue_at = now() + {} WHERE id = (SELECT id FROM delivery WHERE id = {} AND state = 'PENDING' "
            "AND available_at <= now() FOR UPDATE SKIP LOCKED) "
            "RETURNING id, claim, attempts, kind, handler, source_id, org_id, user_id, seq, tick_at",
            new_id(),
            LEASE,
            LEASE,
            delivery_id,
        ),
    )
    if not rows:
        return None
    ((id, token, attempt, kind, *rest),) = rows
    return Claim(id, token, attempt, Kind(kind), *rest)


async def keep(claims: Collection[Claim]) -> set[UUID]:
    """Put off the end of the leases; the tokens of the claims that are still ours. Raises Unavailable; Timeout.

    A row that is locked is left as it is: it is held, or being ended, by its own attempt.
    """
    rows = await system_fetch(
        Door.LEASES,
        "WITH kept AS (UPDATE delivery SET available_at = now() + $2, queue_at = now() + $2 WHERE id = ANY(ARRAY("
        "SELECT id FROM delivery WHERE id = ANY($3) AND claim = ANY($1) FOR NO KEY UPDATE SKIP LOCKED))) "
        "SELECT claim FROM delivery WHERE id = ANY($3) AND claim = ANY($1)",
        [claim.token for claim in claims],
        LEASE,
        [claim.id for claim in claims],
    )
    return {row["claim"] for row in rows}


async def hold(claim: Claim) -> None:
    """Lock the delivery to the end of the open transaction: a lease cannot end meanwhile. Raises Gone; Timeout."""
    # Whoever has it locked now is putting off the end of this lease, which is short, or has taken it over.
    held = sql(
        "SELECT true FROM delivery WHERE id = {} AND claim = {} AND state = 'PENDING' FOR NO KEY UPDATE",
        claim.id,
        claim.token,
    )
    if not await fetch(held, Row):
        raise Gone


async def done(claim: Claim) -> None:
    """Note that it is done; inside a transaction, together with what was done. Raises Gone; Unavailable; Timeout."""
    ended = "state = 'DONE', claim = NULL, last_error = NULL, ended_at = clock_timestamp()"
    if not await _end(claim, sql(ended)):
        raise Gone


async def put_off(claim: Claim, pause: timedelta, error: BaseException) -> None:
    """Try it again after the pause. Raises Unavailable; Timeout."""
    await _end(
        claim,
        sql(
            "claim = NULL, available_at = now() + {}, queue_at = now() + {}, last_error = {}::text",
            pause,
            pause,
            _told(error),
        ),
    )


async def bury(claim: Claim, error: BaseException) -> None:
    """Try it no more until somebody wants it. Raises Unavailable; Timeout."""
    await _end(
        claim,
        sql("state = 'DEAD', claim = NULL, ended_at = clock_timestamp(), last_error = {}::text", _told(error)),
    )


async def release(claim: Claim, pause: timedelta = timedelta()) -> None:
    """Give it back as if it had not been taken, for whoever takes it after the pause. Raises Unavailable; Timeout."""
    given = "claim = NULL, attempts = attempts - 1, available_at = now() + {}, queue_at = now() + {}"
    await _end(claim, sql(given, pause, pause))


async def event_of(claim: Claim) -> EventRow | None:
    """The event that the delivery is of. Raises Unavailable; Timeout."""
    if claim.org_id is None or claim.seq is None:
        raise ValueError("this is no event's")
    found = await events.beyond({claim.org_id: claim.seq - 1}, 1)
    return found[0] if found and found[0].id == claim.source_id else None


async def entry_of(claim: Claim) -> SecurityEntryRow | None:
    """The entry that the delivery is of; None when it is gone with its account. Raises Unavailable; Timeout."""
    found = await system_fetch(
        Door.ACCOUNT_ENTRY,
        "SELECT id, user_id, at, action, session_id, detail FROM security_entry WHERE id = $1",
        claim.source_id,
    )
    return cast(SecurityEntryRow, found[0]) if found else None


async def _end(claim: Claim, changes: Sql) -> bool:
    """Whether the claim was still ours."""
    statement = sql("UPDATE delivery SET {} WHERE id = {} AND claim = {} RETURNING id", changes, claim.id, claim.token)
    return bool(await _run(claim.org_id, statement))


async def _run(org_id: UUID | None, statement: Sql) -> list[Row]:
    if org_id is None:
        text, values = statement.render()
        return await system_fetch(Door.JOBS_OF_NO_ORGANIZATION, text, *values)
    with acting_for([org_id]):
        return await fetch(statement, Row)


def _told(error: BaseException) -> str:
    """The kind of error and its first line, without what is private: vendors quote values behind it."""
    first, *_ = [*str(error).splitlines(), ""]
    return PRIVATE_TEXT.sub(REDACTED, f"{type(error).__name__}: {first}".rstrip(": "))[:ERROR_LENGTH]
