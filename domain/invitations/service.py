"""Invitations: made and taken back by who manages them, answered by who holds the link.

Every change but an expiry locks the organization's row first: whoever answers shares that lock, so that answers of many
wait for their own invitation alone, and whoever invites has it alone, so that nobody becomes a member beside them.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.adapters.throttle import Limit, Throttle
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.crypto import mailed_token
from domain.base.database import acting_for, fetch, fetch_value, tx
from domain.base.database_faults import unique
from domain.base.errors import Conflict, Invalid, Taken
from domain.base.models import save
from domain.base.permissions import GRANTS, Permission, Role, in_order
from domain.base.settings import Settings
from domain.base.sql import Row, Sql, sql
from domain.billing import limits
from domain.billing.plans import Feature
from domain.events.log import Change, emit
from domain.identity import account_tokens, addresses, tokens
from domain.invitations import links, queries
from domain.invitations.events import (
    InvitationAccepted,
    InvitationCreated,
    InvitationDeclined,
    InvitationExpired,
    InvitationResent,
    InvitationRevoked,
)
from domain.invitations.links import Link
from domain.invitations.models import Invitation
from domain.invitations.queries import InvitationRow
from domain.invitations.states import Status, check_move, check_pending, standing
from domain.organizations import memberships
from domain.organizations import queries as organizations
from domain.organizations.queries import MembershipRow

LIFETIME = timedelta(days=7)
# Mail to people who have not asked for any, so nobody sends it without end.
MAILS = Limit(tries=100, window_s=3600)
PURPOSE = "INVITATION"
OVERDUE = "SELECT DISTINCT org_id AS id FROM invitation WHERE status = 'PENDING' AND expires_at <= $1::timestamptz"
"""The organizations in which invitations have expired that are still written down as pending, at $1."""
# Of one organization in one transaction, so that no other change of it waits for long. The next tick does more.
EXPIRED_AT_ONCE = 500


async def create(
    actor: Actor, org_id: UUID, *, email: str, role: Role, settings: Settings, throttle: Throttle
) -> InvitationRow:
    """Invite an address; the row, good for seven days.

    Raises NotFound; Forbidden (INVITATIONS_MANAGE); Invalid (email, role); Taken (email) for a member and for who is
    invited already; LimitReached (members) when the plan has no seat left: an open invitation reserves one; RateLimited
    after 100 mails an hour; Unavailable.
    """
    actor.require(Permission.INVITATIONS_MANAGE, org_id=org_id)
    address = addresses.normalized(email)
    if address is None:
        raise Invalid("Must be an e-mail address.", "email")
    _check_giving(actor, org_id, role, "role")
    await throttle.hit(f"invitations:{org_id}", MAILS)
    invitation_id, at = new_id(), now()
    expires_at, generation = at + LIFETIME, 1
    async with tx():
        await organizations.lock(actor, org_id, Permission.INVITATIONS_MANAGE)
        if await fetch_value(_membership_of(org_id, address)):
            raise Taken("Whoever has this address is a member already.", "email")
        await limits.require_room(org_id, Feature.MEMBERS)
        # One that nobody has written down as expired yet is not in the way.
        await _expire(actor, org_id, at, sql("email = {}", address))
        with unique("invitation_pending", Taken("This address is invited already.", "email")):
            await Invitation.create(
                id=invitation_id,
                org_id=org_id,
                email=address,
                role=role,
                status=Status.PENDING,
                invited_by_id=actor.user_id,
                generation=generation,
                token_digest=_digest(settings, invitation_id, generation),
                expires_at=expires_at,
            )
        event = InvitationCreated(
            subject_id=invitation_id, email=address, role=role, expires_at=expires_at, generation=generation
        )
        emit(actor, org_id, event)
        return await queries.by_ids.get(actor, invitation_id)


async def resend(actor: Actor, invitation_id: UUID, *, settings: Settings, throttle: Throttle) -> InvitationRow:
    """Have it mailed again with a new link and seven days more; the link before holds no more. The row.

    Raises NotFound; Forbidden (INVITATIONS_MANAGE); Invalid (id) for a role that the caller cannot give;
    TransitionNotAllowed unless it is pending; RateLimited; Unavailable.
    """
    org_id = (await queries.by_ids.get(actor, invitation_id)).org_id
    await throttle.hit(f"invitations:{org_id}", MAILS)
    async with tx():
        invitation = await _locked(actor, invitation_id)
        _check_giving(actor, org_id, Role(invitation.role), "id")
        check_pending(Status(invitation.status), "id")
        generation, expires_at = invitation.generation + 1, now() + LIFETIME
        digest = _digest(settings, invitation.id, generation)
        await save(Invitation, invitation, generation=generation, token_digest=digest, expires_at=expires_at)
        event = InvitationResent(
            subject_id=invitation.id, email=invitation.email, expires_at=expires_at, generation=generation
        )
        emit(actor, org_id, event)
        return await queries.by_ids.get(actor, invitation.id)


async def revoke(actor: Actor, invitation_id: UUID) -> InvitationRow:
    """Take it back; the row. Raises NotFound; Forbidden (INVITATIONS_MANAGE); TransitionNotAllowed unless pending."""
    async with tx():
        invitation = await _locked(actor, invitation_id)
        check_move(Status(invitation.status), Status.REVOKED, "id")
        await save(Invitation, invitation, status=Status.REVOKED)
        event = InvitationRevoked(
            subject_id=invitation.id, email=invitation.email, status=Change(Status.PENDING, Status.REVOKED)
        )
        emit(actor, invitation.org_id, event)
        return await queries.by_ids.get(actor, invitation.id)


async def accept(actor: Actor, token: str, *, client_address: str, throttle: Throttle) -> MembershipRow:
    """Become a member by a link; the membership. The caller stands in the organization for the rest of the operation.

    It takes the seat that the invitation reserved, and so needs none, whatever the plan has become since.
    Raises Unauthenticated; Invalid (token) for an unknown link and for who does not have the invited address;
    TransitionNotAllowed unless it is pending; Conflict for a member; RateLimited; Unavailable.
    """
    actor.require_person()
    link = await links.get(token, "token", client_address=client_address, throttle=throttle)
    return await take_up(actor, link, "token")


async def take_up(actor: Actor, link: Link, path: str) -> MembershipRow:
    """As `accept`, for a link that is known already; what is wrong with it is told at `path`."""
    user_id = actor.require_person()
    async with memberships.entering(actor, link.org_id, link.offered):
        await organizations.by_ids.get_for_update(actor, link.org_id, Permission.ORG_READ, shared=True)
        invitation = await _answered(link, Status.ACCEPTED, path)
        account = await account_tokens.lock_account(user_id)
        if account is None or account.email != invitation.email:
            raise Invalid("This invitation is for another address. Sign in with the account that has it.", path)
        if account.email_verified_at is None:
            raise Invalid("Verify the account's address first.", path)
        if await memberships.hold(link.org_id, user_id):
            raise Conflict("You are a member already.", path)
        membership = await memberships.join(actor, link.org_id, user_id, role=link.offered)
        await save(Invitation, invitation, status=Status.ACCEPTED, responded_at=now())
        event = InvitationAccepted(
            subject_id=invitation.id,
            email=invitation.email,
            role=link.offered,
            status=Change(Status.PENDING, Status.ACCEPTED),
            user_id=user_id,
            membership_id=membership.id,
            invited_by_id=invitation.invited_by_id,
        )
        emit(actor, link.org_id, event)
    return membership


async def decline(caller: Actor | None, token: str, *, client_address: str, throttle: Throttle) -> Link:
    """Answer a link with no, signed in or not; what the link shows then. Not inside another transaction.

    Raises Invalid (token); TransitionNotAllowed unless it is pending; RateLimited; Unavailable.
    """
    link = await links.get(token, "token", client_address=client_address, throttle=throttle)
    system = Actor.system(link.org_id)
    # Whoever declines need not be in the organization, nor signed in: the transaction is the organization's own.
    with acting_for(system.standings):
        async with tx():
            await organizations.by_ids.get_for_update(system, link.org_id, Permission.ORG_READ, shared=True)
            invitation = await _answered(link, Status.DECLINED, "token")
            await save(Invitation, invitation, status=Status.DECLINED, responded_at=now())
            event = InvitationDeclined(
                subject_id=invitation.id, email=invitation.email, status=Change(Status.PENDING, Status.DECLINED)
            )
            emit(caller or system, link.org_id, event)
    return replace(link, status=Status.DECLINED)


async def expire(actor: Actor, at: datetime) -> int:
    """Write down what has expired in the actor's organizations, at most 500 in each; how many.

    One that is being answered is left alone. Safe to repeat, and for several at once.
    """
    total = 0
    for org_id in sorted(actor.standings):
        # An array is chosen once; what stands in IN may be chosen anew for each row, and the limit with it.
        due = sql(
            "id = ANY(ARRAY(SELECT id FROM invitation WHERE org_id = {}::uuid AND status = 'PENDING' "
            "AND expires_at <= {}::timestamptz ORDER BY expires_at LIMIT {} FOR NO KEY UPDATE SKIP LOCKED))",
            *(org_id, at, EXPIRED_AT_ONCE),
        )
        async with tx():
            total += await _expire(actor, org_id, at, due)
    return total


async def _expire(actor: Actor, org_id: UUID, at: datetime, which: Sql) -> int:
    """Write down, in the open transaction, that the overdue ones among them have expired; how many."""
    statement = sql(
        "UPDATE invitation SET status = 'EXPIRED', updated_at = {} WHERE org_id = {} AND status = 'PENDING' "
        "AND expires_at <= {} AND {} RETURNING id, email",
        *(now(), org_id, at, which),
    )
    expired = await fetch(statement, Row)
    for row in expired:
        change = Change(Status.PENDING, Status.EXPIRED)
        emit(actor, org_id, InvitationExpired(subject_id=row["id"], email=row["email"], status=change))
    return len(expired)


async def _locked(actor: Actor, invitation_id: UUID) -> InvitationRow:
    """The invitation as it stands once its organization is locked."""
    org_id = (await queries.by_ids.get(actor, invitation_id)).org_id
    await organizations.lock(actor, org_id, Permission.INVITATIONS_MANAGE)
    return await queries.by_ids.get_for_update(actor, invitation_id, Permission.INVITATIONS_MANAGE)


async def _answered(link: Link, answer: Status, path: str) -> Any:
    """The link's invitation, locked and found to be waiting for this answer. Whoever answers need not manage any."""
    rows = await fetch(
        sql(
            "SELECT id, email, status, expires_at, invited_by_id FROM invitation WHERE id = {} AND generation = {} "
            "FOR NO KEY UPDATE",
            link.id,
            link.generation,
        ),
        Row,
    )
    if not rows:
        # It was sent again just now.
        raise links.unknown(path)
    (invitation,) = rows
    check_move(standing(Status(invitation.status), invitation.expires_at, now()), answer, path)
    return invitation


def _check_giving(actor: Actor, org_id: UUID, role: Role, path: str) -> None:
    """Nobody makes somebody else more than they are: a key cannot invite an admin to do what it may not do itself."""
    if beyond := in_order(GRANTS[role] - actor.permissions(org_id)):
        raise Invalid(f"The role has {', '.join(beyond)}, which you do not have yourself.", path)


def _membership_of(org_id: UUID, address: str) -> Sql:
    return sql(
        "SELECT true FROM membership JOIN users ON users.id = membership.user_id "
        "WHERE membership.org_id = {} AND membership.ended_at IS NULL AND users.email = {}",
        org_id,
        address,
    )


def _digest(settings: Settings, invitation_id: UUID, generation: int) -> bytes:
    return tokens.digest(mailed_token(settings, PURPOSE, invitation_id, generation))
