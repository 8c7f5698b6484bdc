"""The data set: 20 organizations with their people, projects, tasks, labels and comments, made by set-based SQL.

Everything has a number, and its id follows from that number, so whoever asks knows the ids without reading them. The
rows are written into Planwire's own tables as the owner, with foreign keys off and then turned on again, which checks
every row against them.
"""

import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.base.database_address import address_of
from domain.base.settings import Settings
from domain.tasks import ranking

ORGANIZATIONS = 20
PEOPLE_PER_ORGANIZATION = 50
LABELS_PER_ORGANIZATION = 12
STATES = (
    ("Backlog", "BACKLOG"),
    ("Todo", "TODO"),
    ("In progress", "IN_PROGRESS"),
    ("Done", "DONE"),
    ("Canceled", "CANCELED"),
)
LEAST_PER_PROJECT = 50
MOST_PROJECTS = 1_000
# Half-made projects would make the organizations unequal.
_BORN_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
# The numbers that the bare inserts of the peers take begin behind those that Planwire's counters reach.
PEERS_FIRST_NUMBER = 10_000_000
KINDS = {"organization": 1, "user": 2, "session": 3, "membership": 4, "subscription": 5, "project": 6, "state": 7,
         "label": 8, "task": 9, "task_label": 10, "comment": 11}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How many there are."""

    tasks: int

    @property
    def projects(self) -> int:
        """As many as have 50 tasks each, 1,000 at most, and equally many in each organization."""
        wanted = min(self.tasks // LEAST_PER_PROJECT, MOST_PROJECTS)
        return max(wanted // ORGANIZATIONS, 1) * ORGANIZATIONS

    @property
    def tasks_per_project(self) -> int:
        """Equally many in each."""
        return self.tasks // self.projects

    @property
    def projects_per_organization(self) -> int:
        """Equally many in each."""
        return self.projects // ORGANIZATIONS

    @property
    def tasks_per_organization(self) -> int:
        """Equally many in each."""
        return self.tasks_per_project * self.projects_per_organization

    def task(self, organization: int, number: int) -> int:
        """The number of an organization's task; both count from 0, the result from 1 like all numbers here."""
        return organization * self.tasks_per_organization + number + 1


def id_of(kind: str, number: int) -> UUID:
    """The UUIDv7 of a thing: a later number is a later millisecond. Source: RFC 9562, section 5.7."""
    return UUID(int=(_BORN_MS + number) << 80 | 0x7 << 76 | KINDS[kind] << 64 | 0b10 << 62 | number)


def token_of(user: int) -> str:
    """The bearer token of a person's session."""
    return "pws_" + hashlib.sha256(f"bench {user}".encode()).hexdigest()[:43]


def _id(kind: str, number: str) -> str:
    """`id_of` in SQL."""
    return (
        f"(lpad(to_hex({_BORN_MS} + {number}), 12, '0') || '7{KINDS[kind]:03x}8' "
        f"|| lpad(to_hex(({number})::bigint), 15, '0'))::uuid"
    )


def _statements(size: Size) -> list[str]:
    at = "'2026-01-01T00:00:00Z'::timestamptz"
    people = ORGANIZATIONS * PEOPLE_PER_ORGANIZATION
    project, states = f"((t - 1) / {size.tasks_per_project} + 1)", len(STATES)
    place = f"((t - 1) % {size.tasks_per_project})"
    organization = f"((t - 1) / {size.tasks_per_organization})"
    org_id = _id("organization", f"{organization} + 1")
    person = f"{organization} * {PEOPLE_PER_ORGANIZATION} + 1 + "
    of_project = f"(p - 1) / {size.projects_per_organization} + 1"
    state_names = ",".join(f"'{name}'" for name, _ in STATES)
    categories = ",".join(f"'{category}'" for _, category in STATES)
    tasks = f"generate_series(1, {size.tasks_per_project * size.projects}) t"
    return [
        "INSERT INTO organization (id, name, slug, version, created_at, updated_at) "
        f"SELECT {_id('organization', 'o')}, 'Organization ' || o, 'bench-' || o, 1, {at}, {at} "
        f"FROM generate_series(1, {ORGANIZATIONS}) o",
        "INSERT INTO subscription (id, org_id, plan, created_at, updated_at) "
        f"SELECT {_id('subscription', 'o')}, {_id('organization', 'o')}, 'FREE', {at}, {at} "
        f"FROM generate_series(1, {ORGANIZATIONS}) o",
        "INSERT INTO users (id, name, email, created_at, updated_at) "
        f"SELECT {_id('user', 'u')}, 'Person ' || u, 'person' || u || '@bench.test', {at}, {at} "
        f"FROM generate_series(1, {people}) u",
        "INSERT INTO preferences (user_id, locale, time_zone, email_on_assignment, email_on_mention, "
        "email_on_invitation, settings, updated_at) "
        f"SELECT id, 'en', 'UTC', true, true, true, '{{}}', {at} FROM users",
        "INSERT INTO membership (id, org_id, user_id, role, created_at, updated_at) "
        f"SELECT {_id('membership', 'u')}, {_id('organization', f'(u - 1) / {PEOPLE_PER_ORGANIZATION} + 1')}, "
        f"{_id('user', 'u')}, CASE u % {PEOPLE_PER_ORGANIZATION} WHEN 0 THEN 'ADMIN' ELSE 'MEMBER' END, {at}, {at} "
        f"FROM generate_series(1, {people}) u",
        "INSERT INTO label (id, org_id, name, color, created_at, updated_at) "
        f"SELECT {_id('label', 'l')}, {_id('organization', f'(l - 1) / {LABELS_PER_ORGANIZATION} + 1')}, "
        f"'label-' || lpad(((l - 1) % {LABELS_PER_ORGANIZATION})::text, 2, '0'), "
        f"'#' || lpad(to_hex(l * 1234567 % 16777216), 6, '0'), {at}, {at} "
        f"FROM generate_series(1, {ORGANIZATIONS * LABELS_PER_ORGANIZATION}) l",
        "INSERT INTO project (id, org_id, key, name, description, status, version, created_at, updated_at) "
        f"SELECT {_id('project', 'p')}, {_id('organization', of_project)}, "
        f"'P' || (p - 1) % {size.projects_per_organization} + 1, 'Project ' || p, "
        f"'What project ' || p || ' is about.', 'ACTIVE', 1, {at}, {at} FROM generate_series(1, {size.projects}) p",
        "INSERT INTO project_counter (project_id, org_id, last_number) "
        f"SELECT id, org_id, {size.tasks_per_project} FROM project",
        "INSERT INTO workflow_state (id, org_id, project_id, name, category, color, position, restricted, created_at, "
        f"updated_at) SELECT {_id('state', f'(p - 1) * {states} + s + 1')}, {_id('organization', of_project)}, "
        f"{_id('project', 'p')}, (ARRAY[{state_names}])[s + 1], (ARRAY[{categories}])[s + 1], '#8a8f98', s, false, "
        f"{at}, {at} FROM generate_series(1, {size.projects}) p, generate_series(0, {states - 1}) s",
        "INSERT INTO task (id, org_id, project_id, number, identifier, title, description, state_id, priority, "
        "assignee_id, due_date, estimate, rank, creator_kind, creator_id, completed_at, version, created_at, "
        f"updated_at) SELECT {_id('task', 't')}, {org_id}, {_id('project', project)}, {place} + 1, "
        f"'P' || ({project} - 1) % {size.projects_per_organization} + 1 || '-' || {place} + 1, 'Task number ' || t, "
        "'A somewhat longer description of task number ' || t || ' with \"quotes\" and text.', "
        f"{_id('state', f'({project} - 1) * {states} + {place} % {states} + 1')}, t % 5, "
        f"CASE WHEN t % 10 > 0 THEN {_id('user', person + f'(t::bigint * 7919) % {PEOPLE_PER_ORGANIZATION}')} END, "
        "CASE WHEN t % 3 > 0 THEN '2026-06-01'::date + t % 365 END, CASE WHEN t % 4 > 0 THEN t % 40 END, "
        f"ranks.rank, 'USER', {_id('user', person + '0')}, CASE WHEN {place} % {states} = 3 THEN {at} END, 1, "
        f"{at} + t * interval '1 second', '2026-02-01T00:00:00Z'::timestamptz + t * interval '1 second' "
        f"FROM {tasks} JOIN unnest($1::text[]) WITH ORDINALITY AS ranks(rank, nth) "
        f"ON ranks.nth = {place} / {states} + 1 ORDER BY t",
        "INSERT INTO task_label (id, org_id, task_id, label_id) "
        f"SELECT {_id('task_label', 't * 2 + k')}, {org_id}, {_id('task', 't')}, "
        f"{_id('label', f'{organization} * {LABELS_PER_ORGANIZATION} + 1 + (t + k * 5) % {LABELS_PER_ORGANIZATION}')} "
        f"FROM {tasks}, generate_series(0, 1) k ORDER BY t",
        "INSERT INTO comment (id, org_id, task_id, author_kind, author_id, body, version, created_at, updated_at) "
        f"SELECT {_id('comment', 't * 8 + k')}, {org_id}, {_id('task', 't')}, 'USER', "
        f"{_id('user', person + f'(t::bigint * k * 17) % {PEOPLE_PER_ORGANIZATION}')}, "
        "'Comment ' || k || ' on task ' || t || ': looks good to me, shipping it.', 1, made, made "
        f"FROM {tasks} CROSS JOIN generate_series(1, 6) k CROSS JOIN LATERAL "
        "(SELECT '2026-03-01T00:00:00Z'::timestamptz + (t * 8 + k) * interval '1 second' AS made) moment "
        "WHERE k <= 1 + t % 6 ORDER BY t, k",
        "INSERT INTO event_counter (org_id, seq, digest) SELECT id, 0, ''::bytea FROM organization",
        f"CREATE SEQUENCE bench_task_number START {PEERS_FIRST_NUMBER} CACHE 32",
    ]


async def owner_of(settings: Settings, database: str | None = None) -> Any:
    """A connection that sees every row."""
    address = address_of(settings)
    return await asyncpg.connect(**{**address, "database": database or address["database"]}, user="postgres")


async def write(settings: Settings, size: Size) -> float:
    """Write the data set into the migrated, empty database; the seconds that it took."""
    begun = time.monotonic()
    owner = await owner_of(settings)
    try:
        async with owner.transaction():
            keys = await owner.fetch(
                "SELECT conrelid::regclass::text AS of, conname FROM pg_constraint WHERE contype = 'f'"
            )
            for of, name in keys:
                await owner.execute(f"ALTER TABLE {of} ALTER CONSTRAINT {name} NOT ENFORCED")
            ranks = ranking.following(None, size.tasks_per_project // len(STATES) + 1)
            for statement in _statements(size):
                values = [ranks] if "$1" in statement else []
                await owner.execute(statement, *values, timeout=None)
            await _write_sessions(owner)
            for of, name in keys:
                await owner.execute(f"ALTER TABLE {of} ALTER CONSTRAINT {name} ENFORCED", timeout=None)
        await owner.execute("VACUUM (ANALYZE)")
    finally:
        await owner.close()
    return time.monotonic() - begun


async def _write_sessions(owner: Any) -> None:
    people = range(1, ORGANIZATIONS * PEOPLE_PER_ORGANIZATION + 1)
    await owner.execute(
        "INSERT INTO session (id, user_id, token_digest, created_at, last_used_at, expires_at) "
        "SELECT *, now(), now(), now() + interval '30 days' FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])",
        [id_of("session", number) for number in people],
        [id_of("user", number) for number in people],
        [hashlib.sha256(token_of(number).encode()).digest() for number in people],
    )
