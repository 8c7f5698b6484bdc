"""Reads of people, and of what only they see: their sessions and preferences."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch
from domain.base.permissions import Permission
from domain.base.reads import Columns, One, Table, for_actor, orgs_with
from domain.base.sql import Row, all_of, sql

MOST_SESSIONS = 100
# Looks each person up in the index of memberships. Without it Postgres may first read all members of the organizations,
# to find a single one: that would cost more the bigger they are.
_ONE_BY_ONE = "OFFSET 0"


class UserRow(Row):
    """A person. `email` is None for a viewer who shares no organization with them today."""

    id: UUID
    name: str
    email: str | None
    email_verified: bool
    avatar_url: str | None
    created_at: datetime


class PreferencesRow(Row):
    """What a person chose. `settings` is JSON text."""

    user_id: UUID
    locale: str
    time_zone: str
    email_on_assignment: bool
    email_on_mention: bool
    email_on_invitation: bool
    settings: str
    updated_at: datetime


class SessionRow(Row):
    """A sign-in on one device."""

    id: UUID
    user_id: UUID
    user_agent: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


def _user_id(actor: Actor) -> UUID | None:
    return actor.user_id


visible = for_actor(
    "(users.id = {}::uuid OR EXISTS (SELECT FROM membership "
    f"WHERE membership.user_id = users.id AND membership.org_id = ANY({{}}::uuid[]) {_ONE_BY_ONE}))",
    _user_id,
    orgs_with(Permission.MEMBERS_READ),
)
"""The caller, and whoever is or was in an organization whose members the caller reads."""

_email = for_actor(
    "CASE WHEN users.id = {}::uuid OR EXISTS (SELECT FROM membership WHERE membership.user_id = users.id "
    f"AND membership.ended_at IS NULL AND membership.org_id = ANY({{}}::uuid[]) {_ONE_BY_ONE}) THEN users.email END",
    _user_id,
    orgs_with(Permission.MEMBERS_READ),
)

own_preferences = for_actor("preferences.user_id = {}::uuid", _user_id)
"""The caller's own."""

own_sessions = for_actor(
    "session.user_id = {}::uuid AND session.expires_at > {}", lambda actor: actor.person_id, lambda _: now()
)
"""The caller's own that last; an API key has none."""

USERS = Table(
    "users", UserRow, {"email": _email, "email_verified": "(users.email_verified_at IS NOT NULL)"}, called="user"
)
PREFERENCES = Table("preferences", PreferencesRow, {"id": "preferences.user_id"})
SESSIONS = Table("session", SessionRow)

by_ids = One(USERS, visible)
preferences_of = One(PREFERENCES, own_preferences, key="user_id")
sessions_by_ids = One(SESSIONS, own_sessions)


async def sessions_of(actor: Actor, user_ids: Sequence[UUID], columns: Columns) -> dict[UUID, list[SessionRow]]:
    """User -> at most 100 sessions, the last used first; a user without any visible one is left out."""
    statement = sql(
        "SELECT session.user_id AS parent_key, {} FROM session WHERE {} "
        "ORDER BY session.last_used_at DESC, session.id DESC LIMIT {}",
        SESSIONS.select(actor, columns),
        all_of([sql("session.user_id = ANY({}::uuid[])", list(user_ids)), own_sessions(actor)]),
        MOST_SESSIONS,
    )
    found: dict[UUID, list[SessionRow]] = {}
    for row in await fetch(statement, SessionRow):
        found.setdefault(row["parent_key"], []).append(row)
    return found
