"""Invitations: for who manages them, and for who holds the link of one."""

from datetime import datetime
from typing import Any, ClassVar

import strawberry

from domain.base.permissions import Role
from domain.identity import queries as identity
from domain.invitations import links, queries
from domain.invitations import service as invitations
from domain.invitations.links import Link
from domain.invitations.queries import InvitationRow
from domain.invitations.states import Status
from domain.organizations import queries as organizations
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, query, required, to_one
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.identity import MailedToken, User, counted
from graph.organizations import Membership, Organization


@strawberry.type
class Invitation(Node):
    """An address that was asked to join an organization, and what became of it. Needs INVITATIONS_MANAGE."""

    row: ClassVar[type[Any]] = InvitationRow
    read: ClassVar = queries.by_ids

    organization: Organization = to_one(organizations.by_ids, key="org_id", description="Where.")
    email: str = column("Whom: only an account with this verified address can accept.")
    role: Role = column("As what.")
    status: Status = column("Where it stands.")
    invited_by: User | None = to_one(
        identity.by_ids, key="invited_by_id", description="Who invited; null when the viewer may not see them."
    )
    expires_at: datetime = column("Until when it can be answered.")
    responded_at: datetime | None = column("When it was accepted or declined.")
    created_at: datetime = column("When it was made.")


@strawberry.type
class InvitationPreview:
    """What the holder of an invitation link may see before signing in."""

    organization_name: str = strawberry.field(description="Where.")
    inviter_name: str | None = strawberry.field(description="Who invited.")
    email: str = strawberry.field(description="Whom: only an account with this verified address can accept.")
    role: Role = strawberry.field(description="As what.")
    status: Status = strawberry.field(description="Where it stands.")
    expires_at: datetime = strawberry.field(description="Until when it can be answered.")


@strawberry.input
class InvitationCreateInput:
    """A new invitation."""

    organization_id: strawberry.ID = required("Where.")
    email: str = required("Whom. Compared trimmed and lower-cased; nobody who is a member or invited already.")
    role: Role = required("As what. It cannot have a permission that the viewer does not have.")


@strawberry.type
class InvitationPayload:
    """An invitation after the change."""

    invitation: Invitation | None = strawberry.field(
        default=None, description="The invitation; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class InvitationDeclinePayload:
    """An invitation that its holder has declined."""

    invitation: InvitationPreview | None = strawberry.field(
        default=None, description="The invitation; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class InvitationAcceptPayload:
    """What the viewer has joined."""

    membership: Membership | None = strawberry.field(
        default=None, description="The viewer's membership; null when it was refused."
    )
    organization: Organization | None = strawberry.field(
        default=None, description="The organization; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class InvitationQueries:
    """Reads of invitations by their links."""

    @query
    async def invitation_preview(self, info: Info, token: MailedToken) -> InvitationPreview | None:
        """What a link is about. Null for an unknown token. Needs no sign-in; 20 unknown ones in 15 minutes."""
        link = await links.find(token, **counted(info))
        return None if link is None else _preview(link)


@strawberry.type
class InvitationMutations:
    """Changes of invitations."""

    @mutation
    async def invitation_create(self, info: Info, input: InvitationCreateInput) -> InvitationPayload | None:
        """Invite an address by mail, for 7 days. Needs INVITATIONS_MANAGE; 100 mails an hour."""
        org_id = parse_id(input.organization_id, "organization", "input", "organizationId")
        values = changes(input, "organization_id")
        invitation = await invitations.create(info.context.actor, org_id, **values, **_mailed(info))
        return InvitationPayload(invitation=Invitation.of(invitation))

    @mutation
    async def invitation_resend(self, info: Info, id: strawberry.ID) -> InvitationPayload | None:
        """Mail it again with a new link, for 7 days more; the old link stops working. Needs INVITATIONS_MANAGE."""
        invitation = await invitations.resend(info.context.actor, parse_id(id, "invitation"), **_mailed(info))
        return InvitationPayload(invitation=Invitation.of(invitation))

    @mutation
    async def invitation_revoke(self, info: Info, id: strawberry.ID) -> InvitationPayload | None:
        """Take a pending invitation back. Needs INVITATIONS_MANAGE."""
        invitation = await invitations.revoke(info.context.actor, parse_id(id, "invitation"))
        return InvitationPayload(invitation=Invitation.of(invitation))

    @mutation
    async def invitation_accept(self, info: Info, token: MailedToken) -> InvitationAcceptPayload | None:
        """Join the organization. The signed-in user's verified address must be the invited one. Not with an API key."""
        actor = info.context.actor
        membership = await invitations.accept(actor, token, **counted(info))
        organization = await organizations.by_ids.get(actor, membership.org_id)
        return InvitationAcceptPayload(membership=Membership.of(membership), organization=Organization.of(organization))

    @mutation(credential=True)
    async def invitation_decline(self, info: Info, token: MailedToken) -> InvitationDeclinePayload | None:
        """Decline an invitation. Whoever holds its link can, signed in or not."""
        link = await invitations.decline(info.context.operation.caller, token, **counted(info))
        return InvitationDeclinePayload(invitation=_preview(link))


def _preview(link: Link) -> InvitationPreview:
    return InvitationPreview(
        organization_name=link.organization_name,
        inviter_name=link.inviter_name,
        email=link.email,
        role=link.offered,
        status=link.standing,
        expires_at=link.expires_at,
    )


def _mailed(info: Info) -> dict[str, Any]:
    """What makes a link, and what counts the mails."""
    return {"settings": info.context.settings, "throttle": info.context.adapters.throttle}
