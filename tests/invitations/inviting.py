"""Documents about invitations, and people to invite."""

from typing import Any
from uuid import UUID

from tests.factories import Person, Tenant, execute, make_person, rows
from tests.links import make_invitation, token_of

CREATE = """
mutation ($input: InvitationCreateInput!) {
  invitationCreate(input: $input) {
    invitation { id email role status invitedBy { id } organization { id } respondedAt createdAt expiresAt }
    errors { code path }
  }
}
"""
RESEND = """
mutation ($id: ID!) {
  invitationResend(id: $id) {
    invitation { id status expiresAt }
    errors { code path ... on TransitionError { from allowed } }
  }
}
"""
REVOKE = """
mutation ($id: ID!) {
  invitationRevoke(id: $id) {
    invitation { id status respondedAt }
    errors { code path ... on TransitionError { from allowed } }
  }
}
"""
ACCEPT = """
mutation ($token: String!) {
  invitationAccept(token: $token) {
    membership { role user { id } organization { id } }
    organization { id viewerRole }
    errors { code path ... on TransitionError { from allowed } }
  }
}
"""
DECLINE = """
mutation ($token: String!) {
  invitationDecline(token: $token) {
    invitation { organizationName inviterName email role status expiresAt }
    errors { code path ... on TransitionError { from allowed } }
  }
}
"""
PREVIEW = """
query ($token: String!) {
  invitationPreview(token: $token) { organizationName inviterName email role status expiresAt }
}
"""
LIST = """
query ($id: ID!, $status: InvitationStatus, $first: Int = 20, $after: String) {
  organization(id: $id) {
    invitations(first: $first, after: $after, status: $status) {
      nodes { email status } totalCount pageInfo { hasNextPage endCursor }
    }
  }
}
"""
UNKNOWN = [{"code": "INVALID", "path": ["token"]}]


async def make_verified(name: str = "Eve Invited") -> Person:
    """Somebody in no organization whose address is verified."""
    person = await make_person(name)
    await execute("UPDATE users SET email_verified_at = now() WHERE id = $1", person.user_id)
    return person


async def invited(tenant: Tenant, person: Person, **values: Any) -> tuple[UUID, str]:
    """An invitation of the person: its id, and the token of its link."""
    invitation = await make_invitation(tenant.admin, tenant, person.email, **values)
    return invitation.id, await token_of(invitation.id)


async def state_of(invitation_id: UUID) -> tuple[str, int, bool]:
    """Status, generation and whether it was answered."""
    (row,) = await rows("SELECT status, generation, responded_at FROM invitation WHERE id = $1", invitation_id)
    return row["status"], row["generation"], row["responded_at"] is not None


async def members(tenant: Tenant, person: Person) -> list[tuple[str, bool]]:
    """The person's memberships there, the oldest first: as what, and whether it lasts."""
    found = await rows(
        "SELECT role, ended_at FROM membership WHERE org_id = $1 AND user_id = $2 ORDER BY id",
        tenant.org_id,
        person.user_id,
    )
    return [(row["role"], row["ended_at"] is None) for row in found]


def transition(source: str, *allowed: str, path: str = "token") -> list[dict[str, Any]]:
    """The refusal of a move that is not in the table."""
    return [{"code": "TRANSITION_NOT_ALLOWED", "path": [path], "from": source, "allowed": list(allowed)}]
