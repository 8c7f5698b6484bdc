"""Values for every kind of mail, harmless and not."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.mail.kinds import KINDS

USER_ID = UUID("01a0c387-dc40-7080-8000-000000000079")
VALUES: Mapping[str, Any] = {
    "name": "Ann Arbor",
    "token": "tok-en_1",
    "new_email": "ann@new.test",
    "organization_name": "Acme",
    "organization_slug": "acme",
    "inviter_name": "Bob",
    "role": "MEMBER",
    "expires_at": datetime(2026, 11, 28, 9, 5, tzinfo=UTC),
    "user_id": USER_ID,
    "member_name": "Cleo",
    "actor_name": "Bob",
    "task_identifier": "WEB-1",
    "task_title": "Write the page",
    "plan_name": "Pro",
    "grace_ends_at": datetime(2026, 12, 5, 9, 5, tzinfo=UTC),
    "excerpt": "Looks good.\nShip it!",
}
# What people have typed. The rest comes from us.
TYPED = ("name", "new_email", "organization_name", "inviter_name", "member_name", "actor_name", "task_title", "excerpt")


def values_of(kind: str, **changed: Any) -> dict[str, Any]:
    """What a kind has to be told."""
    return {name: {**VALUES, **changed}[name] for name in KINDS[kind].values}
