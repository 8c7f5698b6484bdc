"""How tasks stand to each other. The organization's row lock keeps two new relations from making a cycle together."""

from collections.abc import Sequence
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import execute, fetch_value, tx
from domain.base.errors import Conflict, Invalid, LimitReached, NotFound, Taken
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.events.log import emit
from domain.organizations import queries as organizations
from domain.projects import service as projects
from domain.tasks import queries
from domain.tasks.events import TaskRelationCreated, TaskRelationDeleted
from domain.tasks.models import RelationKind, TaskRelation
from domain.tasks.queries import RelationRow

MOST_RELATIONS = 100


async def _open_projects(actor: Actor, paths: dict[UUID, str]) -> None:
    for project_id in sorted(paths):
        await projects.open_for_tasks(actor, project_id, Permission.TASK_UPDATE, path=paths[project_id])


async def create(actor: Actor, from_id: UUID, to_id: UUID, *, kind: RelationKind) -> RelationRow:
    """Relate two tasks of one organization; the row as the first sees it.

    Raises NotFound; Forbidden (TASK_UPDATE); Invalid for a task itself, one of another organization, or a cycle of
    BLOCKS; Taken; LimitReached (task_relations); Conflict when a project is archived.
    """
    relation_id = new_id()
    async with tx():
        first = await queries.by_ids.get(actor, from_id)
        actor.require(Permission.TASK_UPDATE, org_id=first.org_id)
        second = await queries.by_ids.get(actor, to_id)
        if first.org_id != second.org_id:
            raise Invalid("Must be a task of the same organization.", "to_id")
        if first.id == second.id:
            raise Invalid("A task cannot be related to itself.", "to_id")
        await organizations.by_ids.get_for_update(actor, first.org_id, Permission.TASK_UPDATE)
        await _open_projects(actor, {second.project_id: "to_id", first.project_id: "from_id"})
        # Both at once, in the order of their ids. The database would lock them for the foreign keys one by one, and
        # only when they are written: one would be had and the other waited for, against a bulk that changes both.
        held = await queries.by_ids.lock(actor, [from_id, to_id], Permission.TASK_UPDATE, shared=True)
        if len(held) < 2:
            raise NotFound(queries.TASKS.noun)
        if (held[from_id].project_id, held[to_id].project_id) != (first.project_id, second.project_id):
            raise Conflict("A task is being transferred. Try again.", "from_id")
        await _check_new(first.id, second.id, kind)
        await TaskRelation.create(id=relation_id, org_id=first.org_id, kind=kind, from_id=first.id, to_id=second.id)
        fact = TaskRelationCreated(
            subject_id=relation_id, project_id=first.project_id, kind=kind, from_id=first.id, to_id=second.id
        )
        emit(actor, first.org_id, fact)
        return await queries.relations_by_ids.get(actor, relation_id)


async def _check_new(from_id: UUID, to_id: UUID, kind: RelationKind) -> None:
    # RELATES_TO says the same in both directions.
    either = kind is RelationKind.RELATES_TO
    there = await fetch_value(
        sql(
            "SELECT true FROM task_relation WHERE kind = {} AND ((from_id, to_id) = ({}, {}) "
            "OR ({} AND (from_id, to_id) = ({}, {})))",
            kind.value,
            from_id,
            to_id,
            either,
            to_id,
            from_id,
        )
    )
    if there:
        raise Taken("The tasks are related so already.", "to_id")
    if kind is RelationKind.BLOCKS and await _blocks(to_id, from_id):
        raise Invalid("The other task already blocks this one, directly or through others.", "to_id")
    for task_id, path in ((from_id, "from_id"), (to_id, "to_id")):
        used = await fetch_value(sql("SELECT count(*) FROM task_relation WHERE {} IN (from_id, to_id)", task_id))
        if used >= MOST_RELATIONS:
            raise LimitReached("task_relations", MOST_RELATIONS, used, path)


async def _blocks(source_id: UUID, target_id: UUID) -> bool:
    """Whether the source blocks the target, directly or through others."""
    return bool(
        await fetch_value(
            sql(
                "WITH RECURSIVE blocked AS (SELECT to_id FROM task_relation WHERE kind = 'BLOCKS' AND from_id = {} "
                "UNION SELECT task_relation.to_id FROM task_relation "
                "JOIN blocked ON task_relation.from_id = blocked.to_id WHERE kind = 'BLOCKS') "
                "SELECT true FROM blocked WHERE to_id = {}",
                source_id,
                target_id,
            )
        )
    )


async def delete_all_of(task_ids: Sequence[UUID]) -> None:
    """Take away the relations of tasks that are about to go.

    The database would do so too, but in an order in which two tasks that go at once could wait for each other.
    """
    await execute(
        sql(
            "DELETE FROM task_relation WHERE id IN (SELECT id FROM task_relation WHERE from_id = ANY({}::uuid[]) "
            "OR to_id = ANY({}::uuid[]) ORDER BY id FOR UPDATE)",
            list(task_ids),
            list(task_ids),
        )
    )


async def delete(actor: Actor, relation_id: UUID) -> None:
    """Take a relation away. Raises NotFound; Forbidden (TASK_UPDATE); Conflict when a project is archived."""
    async with tx():
        seen = await queries.relations_by_ids.get(actor, relation_id)
        tasks = await queries.by_ids(actor, [seen.from_id, seen.to_id], ("project_id",))
        await _open_projects(actor, {task.project_id: "id" for task in tasks.values()})
        relation = await queries.relations_by_ids.get_for_update(actor, relation_id, Permission.TASK_UPDATE)
        await TaskRelation.filter(id=relation.id).delete()
        fact = TaskRelationDeleted(
            subject_id=relation.id,
            project_id=tasks[relation.from_id].project_id,
            kind=relation.kind,
            from_id=relation.from_id,
            to_id=relation.to_id,
        )
        emit(actor, relation.org_id, fact)
