"""API keys of an organization."""

from datetime import datetime
from typing import Any, ClassVar

import strawberry

from domain.base.permissions import Permission
from domain.organizations import api_keys, queries
from domain.organizations.queries import ApiKeyRow
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, optional, required, to_one
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.outcomes import shown_once
from graph.base.payloads import DeletePayload
from graph.organizations import Organization


@strawberry.type
class ApiKey(Node):
    """Access of a program to one organization. It can do what it was given and its maker may still do."""

    row: ClassVar[type[Any]] = ApiKeyRow
    read: ClassVar = queries.api_keys_by_ids

    name: str = column("What it is for.")
    prefix: str = column("The first 12 characters of the secret, to tell keys apart.")
    organization: Organization = to_one(queries.by_ids, key="org_id", description="Where it counts.")
    permissions: list[Permission] = column(
        "What it was given. ORG_READ and PROJECT_READ come with every key, named here or not."
    )
    created_at: datetime = column("When it was made.")
    last_used_at: datetime | None = column("The last use, to the minute.")
    expires_at: datetime | None = column("When it ends; null for never.")


@strawberry.input
class ApiKeyCreateInput:
    """A new key."""

    organization_id: strawberry.ID = required("Where it counts.")
    name: str = required("1 to 100 characters.")
    permissions: list[Permission] = required(
        "At least one, and only such as the viewer has. The key carries ORG_READ and PROJECT_READ besides, "
        "because what lies around the rows must be nameable."
    )
    expires_at: datetime | None = optional("When it ends, in the future; null or absent for never.")


@strawberry.type
class ApiKeyPayload:
    """A key that was just made."""

    api_key: ApiKey | None = strawberry.field(default=None, description="The key; null when it was refused.")
    secret: str | None = shown_once("Shown once.")
    errors: list[UserError] = no_errors()


@strawberry.type
class ApiKeyMutations:
    """Changes of API keys. None of them takes an API key."""

    @mutation
    async def api_key_create(self, info: Info, input: ApiKeyCreateInput) -> ApiKeyPayload | None:
        """Make a key. Needs API_KEYS_MANAGE; an organization has at most 100."""
        org_id = parse_id(input.organization_id, "organization", "input", "organizationId")
        made = await api_keys.create(info.context.actor, org_id, **changes(input, "organization_id"))
        return ApiKeyPayload(api_key=ApiKey.of(made.key), secret=made.secret)

    @mutation
    async def api_key_revoke(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """End a key at once: one's own, or any with API_KEYS_MANAGE."""
        await api_keys.revoke(info.context.actor, parse_id(id, "api_key"))
        return DeletePayload(deleted_id=id)
