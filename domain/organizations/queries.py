"""Reads of organizations, memberships and API keys."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.base.actor import Actor, ActorKind
from domain.base.database import fetch, fetch_value
from domain.base.errors import BadInput, Forbidden, NotFound
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.permissions import GRANTS, Permission, Role
from domain.base.reads import Columns, Many, One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row, Sql, all_of, like_escaped, sql

# What a word of a name or an address begins after.
_BEFORE_A_WORD = (" ", "-", ".", "@", "+", "_", "'", "(")
_QUERY_LENGTH = 200


class OrganizationRow(Row):
    """A tenant."""

    id: UUID
    name: str
    slug: str
    version: int
    created_at: datetime
    updated_at: datetime


class MembershipRow(Row):
    """A person in an organization."""

    id: UUID
    org_id: UUID
    user_id: UUID
    role: str
    created_at: datetime
    updated_at: datetime


class ApiKeyRow(Row):
    """A key of an organization, without its secret."""

    id: UUID
    org_id: UUID
    user_id: UUID
    name: str
    prefix: str
    permissions: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


ORGANIZATIONS = Table("organization", OrganizationRow, org="id")
MEMBERSHIPS = Table("membership", MembershipRow)
API_KEYS = Table("api_key", ApiKeyRow)
BY_NAME = Order((Key("lower(organization.name)", KeyKind.TEXT), Key("organization.id", KeyKind.UUID)))
MEMBERS_BY_NAME = Order((Key("lower(users.name)", KeyKind.TEXT), Key("membership.id", KeyKind.UUID)))
KEYS_BY_NAME = Order((Key("lower(api_key.name)", KeyKind.TEXT), Key("api_key.id", KeyKind.UUID)))


visible = for_actor("organization.id = ANY({}::uuid[])", orgs_with(Permission.ORG_READ))
"""The caller's organizations."""

visible_memberships = for_actor(
    "(membership.org_id = ANY({}::uuid[]) AND membership.ended_at IS NULL)", orgs_with(Permission.MEMBERS_READ)
)
"""The members of today, where the caller reads members."""

visible_api_keys = for_actor(
    "(api_key.revoked_at IS NULL AND api_key.org_id = ANY({}::uuid[]) "
    "AND (api_key.user_id = {}::uuid OR api_key.id = {}::uuid OR api_key.org_id = ANY({}::uuid[])))",
    lambda actor: list(actor.standings),
    lambda actor: actor.person_id,
    lambda actor: actor.api_key_id,
    orgs_with(Permission.API_KEYS_MANAGE),
)
"""The keys that are not revoked: a person's own, the key that asks, and all where the caller manages keys."""

by_ids = One(ORGANIZATIONS, visible)
of_users = Pages(
    ORGANIZATIONS,
    visible,
    key="membership.user_id",
    source="JOIN membership ON membership.org_id = organization.id AND membership.ended_at IS NULL",
)
memberships_by_ids = One(MEMBERSHIPS, visible_memberships)
members_of_organizations = Pages(
    MEMBERSHIPS, visible_memberships, key="membership.org_id", source="JOIN users ON users.id = membership.user_id"
)
api_keys_by_ids = One(API_KEYS, visible_api_keys)
api_keys_of_organizations = Many(API_KEYS, visible_api_keys, key="api_key.org_id", order=KEYS_BY_NAME)
api_keys_of_users = Many(API_KEYS, visible_api_keys, key="api_key.user_id", order=KEYS_BY_NAME)


async def lock(actor: Actor, org_id: UUID, permission: Permission) -> OrganizationRow:
    """The organization, locked to the end of the transaction and authorized by the caller's membership of this moment.

    An actor's standing is as old as its operation. Every change of a membership takes this lock too, so whoever was
    removed or demoted meanwhile is found out here; with an API key it is the key's maker who counts.
    Raises NotFound, also for a stranger's; Forbidden (`permission`).
    """
    organization = await by_ids.get_for_update(actor, org_id, permission)
    if actor.ref.kind is ActorKind.SYSTEM:
        return organization
    present = sql(
        "SELECT role FROM membership WHERE org_id = {} AND user_id = {} AND ended_at IS NULL", org_id, actor.user_id
    )
    role = await fetch_value(present)
    if role is None:
        raise NotFound(ORGANIZATIONS.noun)
    if permission not in GRANTS[Role(role)]:
        raise Forbidden(permission)
    return organization


async def by_slugs(actor: Actor, slugs: Sequence[str], columns: Columns) -> dict[str, OrganizationRow]:
    """Slug -> row; a slug without a visible organization is left out."""
    statement = sql(
        "SELECT organization.slug AS parent_key, {} FROM organization WHERE organization.slug = ANY({}::text[]) AND {}",
        ORGANIZATIONS.select(actor, columns),
        list(slugs),
        visible(actor),
    )
    return {row["parent_key"]: row for row in await fetch(statement, OrganizationRow)}


def members_asked(
    *, first: int | None, after: str | None, query: str | None, roles: Sequence[Role] | None
) -> PageRequest:
    """Members A to Z whose name or address has a word that begins with `query`, and who have one of `roles`.

    Raises BadInput for a cursor or a size that request() refuses, and for a query of more than 200 characters.
    """
    sought = (query or "").strip()
    if len(sought) > _QUERY_LENGTH:
        raise BadInput(f"`query` has at most {_QUERY_LENGTH} characters.", path=["query"])
    wanted = None if roles is None else sorted(set(roles))

    def where() -> Sql:
        conditions = []
        if sought:
            words = _word_patterns(sought)
            conditions.append(
                sql("(users.name ILIKE ANY({}::text[]) OR users.email ILIKE ANY({}::text[]))", words, words)
            )
        if wanted is not None:
            conditions.append(sql("membership.role = ANY({}::text[])", wanted))
        return all_of(conditions)

    scope = repr(("members", sought, wanted))
    return request(MEMBERS_BY_NAME, first=first, after=after, scope=scope, where=where)


def _word_patterns(sought: str) -> list[str]:
    start = like_escaped(sought) + "%"
    return [start, *(f"%{like_escaped(separator)}{start}" for separator in _BEFORE_A_WORD)]
