"""How a new task comes into its project: its place is found and locked, then it gets rank, number and row at once.

Where nothing is to be locked between them, project and state are locked and the last rank is read by one statement.
What it reads is as old as its wait for the locks, so the insert looks at the end of the state once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch
from domain.base.errors import NotFound
from domain.base.permissions import Permission
from domain.base.sql import Row, Sql, sql
from domain.projects import queries as project_queries
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.tasks import places, queries, updates, workflow
from domain.tasks.queries import TaskRow


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
