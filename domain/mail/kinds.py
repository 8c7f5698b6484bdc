"""The kinds of mail: what each has to be told, and which of them a person can turn off, and how."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind. `values` are the names that its templates use.

    `preference` is the choice in identity's preferences that turns it off, and `described` what that choice is about,
    in the words of the page that turns it off. Both are None for mail that nobody can do without.
    """

    values: frozenset[str]
    preference: str | None = None
    described: str | None = None


_ASSIGNMENT = ("email_on_assignment", "tasks that you are assigned to")
_MENTION = ("email_on_mention", "mentions of you")
_INVITATION = ("email_on_invitation", "answers to your invitations")
_TASK = frozenset({"user_id", "organization_name", "organization_slug", "task_identifier", "task_title"})

KINDS: Mapping[str, Kind] = {
    "welcome": Kind(frozenset({"name", "token"})),
    "verify_email": Kind(frozenset({"name", "token"})),
    "password_reset": Kind(frozenset({"name", "token"})),
    "email_change": Kind(frozenset({"name", "token"})),
    "email_changed": Kind(frozenset({"name", "new_email"})),
    "password_changed": Kind(frozenset({"name"})),
    # `inviter_name` may be None, and so may `actor_name` below: nobody, an API key, or the system.
    "invitation": Kind(frozenset({"organization_name", "inviter_name", "role", "token", "expires_at"})),
    "invitation_accepted": Kind(
        frozenset({"user_id", "organization_name", "organization_slug", "member_name"}), *_INVITATION
    ),
    "task_assigned": Kind(_TASK | {"actor_name"}, *_ASSIGNMENT),
    "payment_failed": Kind(frozenset({"name", "organization_name", "organization_slug", "plan_name", "grace_ends_at"})),
    "mentioned": Kind(_TASK | {"actor_name", "excerpt"}, *_MENTION),
}
