"""Organizations and who belongs to them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import strawberry

from domain.base.errors import BadInput
from domain.base.paging import PageRequest
from domain.base.permissions import Permission, Role
from domain.events import cursors
from domain.identity import queries as identity
from domain.invitations import queries as invitation_queries
from domain.invitations.states import Status
from domain.labels import queries as labels
from domain.organizations import memberships, queries
from domain.organizations import service as organizations
from domain.organizations.api_keys import MOST_KEYS
from domain.organizations.queries import MembershipRow, OrganizationRow
from domain.projects import queries as projects
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import (
    changes,
    column,
    computed,
    optional,
    pages,
    query,
    required,
    to_many,
    to_one,
    viewer_permissions,
)
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload
from graph.base.scalars import BigInt
from graph.base.selection import columns
from graph.billing import BillingSubscription, Entitlement, entitlements_of, storage_used_of, subscription_of
from graph.identity import User
from graph.labels import Label, label_page
from graph.projects import Project, project_page

if TYPE_CHECKING:
    from graph.api_keys import ApiKey
    from graph.invitations import Invitation

strawberry.enum(Status, name="InvitationStatus", description="Where an invitation stands.")


def _viewer_role(root: Any, info: Info) -> Role:
    return info.context.actor.standings[root.id].role


def _event_cursor(root: Any, info: Info) -> str:
    return cursors.write(info.context.settings, root.id, info.context.operation.log_heads.get(root.id, 0))


def member_page(
    first: int | None = 20,
    after: str | None = None,
    query: Annotated[
        str | None, strawberry.argument(description="The start of any word of name or address, whatever its case.")
    ] = None,
    roles: Annotated[list[Role] | None, strawberry.argument(description="Only members with one of these.")] = None,
) -> PageRequest:
    """Members A to Z."""
    return queries.members_asked(first=first, after=after, query=query, roles=roles)


def invitation_page(
    first: int | None = 20,
    after: str | None = None,
    status: Annotated[Status | None, strawberry.argument(description="Only those that stand there.")] = None,
) -> PageRequest:
    """Invitations, the newest first."""
    return invitation_queries.asked(first=first, after=after, status=status)


@strawberry.type
class Organization(Node):
    """A tenant: whoever is no member of it cannot tell that it is there."""

    row: ClassVar[type[Any]] = OrganizationRow
    read: ClassVar = queries.by_ids

    name: str = column("1 to 100 characters.")
    slug: str = column("Its unique name in addresses.")
    version: int = column("Goes up by one with every change.")
    created_at: datetime = column("When it was founded.")
    updated_at: datetime = column("The last change.")
    viewer_role: Role = computed(_viewer_role, needs=("id",), description="With an API key: its maker's.")
    viewer_permissions: list[Permission] = viewer_permissions(key="id")
    members: Connection[Annotated["Membership", strawberry.lazy("graph.organizations")]] = pages(
        queries.members_of_organizations,
        arguments=member_page,
        description="A to Z. `query` matches the start of any word of name or address; it serves mention pickers too.",
    )
    projects: Connection[Project] = pages(
        projects.of_organizations, arguments=project_page, description="A to Z, or as asked.", cached_s=300
    )
    labels: Connection[Label] = pages(labels.of_organizations, arguments=label_page, description="A to Z.")
    api_keys: list[Annotated["ApiKey", strawberry.lazy("graph.api_keys")]] | None = to_many(
        queries.api_keys_of_organizations,
        permission=Permission.API_KEYS_MANAGE,
        org="id",
        length=MOST_KEYS,
        description="Those that are not revoked, A to Z, at most 100. Needs API_KEYS_MANAGE.",
    )
    invitations: Connection[Annotated["Invitation", strawberry.lazy("graph.invitations")]] | None = pages(
        invitation_queries.of_organizations,
        arguments=invitation_page,
        permission=Permission.INVITATIONS_MANAGE,
        org="id",
        description="The newest first. Needs INVITATIONS_MANAGE.",
    )
    subscription: BillingSubscription | None = computed(
        subscription_of, needs=("id",), description="What is paid for. Needs BILLING_READ."
    )
    entitlements: list[Entitlement] | None = computed(
        entitlements_of, needs=("id",), description="What the organization may use, and how much of it is used."
    )
    storage_used_bytes: BigInt = computed(
        storage_used_of,
        needs=("id",),
        description="What its attachments take of the plan's storage, those included whose upload is not finished.",
    )
    event_cursor: str = computed(
        _event_cursor,
        needs=("id",),
        description="Position in the log, read before every other field of the operation: all that the rest of the "
        "answer shows is at least this new, so a client that reads a snapshot and then follows the log after it misses "
        "nothing.",
    )


@strawberry.type
class Membership(Node):
    """A person in an organization."""

    row: ClassVar[type[Any]] = MembershipRow
    read: ClassVar = queries.memberships_by_ids

    organization: Organization = to_one(queries.by_ids, key="org_id", description="Where.")
    user: User = to_one(identity.by_ids, key="user_id", description="Who.")
    role: Role = column("As what.")
    created_at: datetime = column("Since when.")


@strawberry.input
class OrganizationCreateInput:
    """A new organization."""

    name: str = required("1 to 100 characters.")
    slug: str = required("3 to 40 characters: words of a-z and 0-9 with single hyphens between them.")


@strawberry.input
class OrganizationUpdateInput:
    """Changes of an organization."""

    name: str | None = optional("1 to 100 characters.")
    slug: str | None = optional("3 to 40 characters: words of a-z and 0-9 with single hyphens between them.")


@strawberry.type
class OrganizationPayload:
    """An organization after the change."""

    organization: Organization | None = strawberry.field(
        default=None, description="The organization; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class MembershipPayload:
    """A membership after the change."""

    membership: Membership | None = strawberry.field(
        default=None, description="The membership; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class OrganizationQueries:
    """Reads of organizations."""

    @query
    async def organization(
        self,
        info: Info,
        id: strawberry.ID | None = None,
        slug: Annotated[str | None, strawberry.argument(description="Its unique name in addresses.")] = None,
    ) -> Organization | None:
        """By id or by slug; exactly one of them. A stranger's organization looks like an unknown one."""
        if id is not None and slug is None:
            row = await info.context.load(queries.by_ids, parse_id(id, "organization"), columns(info))
        elif slug is not None and id is None:
            row = await info.context.load(queries.by_slugs, slug, columns(info))
        else:
            raise BadInput("Give `id` or `slug`, and not both.", path=["id"])
        return None if row is None else Organization.of(row)


@strawberry.type
class OrganizationMutations:
    """Changes of organizations and of who belongs to them."""

    @mutation
    async def organization_create(self, info: Info, input: OrganizationCreateInput) -> OrganizationPayload | None:
        """Found an organization on the FREE plan; the viewer becomes its admin. Not with an API key."""
        organization = await organizations.create(info.context.actor, **changes(input))
        return OrganizationPayload(organization=Organization.of(organization))

    @mutation
    async def organization_update(
        self, info: Info, id: strawberry.ID, input: OrganizationUpdateInput, if_version: int | None = None
    ) -> OrganizationPayload | None:
        """Change name or slug. Needs ORG_UPDATE."""
        org_id = parse_id(id, "organization")
        organization = await organizations.update(info.context.actor, org_id, if_version=if_version, **changes(input))
        return OrganizationPayload(organization=Organization.of(organization))

    @mutation
    async def membership_update(
        self,
        info: Info,
        id: strawberry.ID,
        role: Annotated[Role, strawberry.argument(description="The new role.")],
    ) -> MembershipPayload | None:
        """Give a member another role. Needs MEMBERS_MANAGE; the last admin stays one."""
        membership = await memberships.update(info.context.actor, parse_id(id, "membership"), role=role)
        return MembershipPayload(membership=Membership.of(membership))

    @mutation
    async def membership_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Remove a member, and revoke the keys they made. Needs MEMBERS_MANAGE; the last admin stays."""
        await memberships.delete(info.context.actor, parse_id(id, "membership"))
        return DeletePayload(deleted_id=id)

    @mutation
    async def organization_leave(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """End the viewer's own membership; `deletedId` is the organization's. The last admin stays; no API key can."""
        await memberships.leave(info.context.actor, parse_id(id, "organization"))
        return DeletePayload(deleted_id=id)
