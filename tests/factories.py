"""Rows for tests. People are written directly, which spares a password digest each; the rest goes through services."""

import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncpg
from argon2 import PasswordHasher

from domain.adapters.storage import attachment_key
from domain.attachments import service as attachments
from domain.attachments.queries import AttachmentRow
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import acting_for
from domain.base.database_address import address_of
from domain.base.permissions import Role
from domain.base.settings import Settings
from domain.billing.plans import Plan
from domain.billing.states import GRACE, Status
from domain.organizations import memberships
from domain.projects import service as projects
from domain.projects.queries import ProjectRow
from domain.tasks import service as tasks
from domain.tasks.queries import TaskRow
from graph.base.ids import global_id
from tests import client
from tests.client import GraphQL, aside

PASSWORD = "correct horse"  # noqa: S105  # of people who live as long as a test
# Weaker than those of accounts, and one for all of them, because it is made and looked at so often.
_PASSWORD_DIGEST = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
_owner: "asyncpg.Pool[Any]"


async def connect(settings: Settings) -> None:
    """Open the owner's pool, which sees every row."""
    global _owner
    user = unquote(urlsplit(settings.database_url or "").username or "postgres")
    _owner = await asyncpg.create_pool(**address_of(settings), user=user, min_size=1, max_size=4, reset=_as_it_is)


async def _as_it_is(_: Any) -> None:
    """Nothing: no statement of the owner's leaves anything on its connection, and to reset it is a round trip."""


async def disconnect() -> None:
    """Close the owner's pool."""
    await _owner.close()


async def rows(statement: str, *values: Any) -> list[dict[str, Any]]:
    """Rows as the owner of the database sees them: no policy hides any."""
    return [dict(row) for row in await _owner.fetch(statement, *values)]


async def execute(statement: str, *values: Any) -> None:
    """Run a statement as the owner of the database."""
    await _owner.execute(statement, *values)


async def events(org_id: UUID) -> list[str]:
    """The types of the organization's events, in order."""
    found = await rows("SELECT type FROM event WHERE org_id = $1 ORDER BY seq", org_id)
    return [row["type"] for row in found]


@dataclass(frozen=True)
class Person:
    """Somebody with a session."""

    user_id: UUID
    session_id: UUID
    email: str
    token: str

    @property
    def id(self) -> str:
        """The global id."""
        return global_id("user", self.user_id)

    @property
    def client(self) -> GraphQL:
        """GraphQL as this person."""
        return GraphQL(self.token)

    async def actor(self) -> Actor:
        """The person as services know them, with the memberships of this moment."""
        return Actor.of_user(self.user_id, await memberships.standings_of(self.user_id), session_id=self.session_id)

    @contextlib.asynccontextmanager
    async def acting(self) -> AsyncIterator[Actor]:
        """The person as the caller of services: the actor, with its tenant set."""
        actor = await self.actor()
        with acting_for(actor.standings):
            yield actor


@dataclass(frozen=True)
class Tenant:
    """An organization and one person of each role."""

    org_id: UUID
    slug: str
    admin: Person
    member: Person
    billing: Person
    guest: Person

    @property
    def id(self) -> str:
        """The global id."""
        return global_id("organization", self.org_id)


# One statement for all people, and another one for an organization with its members: a test makes a tenant or two.
_PEOPLE = """
WITH person AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bytea[])
        AS person (id, name, email, session_id, token_digest)
), made AS (
    INSERT INTO users (id, name, email, email_verified_at, created_at, updated_at)
    SELECT id, name, email, CASE WHEN $6 THEN $7::timestamptz END, $7, $7 FROM person
), known AS (
    INSERT INTO credential (user_id, password_digest, updated_at) SELECT id, $8::text, $7 FROM person
), wishing AS (
    INSERT INTO preferences (user_id, locale, time_zone, email_on_assignment, email_on_mention,
                             email_on_invitation, settings, updated_at)
    SELECT id, 'en', 'UTC', true, true, true, '{}', $7 FROM person
)
INSERT INTO session (id, user_id, token_digest, created_at, last_used_at, expires_at)
SELECT session_id, id, token_digest, $7, $7, $9::timestamptz FROM person
"""
_MEMBERS = """
INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at)
SELECT id, $1::uuid, user_id, role, $2::timestamptz, $2
FROM unnest($3::uuid[], $4::uuid[], $5::text[]) AS member (id, user_id, role)
"""
_ORGANIZATION = f"""
WITH founded AS (
    INSERT INTO organization (id, name, slug, version, created_at, updated_at) VALUES ($1, $6, $7, 1, $2, $2)
), paying AS (
    INSERT INTO subscription (id, org_id, plan, created_at, updated_at) VALUES ($8, $1, 'FREE', $2, $2)
)
{_MEMBERS}
"""


def _in_order(things: Sequence[Any]) -> list[UUID]:
    """New ids, the order of which is that of the things: within a millisecond chance would give it."""
    return sorted(new_id() for _ in things)


async def _make_people(*names: str, are_verified: bool) -> list[Person]:
    people, digests = [], []
    for user_id, name in zip(_in_order(names), names, strict=True):
        token = f"pws_{secrets.token_urlsafe(32)}"
        email = f"{name.split()[0].lower()}-{user_id.hex[-12:]}@example.test"
        people.append(Person(user_id, new_id(), email, token))
        digests.append(hashlib.sha256(token.encode()).digest())
    await execute(
        _PEOPLE,
        [person.user_id for person in people],
        list(names),
        [person.email for person in people],
        [person.session_id for person in people],
        digests,
        are_verified,
        now(),
        _PASSWORD_DIGEST,
        now() + timedelta(days=30),
    )
    return people


def _members(org_id: UUID, people: Sequence[Person], roles: Iterable[Role]) -> tuple[Any, ...]:
    """The values of _MEMBERS."""
    user_ids = [person.user_id for person in people]
    return org_id, now(), _in_order(people), user_ids, [role.value for role in roles]


async def make_person(name: str = "Ada Lovelace") -> Person:
    """A person with a session and PASSWORD, in no organization."""
    (person,) = await _make_people(name, are_verified=False)
    return person


async def make_member(org_id: UUID, role: Role, name: str = "Mia Member") -> Person:
    """A person with the role in the organization, whose address is verified as that of whoever was invited."""
    (person,) = await _make_people(name, are_verified=True)
    await execute(_MEMBERS, *_members(org_id, [person], [role]))
    return person


async def make_tenant(name: str) -> Tenant:
    """An organization with an admin, a member, a billing manager and a guest. It has no events yet."""
    org_id = new_id()
    slug = f"{name}-{org_id.hex[-12:]}"
    people = await _make_people(*(f"{role.value.title()} {name.title()}" for role in Role), are_verified=True)
    await execute(_ORGANIZATION, *_members(org_id, people, Role), name.capitalize(), slug, new_id())
    return Tenant(org_id, slug, *people)


async def set_plan(org_id: UUID, plan: Plan, status: Status = Status.ACTIVE, *, grace: timedelta = GRACE) -> None:
    """Let the organization pay for the plan, or not pay any more: `grace` is what is left of it when it is PAST_DUE."""
    ends_at = now() + grace if status is Status.PAST_DUE else None
    await execute(
        "UPDATE subscription SET plan = $2, status = $3, grace_ends_at = $4, past_due_since = $4 WHERE org_id = $1",
        org_id, plan.value, status.value, ends_at,
    )  # fmt: skip


@contextlib.contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that this process sends meanwhile, but for those that set the tenant."""
    sent: list[str] = []
    execute_statement = asyncpg.Connection._execute  # type: ignore[attr-defined]

    async def note(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        if "set_config" not in query and not aside.get():
            sent.append(query)
        return await execute_statement(self, query, *args, **kwargs)

    with patch.object(asyncpg.Connection, "_execute", note):
        yield sent


async def make_project(person: Person, tenant: Tenant, **values: Any) -> ProjectRow:
    """A project, made as the person."""
    async with person.acting() as actor:
        return await projects.create(actor, tenant.org_id, **{"name": "Website", **values})


async def make_task(person: Person, project: ProjectRow, **values: Any) -> TaskRow:
    """A task of the project, made as the person."""
    async with person.acting() as actor:
        return await tasks.create(actor, project.id, **{"title": "Write the page", **values})


async def make_attachment(person: Person, task: TaskRow, *, is_checked: bool = True, **instead: Any) -> AttachmentRow:
    """An attachment of a line of text, made through the service: checked, or only announced and sent."""
    storage, body = client.served()[1].storage, b"A line of text.\n"
    told = {"filename": "a.txt", "content_type": "text/plain", **instead}
    digest = hashlib.sha256(body).hexdigest()

    async def whole() -> AsyncIterator[bytes]:
        yield body

    async with person.acting() as actor:
        upload = await attachments.announce(
            actor, task.id, new_id(), **told, size_bytes=len(body), sha256=digest, storage=storage
        )
        made = await attachments.create(actor, upload)
        await storage.write(attachment_key(made.org_id, made.id), whole(), content_type=told["content_type"])
        if not is_checked:
            return made
        return await attachments.complete(actor, await attachments.look(actor, made.id, storage=storage))


async def states_of(project: ProjectRow) -> dict[str, UUID]:
    """The project's states by name, in order."""
    found = await rows("SELECT name, id FROM workflow_state WHERE project_id = $1 ORDER BY position", project.id)
    return {row["name"]: row["id"] for row in found}
