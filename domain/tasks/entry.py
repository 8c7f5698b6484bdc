"""How a new task comes into its project: its place is found and locked, then it gets rank, number and row.

`at_once` does all of it, the event included, in one statement, which is its own transaction: for a task that names its
state and nothing that is locked between project and state. Who may not, or names what is not there, gets nothing by it.

`find` and `insert` go by steps, inside a transaction: for all others, and to tell what stands in the way. Where nothing
is to be locked between them, project and state are locked and the last rank is read by one statement. What it reads is
as old as its wait for the locks, so the insert looks at the end of the state once more.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import asyncpg

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch, transaction
from domain.base.errors import NotFound, UserErrors
from domain.base.permissions import Permission
from domain.base.reads import ForActor, One, Statement, given
from domain.base.sql import Late, Part, Row, Sql, joined, sql
from domain.events import log
from domain.projects import queries as project_queries
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.projects.models import StateCategory
from domain.projects.queries import ProjectRow, StateRow
from domain.tasks import places, queries, updates, workflow
from domain.tasks.events import TaskCreated
from domain.tasks.queries import TaskRow

# What is shown of them most: whoever asks for more reads it. Each column costs each new task.
_PROJECT_COLUMNS = ("id", "org_id", "key", "name")
_STATE_COLUMNS = ("id", "project_id", "name", "category", "color")
# What the caller gives of the task's own columns; the rest follows from its place.
_GIVEN = {
    "id": "uuid",
    "title": "text",
    "description": "text",
    "priority": "smallint",
    "due_date": "date",
    "estimate": "int",
    "creator_kind": "text",
    "creator_id": "uuid",
}


class EnteredRow(TaskRow):
    """A new task, with its project and state as they were when it came."""


class ProjectPart(Part):
    """The project of a new task."""

    row = ProjectRow


class StatePart(Part):
    """The state of a new task."""

    row = StateRow


@dataclass(frozen=True)
class Entry:
    """The open project and the state that a task goes to, for which the caller is authorized; the project is locked."""

    org_id: UUID
    project_id: UUID
    key: str
    state_id: UUID
    category: str
    rank: str | None = None
    """Behind what was the last task of the state when its lock was asked for; None while the state is not locked."""


async def at_once(
    actor: Actor, project_id: UUID, state_id: UUID, values: Mapping[str, Any], created: TaskCreated
) -> TaskRow | None:
    """Add the task at the end of its state with the project's next number, and the event that it was created; the row.

    `values` are the columns of _GIVEN; the identifier of `created` is put in. None, and nothing has happened, when the
    caller cannot put such a task there, whatever the reason, and inside a transaction, whose events come at its end.
    """
    if transaction() is not None:
        return None
    try:
        updates.check_values(dict(values))
    except UserErrors:
        return None
    at = now()
    told = log.added(actor.ref, created, at, late=created.identifier)
    told |= {"project_id": project_id, "state_id": state_id, "at": at, **values}
    # Made for these predicates; the proof of isolation puts others in their place.
    statement = _at_once_by(project_queries.visible, project_queries.visible_states)
    try:
        rows = await statement.run(actor, told)
    except asyncpg.NotNullViolationError:
        # The log has no counter yet, or the state is at the end of all ranks.
        return None
    if not rows:
        return None
    log.tell(rows[0].org_id)
    return rows[0]


def unknown_identifier() -> str:
    """Stands for the identifier in the event of a task that has none yet. Nobody can have written it elsewhere."""
    return secrets.token_hex()


def beside(task: TaskRow) -> dict[One[Any], Part]:
    """The rows that came along with a new task, by the read that gives the like."""
    if not isinstance(task, EnteredRow):
        return {}
    return {
        project_queries.by_ids: ProjectPart(task, "project__", _PROJECT_COLUMNS),
        project_queries.states_by_ids: StatePart(task, "state__", _STATE_COLUMNS),
    }


def _creating_orgs(actor: Actor) -> list[UUID]:
    """Where the caller may create and read tasks."""
    reading = actor.orgs_with(Permission.TASK_READ)
    return [org_id for org_id in actor.orgs_with(Permission.TASK_CREATE) if org_id in reading]


@cache
def _at_once_by(visible: ForActor, visible_states: ForActor) -> Statement[EnteredRow]:
    columns = {
        "org_id": sql("place.project__org_id"),
        "project_id": sql("place.project__id"),
        "number": sql("last_number"),
        "identifier": sql("place.project__key || '-' || last_number"),
        "state_id": sql("place.state__id"),
        # Both locks are had by now, and the function sees what was placed during the wait for them.
        "rank": sql("rank_behind(place.state__id)"),
        "completed_at": sql(
            f"CASE WHEN place.state__category = '{StateCategory.DONE}' THEN {{}}::timestamptz END", given("at")
        ),
        "version": sql("1"),
        "created_at": sql("{}::timestamptz", given("at")),
        "updated_at": sql("{}::timestamptz", given("at")),
        **{name: sql(f"{{}}::{kind}", given(name)) for name, kind in _GIVEN.items()},
    }
    along = [f"project.{name} AS project__{name}" for name in _PROJECT_COLUMNS]
    along += [f"workflow_state.{name} AS state__{name}" for name in _STATE_COLUMNS]
    return Statement(
        sql(
            f"WITH place AS (SELECT {', '.join(along)} "
            "FROM project JOIN workflow_state ON workflow_state.project_id = project.id "
            "WHERE project.id = {}::uuid AND workflow_state.id = {}::uuid AND project.archived_at IS NULL "
            "AND project.org_id = ANY({}::uuid[]) AND {} AND {} "
            # Locked in the order of these words.
            "FOR SHARE OF project FOR NO KEY UPDATE OF workflow_state), "
            # Each part comes to what it locks by a row of the one before: the numbers, then the log.
            "counted AS (UPDATE project_counter SET last_number = last_number + 1 FROM place "
            "WHERE project_counter.project_id = place.project__id RETURNING last_number), "
            f"made AS (INSERT INTO task ({', '.join(columns)}) SELECT {{}} FROM place, counted "
            f"RETURNING {', '.join(queries.TASKS.columns)}), {{}} "
            "SELECT made.*, place.* FROM made, place",
            given("project_id"),
            given("state_id"),
            Late(lambda actor, _values, _place: _creating_orgs(actor)),
            visible.piece,
            visible_states.piece,
            joined(", ", columns.values()),
            log.appending("made", "made.identifier"),
        ),
        EnteredRow,
    )


async def find(
    actor: Actor, project_id: UUID, state_id: UUID | None, values: dict[str, Any], *, lock_state: bool
) -> Entry:
    """Where a task of these values goes; without `state_id` that is where tasks start. `lock_state`: it may be locked.

    Raises NotFound; Forbidden (TASK_CREATE); Conflict when the project is archived; UserErrors; Invalid.
    """
    if lock_state and state_id is not None and (entry := await _at_once(actor, project_id, state_id)):
        updates.check_values(values)
        return entry
    # One by one, which also tells what stands in the way.
    project = await projects.open_for_tasks(actor, project_id, Permission.TASK_CREATE, path="project_id")
    updates.check_values(values)
    states = await workflow_states.states_of(actor, project.id)
    state = workflow.initial(states) if state_id is None else workflow.state_of(states, state_id, "state_id")
    if lock_state and (entry := await _at_once(actor, project.id, state.id)):
        return entry
    return Entry(project.org_id, project.id, project.key, state.id, state.category)


async def _at_once(actor: Actor, project_id: UUID, state_id: UUID) -> Entry | None:
    """None when the caller cannot put a task there, whatever the reason."""
    statement = sql(
        "SELECT project.org_id, project.key, workflow_state.category, "
        "(SELECT max(task.rank) FROM task WHERE task.state_id = workflow_state.id) AS last_rank "
        "FROM project JOIN workflow_state ON workflow_state.project_id = project.id "
        "WHERE project.id = {} AND workflow_state.id = {} AND project.archived_at IS NULL "
        "AND project.org_id = ANY({}::uuid[]) AND {} AND {} "
        # Locked in the order of these words.
        "FOR SHARE OF project FOR NO KEY UPDATE OF workflow_state",
        project_id,
        state_id,
        actor.orgs_with(Permission.TASK_CREATE),
        project_queries.visible(actor),
        project_queries.visible_states(actor),
    )
    for row in await fetch(statement, Row):
        rank = await places.behind(state_id, row["last_rank"])
        return Entry(row["org_id"], project_id, row["key"], state_id, row["category"], rank)
    return None


async def insert(actor: Actor, entry: Entry, values: Mapping[str, Any]) -> TaskRow:
    """Add the task at the end of its state, with the project's next number; the row. Locks the state and the counter.

    `values` are the columns that the entry does not tell. Raises NotFound for who may not read it.
    """
    rows = await fetch(_insert(entry, entry.rank, values), TaskRow) if entry.rank else []
    if not rows:
        (rank,) = (await places.at_ends(actor, [entry.state_id])).ranks
        rows = await fetch(_insert(entry, rank, values), TaskRow)
    if entry.org_id not in actor.orgs_with(Permission.TASK_READ):
        raise NotFound(queries.TASKS.noun)
    return rows[0]


def _insert(entry: Entry, rank: str, values: Mapping[str, Any]) -> Sql:
    """Adds the task and gives its row. When the state has a task at the rank or behind it: nothing, and no number."""
    at = now()
    columns = {
        "org_id": entry.org_id,
        "project_id": entry.project_id,
        "state_id": entry.state_id,
        "rank": rank,
        "completed_at": workflow.completed_at(None, entry.category),
        "version": 1,
        "created_at": at,
        "updated_at": at,
        **values,
    }
    is_last = sql("NOT EXISTS (SELECT FROM task WHERE state_id = {} AND rank >= {}::text)", entry.state_id, rank)
    return sql(
        f"WITH counted AS ({{}}) INSERT INTO task (number, identifier, {', '.join(columns)}) "
        f"SELECT last_number, {{}}::text || '-' || last_number, {', '.join('{}' for _ in columns)} FROM counted "
        f"RETURNING {', '.join(queries.TASKS.columns)}",
        projects.counting(entry.project_id, 1, is_last),
        entry.key,
        *columns.values(),
    )
