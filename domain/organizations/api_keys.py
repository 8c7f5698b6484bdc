"""API keys: made by a member for one organization, never able to do more than their maker may do today."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.base.actor import Actor, Standing
from domain.base.batches import Batches
from domain.base.clock import new_id, now
from domain.base.database import Door, fetch, system_fetch, tx
from domain.base.errors import Faults
from domain.base.permissions import GRANTS, Permission, Role, in_order
from domain.base.sql import Row, Sql, sql
from domain.billing import limits
from domain.billing.plans import PLANS, Feature
from domain.events.log import emit
from domain.identity import tokens
from domain.organizations import queries
from domain.organizations.events import ApiKeyCreated, ApiKeyRevoked
from domain.organizations.models import ApiKey
from domain.organizations.queries import ApiKeyRow

# What every key carries besides what was asked for: the things that lie around any row must be nameable, because
# fields like Task.project and Project.organization are never null.
STRUCTURE = frozenset({Permission.ORG_READ, Permission.PROJECT_READ})
PREFIX = "pwk_"
# In the largest plan, so a list of them has no more.
MOST_KEYS = max(terms.limits[Feature.API_KEYS] or 0 for terms in PLANS.values())
TOUCH_AFTER = timedelta(minutes=1)
# 48 of 256 random bits: enough to tell keys apart, and the rest is still too much to guess.
_VISIBLE_LENGTH = 12


@dataclass(frozen=True)
class Made:
    """A new key and its secret, which nobody can read again."""

    key: ApiKeyRow
    secret: str


async def create(
    actor: Actor, org_id: UUID, *, name: str, permissions: Sequence[Permission], expires_at: datetime | None = None
) -> Made:
    """Make a key with some of the caller's permissions, and STRUCTURE with them.

    Raises Unauthenticated for a key; NotFound; Forbidden (API_KEYS_MANAGE); UserErrors; LimitReached (api_keys) when
    the plan has no room for another beside those that are not revoked.
    """
    user_id = actor.require_person()
    actor.require(Permission.API_KEYS_MANAGE, org_id=org_id)
    asked = frozenset(permissions)
    faults = Faults()
    faults.text(name, "name", least=1, most=100)
    if not asked:
        faults.add("Must name at least one permission.", "permissions")
    if beyond := in_order(asked - actor.permissions(org_id)):
        faults.add(f"You do not have {', '.join(beyond)} yourself.", "permissions")
    if expires_at is not None and expires_at <= now():
        faults.add("Must lie in the future.", "expires_at")
    faults.check()
    key_id, secret, granted = new_id(), tokens.new(PREFIX), in_order(asked)
    async with tx():
        # Under the lock their maker cannot be removed meanwhile.
        await queries.lock(actor, org_id, Permission.API_KEYS_MANAGE)
        await limits.require_room(org_id, Feature.API_KEYS)
        await ApiKey.create(
            id=key_id,
            org_id=org_id,
            user_id=user_id,
            name=name,
            prefix=secret[:_VISIBLE_LENGTH],
            secret_digest=tokens.digest(secret),
            permissions=[permission.value for permission in granted],
            expires_at=expires_at,
        )
        event = ApiKeyCreated(subject_id=key_id, name=name, permissions=tuple(granted), expires_at=expires_at)
        emit(actor, org_id, event)
    return Made(await queries.api_keys_by_ids.get(actor, key_id), secret)


async def revoke(actor: Actor, key_id: UUID) -> None:
    """End a key for good: one's own, or any with API_KEYS_MANAGE.

    Raises Unauthenticated for a key; NotFound, also for one that is revoked already and for another's without
    API_KEYS_MANAGE; Forbidden (API_KEYS_MANAGE) when that was lost just now.
    """
    user_id = actor.require_person()
    async with tx():
        key = await queries.api_keys_by_ids.get(actor, key_id)
        needed = Permission.ORG_READ if key.user_id == user_id else Permission.API_KEYS_MANAGE
        await queries.lock(actor, key.org_id, needed)
        await _revoke(actor, key.org_id, sql("id = {}", key.id))


async def revoke_all_of(actor: Actor, org_id: UUID, user_id: UUID) -> None:
    """End every key that the person made there: without a maker a key can do nothing, also if the person returns."""
    await _revoke(actor, org_id, sql("user_id = {}", user_id))


async def _revoke(actor: Actor, org_id: UUID, which: Sql) -> None:
    statement = sql(
        "UPDATE api_key SET revoked_at = {}, updated_at = {} WHERE org_id = {} AND revoked_at IS NULL AND {} "
        "RETURNING id, name",
        now(),
        now(),
        org_id,
        which,
    )
    for key in await fetch(statement, Row):
        emit(actor, org_id, ApiKeyRevoked(subject_id=key["id"], name=key["name"]))


@dataclass(frozen=True)
class _Found:
    """A key that holds. `is_due` says that its use is to be noted."""

    key_id: UUID
    user_id: UUID
    org_id: UUID
    standing: Standing
    points_minute: int
    is_due: bool


async def authenticate(token: str) -> Actor | None:
    """The key as a caller, or None when it is unknown, revoked or expired, or its maker is no member any more.

    Looked up together with all who ask at the same moment, and anew for each, as sessions are. Raises Unavailable;
    Timeout.
    """
    if not token.startswith(PREFIX):
        return None
    found = await _by_digest.get(tokens.digest(token))
    if found is None:
        return None
    if found.is_due:
        await _touches.get(found.key_id)
    return Actor.of_api_key(found.key_id, found.user_id, {found.org_id: found.standing}, found.points_minute)


async def _look_up(digests: Sequence[bytes]) -> dict[bytes, _Found]:
    at = now()
    rows = await system_fetch(
        Door.API_KEY_CHECK,
        "SELECT api_key.secret_digest, api_key.id, api_key.org_id, api_key.user_id, api_key.permissions, "
        "(api_key.last_used_at IS NULL OR api_key.last_used_at <= $3) AS is_due, membership.role, "
        "subscription.plan, subscription.status, subscription.grace_ends_at FROM api_key "
        "JOIN subscription ON subscription.org_id = api_key.org_id "
        "JOIN membership ON membership.org_id = api_key.org_id AND membership.user_id = api_key.user_id "
        "AND membership.ended_at IS NULL WHERE api_key.secret_digest = ANY($1::bytea[]) "
        "AND api_key.revoked_at IS NULL AND (api_key.expires_at IS NULL OR api_key.expires_at > $2)",
        digests,
        at,
        at - TOUCH_AFTER,
    )
    return {
        row["secret_digest"]: _Found(
            row["id"],
            row["user_id"],
            row["org_id"],
            standing_of(Role(row["role"]), row["permissions"]),
            limits.points_minute([(row["plan"], row["status"], row["grace_ends_at"])], at),
            row["is_due"],
        )
        for row in rows
    }


async def _touch(key_ids: Sequence[UUID]) -> dict[UUID, None]:
    at = now()
    await system_fetch(
        Door.API_KEY_USE,
        # Nobody waits for a lock here, as with sessions.
        "UPDATE api_key SET last_used_at = $2 FROM (SELECT id FROM api_key WHERE id = ANY($1::uuid[]) "
        "AND (last_used_at IS NULL OR last_used_at <= $3) FOR NO KEY UPDATE SKIP LOCKED) AS due "
        "WHERE api_key.id = due.id",
        key_ids,
        at,
        at - TOUCH_AFTER,
    )
    return {}


_by_digest = Batches(_look_up)
_touches = Batches(_touch)


def standing_of(role: Role, permissions: Sequence[str]) -> Standing:
    """What a key with these permissions may do while its maker has the role."""
    return Standing(role, GRANTS[role] & (STRUCTURE | frozenset(Permission(each) for each in permissions)))
