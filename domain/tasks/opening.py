"""Tasks opened for a change: their projects locked, then they themselves, all authorized in the same step.

A change of a task holds its project shared, so that archiving waits for it and it for archiving; what changes the
shape of the tree, or the project a task is in, holds it alone. Of several rows the one with the lower id comes first.
"""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from domain.base.actor import Actor
from domain.base.errors import Conflict, NotFound
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.projects import queries as project_queries
from domain.projects import service as projects
from domain.projects.queries import ProjectRow
from domain.tasks import queries
from domain.tasks.queries import TaskRow


@dataclass(frozen=True)
class Opened:
    """What came of opening some tasks: those that are locked, and what stands in the way of the others."""

    tasks: dict[UUID, TaskRow]
    archived: dict[UUID, ProjectRow]
    """Task -> its archived project."""
    elsewhere: Collection[UUID]
    """Tasks that left their projects while these were waited for."""

    def get(self, task_id: UUID) -> TaskRow:
        """The locked task. Raises NotFound; Conflict when its project is archived, or it left the project meanwhile."""
        if task_id in self.archived:
            projects.check_open(self.archived[task_id])
        if task_id in self.elsewhere:
            # Following it would lock a project out of order, against a transfer that locks both.
            raise Conflict("The task is being transferred. Try again.", "id")
        if task_id not in self.tasks:
            raise NotFound(queries.TASKS.noun)
        return self.tasks[task_id]


async def open_all(
    actor: Actor, task_ids: Collection[UUID], permission: Permission, *, exclusive: bool = False
) -> Opened:
    """Lock the tasks and their projects; the projects shared, or all of them alone when `exclusive`.

    Raises Forbidden (`permission`) when one of the tasks is seen by the caller, who may not do this to it.
    """
    seen = await queries.by_ids(actor, list(task_ids), ("org_id", "project_id"))
    for each in seen.values():
        actor.require(permission, org_id=each.org_id)
    # Some shared and some alone would be two statements, and so two orders in which to wait.
    held = await project_queries.by_ids.lock(
        actor, {each.project_id for each in seen.values()}, permission, shared=not exclusive
    )
    put_away = {id: project for id, project in held.items() if project.archived_at is not None}
    archived = {id: put_away[each.project_id] for id, each in seen.items() if each.project_id in put_away}
    wanted = seen.keys() - archived.keys()
    in_held = sql("task.project_id = ANY({}::uuid[])", list(held.keys() - put_away.keys()))
    tasks = await queries.by_ids.lock(actor, wanted, permission, where=in_held)
    left = wanted - tasks.keys()
    elsewhere = await queries.by_ids(actor, list(left), ("id",)) if left else {}
    return Opened(tasks, archived, elsewhere.keys())


async def open_for_change(actor: Actor, task_id: UUID, permission: Permission, *, exclusive: bool = False) -> TaskRow:
    """The locked task. Raises NotFound; Forbidden (`permission`); Conflict as `Opened.get` does."""
    return (await open_all(actor, [task_id], permission, exclusive=exclusive)).get(task_id)
