"""Writes the demo data: people through the system connection, all else through the services, as if it had happened.

People come first, in a transaction of their own, and writing them again changes nothing. All that belongs to an
organization, events included, is one transaction: a crash leaves all of it or none. Two at once wait for each other.
"""

import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from functools import partial
from inspect import cleandoc
from typing import Any
from uuid import UUID

from domain.base.actor import Actor, Standing
from domain.base.clock import frozen, ids_from
from domain.base.database import Door, acting_for, fetch_value, system, tx
from domain.base.database_faults import unique
from domain.base.errors import Taken
from domain.base.permissions import GRANTS, Permission
from domain.base.sql import sql
from domain.comments import service as comments
from domain.demo.ids import START, numbered, stream
from domain.demo.people import EVERYBODY, PASSWORD
from domain.demo.shapes import Archive, Edit, Label, Move, Person, Project, Relation, Say, Task, Tenant, day
from domain.demo.tenants import ACME, TENANTS
from domain.identity import passwords
from domain.labels import service as labels
from domain.organizations import memberships
from domain.organizations import service as organizations
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.projects.models import ProjectStatus
from domain.tasks import relations
from domain.tasks import service as tasks

SIGN_IN = f"sign in: member@acme.test / {PASSWORD}"

# Any constant does, as long as every process takes the same one and nothing else does.
_LOCK = 5_021_998_002
# When it was all written down; no row is younger.
_END = datetime(2026, 11, 19, 18, 0, tzinfo=UTC)
_WORK_BEGINS = time(8, tzinfo=UTC)
_WORKING_DAY_S = 9 * 3600
# Founding an organization asks for a session; the demo people have none yet.
_NO_SESSION = numbered(0)
_MENTION = re.compile(r"@\(([a-z]+)\)")
_IDS = {person.key: person.id for person in EVERYBODY}

Step = tuple[str, Callable[[], Awaitable[Any]]]


async def is_empty() -> bool:
    """Whether nothing was ever written; demo people whose organizations were never written do not count.

    No organization is without a user, so none but the demo's own needs to be looked for.
    """
    with acting_for([ACME.id]):
        return not await fetch_value(
            sql(
                "SELECT EXISTS (SELECT FROM users WHERE id <> ALL({}::uuid[])) "
                "OR EXISTS (SELECT FROM organization WHERE id = {})",
                list(_IDS.values()),
                ACME.id,
            )
        )


async def seed() -> bool:
    """Write the demo data; False when they were there already.

    Raises Taken when somebody else has the address of a demo person or the slug of a demo organization.
    """
    digest = await passwords.hashed(PASSWORD)
    async with system(Door.SEED) as connection:
        await _write_people(connection, digest)
    ids = stream()
    with frozen(_END), ids_from(ids), acting_for([tenant.id for tenant in TENANTS]):
        async with tx():
            # Another seeding takes longer than a request may wait for a lock.
            await fetch_value(sql("SELECT set_config('lock_timeout', '0', true)"))
            await fetch_value(sql("SELECT pg_advisory_xact_lock({})", _LOCK))
            if await fetch_value(sql("SELECT true FROM organization WHERE id = {}", ACME.id)):
                return False
            for tenant in TENANTS:
                for at, step in _timed(_Writing(tenant, ids).steps()):
                    with frozen(at):
                        await step()
    async with system(Door.SEED) as connection:
        # The demo's history has been told long ago.
        await connection.execute(
            "INSERT INTO relay_position (org_id, seq) SELECT org_id, seq FROM event_counter WHERE org_id = ANY($1) "
            "ON CONFLICT (org_id) DO UPDATE SET seq = excluded.seq",
            [tenant.id for tenant in TENANTS],
        )
        # So nothing leads to its texts either: cron's next look at what waits for long finds them.
        await connection.execute(
            "UPDATE search_pending SET since = $2 WHERE org_id = ANY($1)", [tenant.id for tenant in TENANTS], _END
        )
    return True


async def _write_people(connection: Any, digest: str) -> None:
    with unique("users_email", Taken("Somebody else has the address of a demo account.", "email")):
        await connection.executemany(
            "INSERT INTO users (id, name, email, email_verified_at, created_at, updated_at) "
            "VALUES ($1, $2, $3, $4, $4, $4) ON CONFLICT (id) DO NOTHING",
            [(person.id, person.name, person.email, START) for person in EVERYBODY],
        )
    await connection.executemany(
        "INSERT INTO credential (user_id, password_digest, updated_at) VALUES ($1, $2, $3) "
        "ON CONFLICT (user_id) DO NOTHING",
        [(person.id, digest, START) for person in EVERYBODY],
    )
    await connection.executemany(
        "INSERT INTO preferences (user_id, locale, time_zone, email_on_assignment, email_on_mention, "
        "email_on_invitation, settings, updated_at) VALUES ($1, 'en', $2, true, true, true, '{}', $3) "
        "ON CONFLICT (user_id) DO NOTHING",
        [(person.id, person.time_zone, START) for person in EVERYBODY],
    )


def _timed(steps: Iterable[Step]) -> Iterator[tuple[datetime, Callable[[], Awaitable[Any]]]]:
    """The steps by day, those of one day in their order and spread over its working hours."""
    ordered = sorted(steps, key=lambda step: step[0])
    for text, group in itertools.groupby(ordered, key=lambda step: step[0]):
        of_day = [run for _, run in group]
        gap = timedelta(seconds=_WORKING_DAY_S // (len(of_day) + 1))
        for number, run in enumerate(of_day, start=1):
            yield datetime.combine(day(text), _WORK_BEGINS) + number * gap, run


def _body(text: str) -> str:
    """The text with the ids of the people whom it mentions by key."""
    return _MENTION.sub(lambda match: f"@(user_{_IDS[match[1]].hex})", text)


class _Writing:
    """One organization while it is written: what later steps need of earlier ones."""

    def __init__(self, tenant: Tenant, ids: Iterator[UUID]) -> None:
        self._tenant = tenant
        self._ids = ids
        founder = tenant.people[0]
        self._founder = Actor.of_user(founder.id, {}, session_id=_NO_SESSION)
        self._actors = {founder.key: self._founder}
        self._labels: dict[str, UUID] = {}
        self._projects: dict[str, UUID] = {}
        self._states: dict[tuple[str, str], UUID] = {}
        self._tasks: dict[str, UUID] = {}
        self._last_comments: dict[str, UUID] = {}

    def steps(self) -> Iterator[Step]:
        """All that happens in the organization; each step after those that it needs when sorted by day."""
        tenant = self._tenant
        yield tenant.founded, self._found
        for person in tenant.people[1:]:
            yield tenant.founded, partial(self._join, person)
        for label in tenant.labels:
            yield tenant.founded, partial(self._create_label, label)
        for project in tenant.projects:
            yield project.opened, partial(self._create_project, project)
            for task in project.tasks:
                yield from self._steps_of_task(project, task)
        for relation in tenant.relations:
            yield relation.day, partial(self._relate, relation)

    def _steps_of_task(self, project: Project, task: Task) -> Iterator[Step]:
        identifier = f"{project.key}-{task.number}"
        yield task.opened, partial(self._create_task, project, task, identifier)
        for change in task.then:
            match change:
                case Move():
                    by = change.by or _mover(task)
                    yield change.day, partial(self._move, by, project.key, identifier, change.to)
                case Edit():
                    yield change.day, partial(self._edit, change, identifier)
                case Say():
                    yield change.day, partial(self._say, change, identifier)
                case Archive():
                    yield change.day, partial(self._archive, change, identifier)

    async def _found(self) -> None:
        tenant = self._tenant
        # The organization's own id is the first that its creation asks for.
        with ids_from(itertools.chain((tenant.id,), self._ids)):
            await organizations.create(self._founder, name=tenant.name, slug=tenant.slug)

    async def _join(self, person: Person) -> None:
        org_id = self._tenant.id
        await memberships.join(self._founder, org_id, person.id, role=person.role)
        self._actors[person.key] = Actor.of_user(person.id, {org_id: Standing.of_role(person.role)})

    async def _create_label(self, label: Label) -> None:
        row = await labels.create(
            self._founder, self._tenant.id, name=label.name, color=label.color, description=label.description
        )
        self._labels[label.name] = row.id

    async def _create_project(self, project: Project) -> None:
        row = await projects.create(
            self._founder,
            self._tenant.id,
            key=project.key,
            name=project.name,
            description=project.description,
            lead_id=project.lead.id,
            start_date=day(project.opened),
            target_date=day(project.target),
        )
        await projects.update(self._founder, row.id, status=ProjectStatus.ACTIVE)
        self._projects[project.key] = row.id
        for state in await workflow_states.states_of(self._founder, row.id):
            self._states[project.key, state.name] = state.id

    async def _create_task(self, project: Project, task: Task, identifier: str) -> None:
        row = await tasks.create(
            self._actors[task.by.key],
            self._projects[project.key],
            title=task.title,
            description=cleandoc(task.text) if task.text else None,
            state_id=self._states[project.key, task.state],
            priority=task.priority,
            assignee_id=task.to.id if task.to else None,
            due_date=day(task.due) if task.due else None,
            estimate=task.estimate,
            parent_id=self._tasks[f"{project.key}-{task.parent}"] if task.parent else None,
            label_ids=[self._labels[name] for name in task.labels],
        )
        self._tasks[identifier] = row.id

    async def _move(self, by: Person, key: str, identifier: str, state: str) -> None:
        await tasks.move(self._actors[by.key], self._tasks[identifier], state_id=self._states[key, state])

    async def _edit(self, edit: Edit, identifier: str) -> None:
        given: dict[str, Any] = {}
        if edit.priority is not None:
            given["priority"] = edit.priority
        if edit.due is not None:
            given["due_date"] = day(edit.due)
        await tasks.update(self._actors[edit.by.key], self._tasks[identifier], **given)

    async def _say(self, say: Say, identifier: str) -> None:
        row = await comments.create(
            self._actors[say.by.key],
            self._tasks[identifier],
            body=_body(say.body),
            reply_to_id=self._last_comments[identifier] if say.reply else None,
        )
        self._last_comments[identifier] = row.id

    async def _archive(self, archive: Archive, identifier: str) -> None:
        await tasks.archive(self._actors[archive.by.key], self._tasks[identifier])

    async def _relate(self, relation: Relation) -> None:
        await relations.create(
            self._actors[relation.by.key],
            self._tasks[relation.source],
            self._tasks[relation.target],
            kind=relation.kind,
        )


def _mover(task: Task) -> Person:
    """Who moves the task: whoever it is assigned to, as far as their role lets them."""
    if task.to is not None and Permission.TASK_UPDATE in GRANTS[task.to.role]:
        return task.to
    return task.by
