"""What happens to organizations, memberships and API keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.base.permissions import Permission, Role
from domain.events.log import Change, Event, instant, private, reference


class _OrganizationEvent(Event):
    subject: ClassVar = "organization"


class _MembershipEvent(Event):
    subject: ClassVar = "membership"


class _ApiKeyEvent(Event):
    subject: ClassVar = "api_key"


@dataclass(frozen=True, kw_only=True)
class OrganizationCreated(_OrganizationEvent):
    """An organization was founded."""

    type: ClassVar = "ORGANIZATION_CREATED"
    name: str | None = private()
    slug: str | None = private()


@dataclass(frozen=True, kw_only=True)
class OrganizationUpdated(_OrganizationEvent):
    """An organization was renamed or moved to another address."""

    type: ClassVar = "ORGANIZATION_UPDATED"
    name: Change | None = private()
    slug: Change | None = private()


@dataclass(frozen=True, kw_only=True)
class MembershipCreated(_MembershipEvent):
    """A person became a member."""

    type: ClassVar = "MEMBERSHIP_CREATED"
    user_id: UUID = reference("user")
    role: Role


@dataclass(frozen=True, kw_only=True)
class MembershipUpdated(_MembershipEvent):
    """A member got another role."""

    type: ClassVar = "MEMBERSHIP_UPDATED"
    user_id: UUID = reference("user")
    role: Change


@dataclass(frozen=True, kw_only=True)
class MembershipDeleted(_MembershipEvent):
    """A member was removed, or left."""

    type: ClassVar = "MEMBERSHIP_DELETED"
    user_id: UUID = reference("user")
    role: Role


@dataclass(frozen=True, kw_only=True)
class ApiKeyCreated(_ApiKeyEvent):
    """An API key was made."""

    type: ClassVar = "API_KEY_CREATED"
    name: str | None = private()
    permissions: tuple[Permission, ...]
    expires_at: datetime | None = instant()


@dataclass(frozen=True, kw_only=True)
class ApiKeyRevoked(_ApiKeyEvent):
    """An API key was revoked, or its maker's membership ended."""

    type: ClassVar = "API_KEY_REVOKED"
    name: str | None = private()
