"""What the link of an invitation shows to whoever holds it, signed in or not, and to nobody who guesses."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.adapters.throttle import Throttle
from domain.base.clock import now
from domain.base.database import Door, system_fetch
from domain.base.errors import Invalid
from domain.base.permissions import Role
from domain.identity import guesses
from domain.invitations.states import Status, standing


@dataclass(frozen=True)
class Link:
    """The invitation of a link, with the names that its holder may see."""

    id: UUID
    org_id: UUID
    generation: int
    email: str
    role: str
    status: str
    expires_at: datetime
    organization_name: str
    inviter_name: str | None

    @property
    def standing(self) -> Status:
        """Where it stands at this moment."""
        return standing(Status(self.status), self.expires_at, now())

    @property
    def offered(self) -> Role:
        """As what its holder is invited."""
        return Role(self.role)


async def find(token: str, *, client_address: str, throttle: Throttle) -> Link | None:
    """The invitation whose link has this token, or None for one that is unknown or was replaced.

    Raises RateLimited after 20 unknown ones within 15 minutes from one network; Unavailable.
    """

    return await guesses.look_up(token, _by_digest, client_address=client_address, throttle=throttle)


async def _by_digest(digest: bytes) -> Link | None:
    rows = await system_fetch(
        Door.INVITATION_LINK,
        "SELECT invitation.id, invitation.org_id, invitation.generation, invitation.email, invitation.role, "
        "invitation.status, invitation.expires_at, organization.name AS organization_name, "
        "users.name AS inviter_name FROM invitation JOIN organization ON organization.id = invitation.org_id "
        "LEFT JOIN users ON users.id = invitation.invited_by_id WHERE invitation.token_digest = $1",
        digest,
    )
    return Link(**dict(rows[0])) if rows else None


async def get(token: str, *path: str, client_address: str, throttle: Throttle) -> Link:
    """As `find`. Raises Invalid (`path`) where that gives None; RateLimited; Unavailable."""
    found = await find(token, client_address=client_address, throttle=throttle)
    if found is None:
        raise unknown(*path)
    return found


def unknown(*path: str) -> Invalid:
    """What whoever sends an unknown token is told."""
    return Invalid("This invitation is unknown, or was sent again with another link.", *path)
