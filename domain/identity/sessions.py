"""Sessions: a person's sign-ins, each known by an opaque token of which only the digest is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.batches import Batches
from domain.base.clock import new_id, now
from domain.base.database import Door, execute, fetch, system_fetch, tx
from domain.base.errors import NotFound
from domain.base.sql import Row, sql
from domain.identity import security_log, tokens
from domain.identity.models import Session
from domain.identity.security_log import Action

PREFIX = "pws_"
LIFETIME = timedelta(days=30)
# A session that is used all the time is written once in this time and not at every request.
TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Started:
    """A new session and its token, which nobody can read again."""

    user_id: UUID
    session_id: UUID
    token: str


async def start(connection: Any, user_id: UUID, *, user_agent: str | None) -> Started:
    """Begin a session on a system connection, and drop those of the person that have ended."""
    started = Started(user_id, new_id(), tokens.new(PREFIX))
    at = now()
    await connection.execute("DELETE FROM session WHERE user_id = $1 AND expires_at <= $2", user_id, at)
    await connection.execute(
        "INSERT INTO session (id, user_id, token_digest, user_agent, created_at, last_used_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $5, $6)",
        started.session_id,
        user_id,
        tokens.digest(started.token),
        security_log.shortened(user_agent),
        at,
        at + LIFETIME,
    )
    return started


async def touch(session_id: UUID) -> None:
    """Note a use that is due: the end is put off to 30 days from now. Raises Unavailable; Timeout."""
    await _touches.get(session_id)


async def _touch(session_ids: Sequence[UUID]) -> dict[UUID, None]:
    at = now()
    await system_fetch(
        Door.SESSION_USE,
        # Decided again under the lock, so that of two at once one writes. Who holds a lock is writing the same or
        # ending the session, so nobody waits for it, and two batches cannot wait for each other.
        "UPDATE session SET last_used_at = $2, expires_at = $3 FROM (SELECT id FROM session WHERE id = ANY($1::uuid[]) "
        "AND last_used_at <= $4 AND expires_at > $2 FOR NO KEY UPDATE SKIP LOCKED) AS due WHERE session.id = due.id",
        session_ids,
        at,
        at + LIFETIME,
        at - TOUCH_AFTER,
    )
    return {}


_touches = Batches(_touch)


async def revoke(actor: Actor, session_id: UUID) -> None:
    """End one of the caller's sessions, the present one too. Raises Unauthenticated; NotFound."""
    user_id = actor.require_person()
    async with tx():
        if not await Session.filter(id=session_id, user_id=user_id).delete():
            raise NotFound("session")
        await execute(security_log.entries(user_id, Action.SESSION_REVOKED, session_ids=[session_id]))


async def revoke_others(actor: Actor) -> None:
    """End all of the caller's sessions but the present one. Raises Unauthenticated."""
    user_id = actor.require_person()
    async with tx():
        others = sql(
            "DELETE FROM session WHERE user_id = {}::uuid AND id <> {}::uuid RETURNING id", user_id, actor.session_id
        )
        ended = [row["id"] for row in await fetch(others, Row)]
        await execute(security_log.entries(user_id, Action.SESSION_REVOKED, session_ids=ended))


async def sign_out(actor: Actor) -> None:
    """End the present session; nothing happens when it has ended already. Raises Unauthenticated."""
    user_id = actor.require_person()
    async with tx():
        if await Session.filter(id=actor.session_id, user_id=user_id).delete():
            await execute(security_log.entries(user_id, Action.SIGNED_OUT, session_ids=[actor.session_id]))
