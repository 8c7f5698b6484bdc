"""Projects: made, changed, put away and deleted; the lock that guards what their tasks share; task numbers.

Locks are taken in one order everywhere: organization, subscription, project, task, membership, label, state, counters.
What changes the structure of a project (states, transitions, archiving) holds its row alone; a change of a task holds
it shared. What makes a project one more of those that a plan limits holds the subscription's.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, fetch_value, tx
from domain.base.errors import Conflict, Faults, Taken
from domain.base.models import check_version, save
from domain.base.permissions import Permission
from domain.base.sql import TRUE, Sql, sql
from domain.billing import limits, subscriptions
from domain.billing.plans import Feature
from domain.events.log import changes, emit
from domain.organizations import memberships
from domain.projects import queries
from domain.projects.events import (
    ProjectArchived,
    ProjectCreated,
    ProjectDeleted,
    ProjectUnarchived,
    ProjectUpdated,
)
from domain.projects.models import Project, ProjectCounter, ProjectStatus, StateCategory, WorkflowState
from domain.projects.queries import ProjectRow

_KEY = re.compile(r"[A-Z0-9]{2,6}")
_LONGEST_KEY = 6
_MADE_KEY_LENGTH = 3
# The key of a project whose name has no two letters or digits of ASCII.
_PLAIN_KEY = "PRJ"

COLORS = {
    StateCategory.BACKLOG: "#95a2b3",
    StateCategory.TODO: "#5e6ad2",
    StateCategory.IN_PROGRESS: "#f2c94c",
    StateCategory.DONE: "#4cb782",
    StateCategory.CANCELED: "#8b5e5e",
}
_DEFAULT_STATES = (
    ("Backlog", StateCategory.BACKLOG),
    ("Todo", StateCategory.TODO),
    ("In progress", StateCategory.IN_PROGRESS),
    ("Done", StateCategory.DONE),
    ("Canceled", StateCategory.CANCELED),
)


def _check(values: dict[str, Any], present: ProjectRow | None = None) -> None:
    faults = Faults()
    faults.required(values, "name", "status")
    faults.text(values.get("name"), "name", least=3, most=120)
    faults.text(values.get("description"), "description", least=0, most=10_000)
    if (key := values.get("key")) is not None and not _KEY.fullmatch(key):
        faults.add("Must be 2 to 6 characters of A-Z and 0-9.", "key")
    start, target = (
        values[name] if name in values else getattr(present, name, None) for name in ("start_date", "target_date")
    )
    if start is not None and target is not None and target < start:
        faults.add("The target date must not lie before the start date.", _last_given(values))
    faults.check()


def _last_given(values: dict[str, Any]) -> str:
    """Which of the two dates to blame: the target, unless the start alone was given."""
    return "start_date" if values.get("target_date") is None else "target_date"


def keys_for(name: str) -> Iterator[str]:
    """Keys to try for a project of this name, the best first: WEB, WEB2, WEB3, ..."""
    plain = unicodedata.normalize("NFKD", name.upper()).encode("ascii", "ignore").decode()
    start = re.sub("[^A-Z0-9]", "", plain)[:_MADE_KEY_LENGTH]
    start = start if len(start) > 1 else _PLAIN_KEY
    yield start
    for number in range(2, 10 ** (_LONGEST_KEY - 1)):
        yield f"{start[: _LONGEST_KEY - len(str(number))]}{number}"


async def _insert(project_id: UUID, org_id: UUID, key: str, values: dict[str, Any]) -> bool:
    """Whether the row was added: not when the key is taken. One that is being taken right now is waited for."""
    at = now()
    statement = sql(
        "INSERT INTO project (id, org_id, key, name, description, status, lead_id, start_date, target_date, version, "
        "created_at, updated_at) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, 1, {}, {}) "
        "ON CONFLICT (org_id, key) DO NOTHING",
        *(project_id, org_id, key, values["name"], values["description"], ProjectStatus.PLANNED.value),
        *(values["lead_id"], values["start_date"], values["target_date"], at, at),
    )
    return await execute(statement) == 1


async def _insert_under_made_key(project_id: UUID, org_id: UUID, values: dict[str, Any]) -> str:
    """Add the row under the first key that is free; the key."""
    taken = await fetch_value(sql("SELECT array_agg(key) FROM project WHERE org_id = {}", org_id)) or []
    for key in keys_for(values["name"]):
        if key not in taken and await _insert(project_id, org_id, key, values):
            return key
    raise Conflict("No key can be made from this name any more. Give one.", "key")


async def create(
    actor: Actor,
    org_id: UUID,
    *,
    name: str,
    key: str | None = None,
    description: str | None = None,
    lead_id: UUID | None = None,
    start_date: date | None = None,
    target_date: date | None = None,
) -> ProjectRow:
    """Add a project with the five default states; the row. Without `key` one is made from the name.

    Raises NotFound; Forbidden (PROJECT_CREATE); UserErrors; LimitReached (projects) when the plan has no room for
    another beside those that are not archived; Invalid (lead_id); Taken (key).
    """
    actor.require(Permission.PROJECT_CREATE, org_id=org_id)
    values: dict[str, Any] = {
        "name": name,
        "description": description,
        "start_date": start_date,
        "target_date": target_date,
    }
    _check({"key": key, **values})
    values["lead_id"] = lead_id
    project_id = new_id()
    async with tx():
        await limits.require_room(org_id, Feature.PROJECTS)
        await memberships.require_member(org_id, lead_id, "lead_id")
        if key is None:
            key = await _insert_under_made_key(project_id, org_id, values)
        elif not await _insert(project_id, org_id, key, values):
            raise Taken(f"There is a project with the key {key} already.", "key")
        await ProjectCounter.create(project_id=project_id, org_id=org_id)
        await WorkflowState.bulk_create(
            WorkflowState(
                org_id=org_id, project_id=project_id, name=title, category=category, color=COLORS[category], position=n
            )
            for n, (title, category) in enumerate(_DEFAULT_STATES)
        )
        created = ProjectCreated(subject_id=project_id, project_id=project_id, key=key, name=name, lead_id=lead_id)
        emit(actor, org_id, created)
        # Read before the commit: a key that may create but not read is refused without a trace.
        return await queries.by_ids.get(actor, project_id)


async def update(actor: Actor, project_id: UUID, *, if_version: int | None = None, **values: Any) -> ProjectRow:
    """Change name, description, status, lead_id, start_date or target_date; the row.

    Raises NotFound; Forbidden (PROJECT_UPDATE); UserErrors; Invalid (lead_id); StaleVersion; Conflict when archived.
    """
    async with tx():
        project = await open_for_tasks(actor, project_id, Permission.PROJECT_UPDATE, exclusive=True)
        check_version(project, if_version)
        _check(values, project)
        if differing := changes(project, values):
            if "lead_id" in differing:
                await memberships.require_member(project.org_id, values["lead_id"], "lead_id")
            await save(Project, project, **{name: change.now for name, change in differing.items()})
            emit(actor, project.org_id, ProjectUpdated(subject_id=project.id, project_id=project.id, **differing))
    return await queries.by_ids.get(actor, project_id)


async def archive(actor: Actor, project_id: UUID) -> ProjectRow:
    """Put a project away; the row. Once more changes nothing. Raises NotFound; Forbidden (PROJECT_UPDATE)."""
    async with tx():
        project = await queries.by_ids.get_for_update(actor, project_id, Permission.PROJECT_UPDATE)
        if project.archived_at is None:
            await save(Project, project, archived_at=now())
            emit(actor, project.org_id, ProjectArchived(subject_id=project.id, project_id=project.id))
    return await queries.by_ids.get(actor, project_id)


async def unarchive(actor: Actor, project_id: UUID) -> ProjectRow:
    """Take a project out again; the row. Once more changes nothing.

    Raises NotFound; Forbidden (PROJECT_UPDATE); LimitReached (projects).
    """
    org_id = (await queries.by_ids.get(actor, project_id)).org_id
    actor.require(Permission.PROJECT_UPDATE, org_id=org_id)
    async with tx():
        # Before the project, by the order of locks, also where it turns out to need no room.
        await subscriptions.lock(org_id)
        project = await queries.by_ids.get_for_update(actor, project_id, Permission.PROJECT_UPDATE)
        if project.archived_at is not None:
            await limits.require_room(org_id, Feature.PROJECTS)
            await save(Project, project, archived_at=None)
            emit(actor, project.org_id, ProjectUnarchived(subject_id=project.id, project_id=project.id))
    return await queries.by_ids.get(actor, project_id)


async def delete(actor: Actor, project_id: UUID) -> None:
    """Delete a project and all in it, archived or not. Raises NotFound; Forbidden (PROJECT_DELETE)."""
    async with tx():
        project = await queries.by_ids.get_for_update(actor, project_id, Permission.PROJECT_DELETE)
        await Project.filter(id=project.id).delete()
        deleted = ProjectDeleted(subject_id=project.id, project_id=project.id, key=project.key, name=project.name)
        emit(actor, project.org_id, deleted)


async def open_for_tasks(
    actor: Actor, project_id: UUID, permission: Permission, *, exclusive: bool = False, path: str = "id"
) -> ProjectRow:
    """The project, authorized and locked to the end of the transaction, so that it stays as it is.

    Shared with others that do the same, or alone when `exclusive`: for what changes the project's structure.
    Raises NotFound; Forbidden (`permission`); Conflict (`path`) when it is archived.
    """
    project = await queries.by_ids.get_for_update(actor, project_id, permission, shared=not exclusive)
    check_open(project, path)
    return project


def check_open(project: ProjectRow, path: str = "id") -> None:
    """Raises Conflict (`path`) when the project is archived."""
    if project.archived_at is not None:
        raise Conflict("The project is archived.", path)


async def next_numbers(project_id: UUID, count: int) -> range:
    """The next `count` task numbers of the project. Its counter stays locked, so no number is given twice or lost."""
    last = await fetch_value(counting(project_id, count))
    return range(last - count + 1, last + 1)


def counting(project_id: UUID, count: int, where: Sql = TRUE) -> Sql:
    """Takes the next `count` task numbers, if `where` holds; gives the last of them as `last_number`."""
    return sql(
        "UPDATE project_counter SET last_number = last_number + {} WHERE project_id = {} AND {} RETURNING last_number",
        count,
        project_id,
        where,
    )
