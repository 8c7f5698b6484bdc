"""Memberships: who belongs to an organization, as what.

Every change locks the organization's row first, so that two at once cannot take away its last admins.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from domain.base.actor import Actor, Standing
from domain.base.clock import new_id, now
from domain.base.database import Door, fetch, fetch_value, require_transaction, system_fetch, tenant_changed, tx
from domain.base.database_faults import unique
from domain.base.errors import Conflict, Invalid
from domain.base.models import save
from domain.base.permissions import Permission, Role
from domain.base.sql import Row, sql
from domain.events.log import Change, emit
from domain.organizations import api_keys, queries
from domain.organizations.events import MembershipCreated, MembershipDeleted, MembershipUpdated
from domain.organizations.models import Membership
from domain.organizations.queries import MembershipRow


async def standings_of(user_id: UUID) -> dict[UUID, Standing]:
    """Organization -> the person's standing there today."""
    rows = await system_fetch(
        Door.MEMBERSHIPS_OF_A_USER,
        "SELECT org_id, role FROM membership WHERE user_id = $1 AND ended_at IS NULL ORDER BY id",
        user_id,
    )
    return {row["org_id"]: Standing.of_role(Role(row["role"])) for row in rows}


async def hold(org_id: UUID, user_id: UUID) -> bool:
    """Whether the person is a member today; if so, the membership cannot end before the open transaction does.

    Raises RuntimeError outside a transaction.
    """
    return bool(await hold_all([(org_id, user_id)]))


async def hold_all(people: Collection[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of the people, each an organization and a user, who are members today. Held as `hold` does it.

    Raises RuntimeError outside a transaction.
    """
    require_transaction()
    if not people:
        return set()
    held = sql(
        "SELECT org_id, user_id FROM membership "
        "WHERE (org_id, user_id) IN (SELECT * FROM unnest({}::uuid[], {}::uuid[])) AND ended_at IS NULL "
        "ORDER BY id FOR SHARE OF membership",
        *map(list, zip(*people, strict=True)),
    )
    return {(row["org_id"], row["user_id"]) for row in await fetch(held, Row)}


async def require_member(org_id: UUID, user_id: UUID | None, path: str) -> None:
    """Raises Invalid (`path`) unless it is nobody or a present member, whom the transaction then keeps from leaving."""
    if user_id is not None:
        check_member(await hold_all([(org_id, user_id)]), org_id, user_id, path)


def check_member(held: Collection[tuple[UUID, UUID]], org_id: UUID, user_id: UUID, path: str) -> None:
    """Raises Invalid (`path`) unless `hold_all` gave the person."""
    if (org_id, user_id) not in held:
        raise Invalid("Must be a member of the organization.", path)


@asynccontextmanager
async def entering(actor: Actor, org_id: UUID, role: Role) -> AsyncIterator[None]:
    """A transaction in which the caller has the role already, as row-level security asks; failing takes it back."""
    before = actor.standings.get(org_id)
    actor.join(org_id, Standing.of_role(role))
    try:
        async with tx():
            await tenant_changed()
            yield
    except BaseException:
        if before is None:
            actor.leave(org_id)
        else:
            actor.join(org_id, before)
        raise


async def join(actor: Actor, org_id: UUID, user_id: UUID, *, role: Role) -> MembershipRow:
    """Make a person a member; the row. Whether that may be is the caller's to know: nothing is required here.

    The person may be the actor, who then stands in the organization for the rest of the operation.
    Raises Conflict when the person is a member already.
    """
    if user_id == actor.user_id:
        async with entering(actor, org_id, role):
            return await _add(actor, org_id, user_id, role)
    async with tx():
        return await _add(actor, org_id, user_id, role)


async def _add(actor: Actor, org_id: UUID, user_id: UUID, role: Role) -> MembershipRow:
    membership_id = new_id()
    with unique("membership_active", Conflict("This person is a member already.", "user_id")):
        await Membership.create(id=membership_id, org_id=org_id, user_id=user_id, role=role)
    emit(actor, org_id, MembershipCreated(subject_id=membership_id, user_id=user_id, role=role))
    return await queries.memberships_by_ids.get(actor, membership_id)


async def update(actor: Actor, membership_id: UUID, *, role: Role) -> MembershipRow:
    """Give a member another role; the row.

    Raises NotFound; Forbidden (MEMBERS_MANAGE); Conflict when the organization would be left without an admin.
    """
    async with tx():
        membership = await _locked(actor, membership_id, Permission.MEMBERS_MANAGE)
        was = Role(membership.role)
        if was is not role:
            await _require_other_admin(membership)
            await save(Membership, membership, role=role)
            event = MembershipUpdated(subject_id=membership.id, user_id=membership.user_id, role=Change(was, role))
            emit(actor, membership.org_id, event)
        after = await queries.memberships_by_ids.get(actor, membership_id)
    if membership.user_id == actor.user_id:
        _narrow(actor, membership.org_id, role)
    return after


async def delete(actor: Actor, membership_id: UUID) -> None:
    """End a membership; the keys that the member made end with it.

    Raises NotFound; Forbidden (MEMBERS_MANAGE); Conflict when it is the last admin's.
    """
    async with tx():
        membership = await _locked(actor, membership_id, Permission.MEMBERS_MANAGE)
        await _end(actor, membership)
    _forget(actor, membership)


async def leave(actor: Actor, org_id: UUID) -> None:
    """End the caller's own membership, as `delete` does. Raises Unauthenticated; NotFound; Conflict."""
    user_id = actor.require_person()
    async with tx():
        await queries.lock(actor, org_id, Permission.ORG_READ)
        membership_id = await fetch_value(
            sql("SELECT id FROM membership WHERE org_id = {} AND user_id = {} AND ended_at IS NULL", org_id, user_id)
        )
        membership = await queries.memberships_by_ids.get(actor, membership_id)
        await _end(actor, membership)
    _forget(actor, membership)


async def _locked(actor: Actor, membership_id: UUID, permission: Permission) -> MembershipRow:
    """The membership as it stands once its organization is locked."""
    org_id = (await queries.memberships_by_ids.get(actor, membership_id)).org_id
    await queries.lock(actor, org_id, permission)
    return await queries.memberships_by_ids.get(actor, membership_id)


async def _require_other_admin(membership: MembershipRow) -> None:
    if membership.role != Role.ADMIN:
        return
    others = sql(
        "SELECT count(*) FROM membership WHERE org_id = {} AND role = {} AND ended_at IS NULL AND id <> {}",
        membership.org_id,
        Role.ADMIN.value,
        membership.id,
    )
    if await fetch_value(others) == 0:
        raise Conflict("This is the last admin of the organization. Make somebody else an admin first.", "id")


async def _end(actor: Actor, membership: MembershipRow) -> None:
    await _require_other_admin(membership)
    await api_keys.revoke_all_of(actor, membership.org_id, membership.user_id)
    await save(Membership, membership, ended_at=now())
    event = MembershipDeleted(subject_id=membership.id, user_id=membership.user_id, role=Role(membership.role))
    emit(actor, membership.org_id, event)


def _narrow(actor: Actor, org_id: UUID, role: Role) -> None:
    """Bring the caller's own standing up to its new role; a key never gains by it."""
    standing = Standing.of_role(role)
    if actor.api_key_id is not None:
        standing = Standing(role, standing.permissions & actor.permissions(org_id))
    actor.join(org_id, standing)


def _forget(actor: Actor, membership: MembershipRow) -> None:
    """Take the standing of a caller whose own membership, or whose maker's, has ended."""
    if membership.user_id == actor.user_id:
        actor.leave(membership.org_id)
