"""Reads of tasks, their relations and identifiers."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.paging import Key, KeyKind, Order
from domain.base.permissions import Permission
from domain.base.reads import Columns, Counts, One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row, sql


class TaskRow(Row):
    """A task."""

    id: UUID
    org_id: UUID
    project_id: UUID
    number: int
    identifier: str
    title: str
    description: str | None
    state_id: UUID
    priority: int
    assignee_id: UUID | None
    due_date: date | None
    estimate: int | None
    rank: str
    parent_id: UUID | None
    creator_kind: str
    creator_id: UUID | None
    completed_at: datetime | None
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class RelationRow(Row):
    """A relation, seen from one of its ends: `other_id` is the task at the other."""

    id: UUID
    org_id: UUID
    kind: str
    from_id: UUID
    to_id: UUID
    inverse: bool
    other_id: UUID


TASKS = Table("task", TaskRow)
RELATIONS = Table("task_relation", RelationRow, computed={"inverse": "false", "other_id": "task_relation.to_id"})

BY_STATE_AND_RANK = Order(
    (
        Key("workflow_state.position", KeyKind.NUMBER),
        Key("task.rank", KeyKind.TEXT),
        Key("task.id", KeyKind.UUID),
    ),
    join="JOIN workflow_state ON workflow_state.id = task.state_id",
)
BY_RANK = Order((Key("task.rank", KeyKind.TEXT), Key("task.id", KeyKind.UUID)))
SORTS = {
    "RANK": Key("task.rank", KeyKind.TEXT),
    "CREATED_AT": Key("task.created_at", KeyKind.INSTANT),
    "UPDATED_AT": Key("task.updated_at", KeyKind.INSTANT),
    "DUE_DATE": Key("task.due_date", KeyKind.DAY, nullable=True),
    "PRIORITY": Key("task.priority", KeyKind.NUMBER),
    "NUMBER": Key("task.number", KeyKind.NUMBER),
}


visible = for_actor("task.org_id = ANY({}::uuid[])", orgs_with(Permission.TASK_READ))
"""The tasks that the caller reads."""

visible_relations = for_actor("task_relation.org_id = ANY({}::uuid[])", orgs_with(Permission.TASK_READ))
"""The relations of tasks that the caller reads."""

by_ids = One(TASKS, visible)
of_projects = Pages(TASKS, visible, key="task.project_id")
of_states = Pages(TASKS, visible, key="task.state_id")
of_organizations = Pages(TASKS, visible, key="task.org_id")
of_assignees = Pages(TASKS, visible, key="task.assignee_id")
of_parents = Pages(TASKS, visible, key="task.parent_id")
counts_of_states = Counts(TASKS, visible, key="task.state_id", where="task.archived_at IS NULL")
relations_by_ids = One(RELATIONS, visible_relations)


async def relations_of(actor: Actor, task_ids: Sequence[UUID], _columns: Columns) -> dict[UUID, list[RelationRow]]:
    """Task -> its relations in either direction, oldest first."""
    statement = sql(
        "SELECT parent.key AS parent_key, task_relation.*, task_relation.to_id = parent.key AS inverse, "
        "CASE task_relation.to_id WHEN parent.key THEN task_relation.from_id ELSE task_relation.to_id END AS other_id "
        "FROM unnest({}::uuid[]) AS parent(key) "
        "JOIN task_relation ON parent.key IN (task_relation.from_id, task_relation.to_id) WHERE {} "
        "ORDER BY task_relation.id",
        list(task_ids),
        visible_relations(actor),
    )
    found: dict[UUID, list[RelationRow]] = {}
    for row in await fetch(statement, RelationRow):
        found.setdefault(row["parent_key"], []).append(row)
    return found


async def former_identifiers_of(actor: Actor, task_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Task -> the identifiers it had in other projects, oldest first."""
    statement = sql(
        "SELECT task_identifier.task_id, task_identifier.identifier FROM task_identifier "
        "JOIN task ON task.id = task_identifier.task_id "
        "WHERE task_identifier.task_id = ANY({}::uuid[]) AND {} ORDER BY task_identifier.id",
        list(task_ids),
        visible(actor),
    )
    found: dict[UUID, list[str]] = {}
    for row in await fetch(statement, Row):
        found.setdefault(row["task_id"], []).append(row["identifier"])
    return found


async def progress_of_projects(actor: Actor, project_ids: Sequence[UUID]) -> dict[UUID, float]:
    """Project -> completed tasks over all that are neither canceled nor archived, 0.0 to 1.0; none is left out."""
    statement = sql(
        "SELECT task.project_id, count(*) FILTER (WHERE workflow_state.category = 'DONE') AS done, count(*) AS all "
        "FROM task JOIN workflow_state ON workflow_state.id = task.state_id "
        "WHERE task.project_id = ANY({}::uuid[]) AND task.archived_at IS NULL "
        "AND workflow_state.category <> 'CANCELED' AND {} GROUP BY 1",
        list(project_ids),
        visible(actor),
    )
    return {row["project_id"]: row["done"] / row["all"] for row in await fetch(statement, Row)}


async def id_of_identifier(actor: Actor, slug: str, identifier: str) -> UUID | None:
    """The task that bears the identifier, or else bore it last; None when the caller sees none."""
    statement = sql(
        "SELECT task.id, 0 AS former, NULL::uuid AS since FROM task "
        "JOIN organization ON organization.id = task.org_id "
        "WHERE organization.slug = {} AND task.identifier = {} AND {} "
        "UNION ALL "
        "SELECT task.id, 1, task_identifier.id FROM task_identifier JOIN task ON task.id = task_identifier.task_id "
        "JOIN organization ON organization.id = task.org_id "
        "WHERE organization.slug = {} AND task_identifier.identifier = {} AND {} "
        "ORDER BY former, since DESC LIMIT 1",
        *(slug, identifier, visible(actor)) * 2,
    )
    rows: list[Any] = await fetch(statement, Row)
    return rows[0]["id"] if rows else None
