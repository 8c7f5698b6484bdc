"""What happens to invitations. The address may be erased: whoever is invited is no member yet."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from domain.base.permissions import Role
from domain.events.log import Change, Event, instant, private, reference


class _InvitationEvent(Event):
    subject: ClassVar = "invitation"


@dataclass(frozen=True, kw_only=True)
class InvitationCreated(_InvitationEvent):
    """An address was invited. `generation` says which link is to be mailed."""

    type: ClassVar = "INVITATION_CREATED"
    email: str | None = private()
    role: Role
    expires_at: datetime | None = instant()
    generation: int


@dataclass(frozen=True, kw_only=True)
class InvitationResent(_InvitationEvent):
    """An invitation is mailed again; the link before holds no more."""

    type: ClassVar = "INVITATION_RESENT"
    email: str | None = private()
    expires_at: datetime | None = instant()
    generation: int


@dataclass(frozen=True, kw_only=True)
class InvitationAccepted(_InvitationEvent):
    """Whoever was invited became a member."""

    type: ClassVar = "INVITATION_ACCEPTED"
    email: str | None = private()
    role: Role
    status: Change
    user_id: UUID = reference("user", after=True)
    membership_id: UUID = reference("membership", after=True)
    invited_by_id: UUID | None = reference("user", default=None)


@dataclass(frozen=True, kw_only=True)
class InvitationDeclined(_InvitationEvent):
    """Whoever holds the link does not want to join."""

    type: ClassVar = "INVITATION_DECLINED"
    email: str | None = private()
    status: Change


@dataclass(frozen=True, kw_only=True)
class InvitationExpired(_InvitationEvent):
    """Nobody answered in time."""

    type: ClassVar = "INVITATION_EXPIRED"
    email: str | None = private()
    status: Change


@dataclass(frozen=True, kw_only=True)
class InvitationRevoked(_InvitationEvent):
    """The organization took its invitation back."""

    type: ClassVar = "INVITATION_REVOKED"
    email: str | None = private()
    status: Change
