"""Whose token it is, where they stand, and what is paid for there: what every operation begins with.

All who ask within one turn of the event loop are looked up in one plain statement, which reads the session and the
memberships at the same moment. Nothing is kept from one look-up to the next, and each begins after the requests that it
answers have arrived: a session that was revoked is refused from the next operation on.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from domain.base.actor import Actor, ActorKind, ActorRef, Standing
from domain.base.batches import Batches
from domain.base.clock import now
from domain.base.database import Door, fetch, system_fetch
from domain.base.errors import NotFound
from domain.base.permissions import Role
from domain.base.sql import Row, sql
from domain.billing import limits
from domain.identity import sessions, tokens
from domain.organizations.api_keys import standing_of

_STANDINGS = {role.value: Standing.of_role(role) for role in Role}


class SignedIn(NamedTuple):
    """A session that lasts, and its person's standings. `is_due` says that its use is to be noted."""

    session_id: UUID
    user_id: UUID
    standings: dict[UUID, Standing]
    points_minute: int
    is_due: bool


async def signed_in(token: str) -> Actor | None:
    """The person whose session's token it is, or None when it is unknown or has ended.

    Each use puts the end off to 30 days from now. It is written once a minute, not at every operation.
    Raises Unavailable; Timeout.
    """
    if not token.startswith(sessions.PREFIX):
        return None
    found = await _by_digest.get(tokens.digest(token))
    if found is None:
        return None
    if found.is_due:
        await sessions.touch(found.session_id)
    return Actor.of_user(found.user_id, found.standings, found.session_id, found.points_minute)


async def _look_up(digests: Sequence[bytes]) -> dict[bytes, SignedIn]:
    at = now()
    rows = await system_fetch(
        Door.SESSION_CHECK,
        "SELECT session.token_digest, session.id, session.user_id, session.last_used_at <= $3 AS is_due, "
        "standing.org_ids, standing.roles, standing.paid FROM session CROSS JOIN LATERAL ("
        "SELECT array_agg(membership.org_id ORDER BY membership.id) AS org_ids, "
        "array_agg(membership.role::text ORDER BY membership.id) AS roles, "
        "array_agg((subscription.plan::text, subscription.status::text, subscription.grace_ends_at)) "
        "FILTER (WHERE subscription.plan <> 'FREE') AS paid "
        "FROM membership LEFT JOIN subscription ON subscription.org_id = membership.org_id "
        "WHERE membership.user_id = session.user_id AND membership.ended_at IS NULL) AS standing "
        "WHERE session.token_digest = ANY($1::bytea[]) AND session.expires_at > $2",
        digests,
        at,
        at - sessions.TOUCH_AFTER,
    )
    return {
        row["token_digest"]: SignedIn(
            row["id"],
            row["user_id"],
            {org_id: _STANDINGS[role] for org_id, role in zip(row["org_ids"] or (), row["roles"] or (), strict=True)},
            limits.points_minute(row["paid"] or (), at),
            row["is_due"],
        )
        for row in rows
    }


_by_digest = Batches(_look_up)


async def of_ref(ref: ActorRef, org_id: UUID) -> Actor:
    """The person or key as they stand in the one organization now, for what is done later in their name.

    They are not signed in: what needs a session is not theirs to do. Raises NotFound for who has left, and for a key
    that has ended.
    """
    person = sql(
        "SELECT user_id, role FROM membership WHERE org_id = {} AND user_id = {} AND ended_at IS NULL", org_id, ref.id
    )
    key = sql(
        "SELECT api_key.user_id, membership.role, api_key.permissions FROM api_key JOIN membership "
        "ON membership.org_id = api_key.org_id AND membership.user_id = api_key.user_id "
        "AND membership.ended_at IS NULL WHERE api_key.org_id = {} AND api_key.id = {} "
        "AND api_key.revoked_at IS NULL AND (api_key.expires_at IS NULL OR api_key.expires_at > {})",
        *(org_id, ref.id, now()),
    )
    if ref.kind is ActorKind.USER and ref.id is not None:
        for row in await fetch(person, Row):
            return Actor.of_user(ref.id, {org_id: _STANDINGS[row["role"]]})
        raise NotFound("member")
    if ref.kind is ActorKind.API_KEY and ref.id is not None:
        for row in await fetch(key, Row):
            standing = standing_of(Role(row["role"]), row["permissions"])
            return Actor.of_api_key(ref.id, row["user_id"], {org_id: standing})
        raise NotFound("API key")
    raise ValueError("the system needs no standing")
