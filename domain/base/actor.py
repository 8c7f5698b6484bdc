"""Actor: who asks, of which organizations, allowed what in each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from domain.base.errors import Forbidden, NotFound, Unauthenticated
from domain.base.permissions import GRANTS, Permission, Role


class ActorKind(StrEnum):
    """Which of the three kinds of doer an id names."""

    USER = "USER"
    API_KEY = "API_KEY"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True)
class ActorRef:
    """Who did a thing, as rows and events keep it. `id` is None for the system."""

    kind: ActorKind
    id: UUID | None


@dataclass(frozen=True)
class Standing:
    """A caller's place in one organization."""

    role: Role
    permissions: frozenset[Permission]

    @classmethod
    def of_role(cls, role: Role) -> "Standing":
        """All that the role grants."""
        return cls(role, GRANTS[role])


@dataclass(frozen=True)
class Actor:
    """The caller of one operation.

    `standings` grows when the caller founds or joins an organization, so that the rest of the operation sees it; the
    tenant set of the database reads the same mapping.
    """

    ref: ActorRef
    user_id: UUID | None
    standings: dict[UUID, Standing] = field(default_factory=dict)
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    points_minute: int = 0
    """The rate points that somebody pays for: of the best plan of a person's organizations, or of a key's own."""

    @classmethod
    def of_user(
        cls,
        user_id: UUID,
        standings: Mapping[UUID, Standing],
        session_id: UUID | None = None,
        points_minute: int = 0,
    ) -> "Actor":
        """A signed-in person."""
        ref = ActorRef(ActorKind.USER, user_id)
        return cls(ref, user_id, dict(standings), session_id=session_id, points_minute=points_minute)

    @classmethod
    def of_api_key(
        cls, key_id: UUID, user_id: UUID, standings: Mapping[UUID, Standing], points_minute: int = 0
    ) -> "Actor":
        """A key, with the standing that it and its maker share today."""
        ref = ActorRef(ActorKind.API_KEY, key_id)
        return cls(ref, user_id, dict(standings), api_key_id=key_id, points_minute=points_minute)

    @classmethod
    def system(cls, *org_ids: UUID) -> "Actor":
        """The product itself at work in these organizations."""
        return cls(ActorRef(ActorKind.SYSTEM, None), None, dict.fromkeys(org_ids, Standing.of_role(Role.ADMIN)))

    def permissions(self, org_id: UUID) -> frozenset[Permission]:
        """What the caller may do in the organization; nothing in a stranger's."""
        standing = self.standings.get(org_id)
        return standing.permissions if standing else frozenset()

    def orgs_with(self, permission: Permission) -> list[UUID]:
        """The organizations in which the caller holds the permission."""
        return [org_id for org_id, standing in self.standings.items() if permission in standing.permissions]

    def require(self, permission: Permission, *, org_id: UUID) -> None:
        """Raises NotFound for a stranger's organization, Forbidden (`permission`) for one without the permission."""
        if org_id not in self.standings:
            raise NotFound("organization")
        if permission not in self.permissions(org_id):
            raise Forbidden(permission)

    @property
    def person_id(self) -> UUID | None:
        """The user's id when a session brought them here, None for a key and for the system."""
        return self.user_id if self.session_id is not None else None

    def require_person(self) -> UUID:
        """The user's id. Raises Unauthenticated for a key and for the system: account matters need a session."""
        if self.session_id is None or self.user_id is None:
            raise Unauthenticated("This needs a signed-in person; an API key cannot do it.")
        return self.user_id

    def join(self, org_id: UUID, standing: Standing) -> None:
        """Give the caller a standing for the rest of the operation."""
        self.standings[org_id] = standing

    def stand(self, standings: Mapping[UUID, Standing]) -> None:
        """Give the caller these standings and no others, in the mapping that the tenant set reads."""
        self.standings.clear()
        self.standings.update(standings)

    def leave(self, org_id: UUID) -> None:
        """Take the caller's standing away for the rest of the operation."""
        self.standings.pop(org_id, None)
