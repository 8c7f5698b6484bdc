"""Tasks: created, changed, moved, transferred, put away and deleted.

Locks are taken in one order everywhere: organization, subscription, project, task, membership, label, state, counters.
"""

from datetime import date
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import tx
from domain.base.errors import Invalid
from domain.base.models import check_version, save
from domain.base.permissions import Permission
from domain.events.log import Change, emit
from domain.organizations import memberships
from domain.tasks import entry, labeling, places, queries, relations, trees, updates, workflow
from domain.tasks.events import (
    TaskArchived,
    TaskAssigned,
    TaskCreated,
    TaskDeleted,
    TaskUnarchived,
)
from domain.tasks.models import Priority, Task
from domain.tasks.opening import open_for_change
from domain.tasks.queries import TaskRow
from domain.tasks.updates import Asked, Plan


async def create(
    actor: Actor,
    project_id: UUID,
    *,
    title: str,
    description: str | None = None,
    state_id: UUID | None = None,
    priority: Priority | None = None,
    assignee_id: UUID | None = None,
    due_date: date | None = None,
    estimate: int | None = None,
    parent_id: UUID | None = None,
    label_ids: list[UUID] | None = None,
) -> TaskRow:
    """Add a task at the end of its state; the row.

    Raises NotFound; Forbidden (TASK_CREATE); UserErrors; Invalid; Conflict when the project is archived;
    LimitReached (task_labels).
    """
    task_id = new_id()
    written = {"title": title, "description": description, "estimate": estimate}
    own = {
        **written,
        "id": task_id,
        "priority": priority or Priority.NONE,
        "due_date": due_date,
        "creator_kind": actor.ref.kind,
        "creator_id": actor.ref.id,
    }
    common: dict[str, Any] = {"subject_id": task_id, "project_id": project_id}
    if state_id is not None and assignee_id is None and parent_id is None and not label_ids:
        identifier = entry.unknown_identifier()
        created = TaskCreated(**common, identifier=identifier, state_id=state_id, title=title)
        if (task := await entry.at_once(actor, project_id, state_id, own, created)) is not None:
            return task
    async with tx():
        # A membership and labels are locked before the state.
        lock_state = assignee_id is None and not label_ids
        place = await entry.find(actor, project_id, state_id, written, lock_state=lock_state)
        await memberships.require_member(place.org_id, assignee_id, "assignee_id")
        if parent_id is not None:
            (await trees.around(actor, [parent_id])).check_parent(project_id, parent_id)
        labels = await labeling.check(actor, place.org_id, label_ids or [], "label_ids")
        # A key that may create but not read is refused here, before the commit, and so without a trace.
        task = await entry.insert(actor, place, {**own, "assignee_id": assignee_id, "parent_id": parent_id})
        await labeling.write({task_id: task.org_id}, {task_id: Change([], labels)})
        created = TaskCreated(
            **common, identifier=task.identifier, state_id=task.state_id, parent_id=parent_id, title=title
        )
        emit(actor, task.org_id, created)
        if assignee_id is not None:
            emit(actor, task.org_id, TaskAssigned(**common, assignee_id=Change(None, assignee_id)))
        return task


async def update(actor: Actor, task_id: UUID, *, if_version: int | None = None, **values: Any) -> TaskRow:
    """Change the given fields and no others; the row.

    `added_label_ids` and `removed_label_ids` change its labels. A new state puts it last there. Raises NotFound;
    Forbidden (TASK_UPDATE); UserErrors; Invalid; StaleVersion; TransitionNotAllowed; Conflict when the project is
    archived; LimitReached (task_labels).
    """
    async with tx():
        (found,) = await updates.plan(actor, [Asked(task_id, values, if_version)])
        if not isinstance(found, Plan):
            raise found
        return (await updates.write(actor, [found]))[task_id]


async def move(
    actor: Actor,
    task_id: UUID,
    *,
    state_id: UUID | None = None,
    before_id: UUID | None = None,
    after_id: UUID | None = None,
    if_version: int | None = None,
) -> TaskRow:
    """Put the task last in a state, or beside another task of the target state; the row.

    The target is `state_id`, else the state the task is in. Raises NotFound; Forbidden (TASK_UPDATE); Invalid when
    both neighbors or nothing is given, or the neighbor is elsewhere; StaleVersion; TransitionNotAllowed; Conflict when
    the project is archived.
    """
    async with tx():
        task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        check_version(task, if_version)
        if before_id is not None and after_id is not None:
            raise Invalid("Give `beforeId` or `afterId`, not both.", "after_id")
        if state_id is None and before_id is None and after_id is None:
            raise Invalid("Give a state, or a task to go beside.", "state_id")
        target_id = state_id or task.state_id
        found: dict[str, Change] = {}
        if target_id != task.state_id:
            found = (await workflow.of_tasks(actor, [task])).enter(task, target_id)
        if before_id is not None or after_id is not None or not found:
            await places.lock(actor, target_id)
            if before_id is None and after_id is None:
                rank = await places.to_end(target_id, task.rank)
            else:
                rank = await places.beside(target_id, task.id, before_id=before_id, after_id=after_id)
            if found or rank != task.rank:
                found["rank"] = Change(task.rank, rank)
        return (await updates.write(actor, [Plan(task, found)]))[task_id]


async def archive(actor: Actor, task_id: UUID) -> TaskRow:
    """Put the task away; the row. Once more changes nothing. Raises NotFound; Forbidden (TASK_UPDATE); Conflict."""
    async with tx():
        task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        if task.archived_at is None:
            await save(Task, task, archived_at=now())
            emit(actor, task.org_id, TaskArchived(subject_id=task.id, project_id=task.project_id))
        return await queries.by_ids.get(actor, task_id)


async def unarchive(actor: Actor, task_id: UUID) -> TaskRow:
    """Take the task out again; the row. Once more changes nothing. Raises as `archive` does."""
    async with tx():
        task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        if task.archived_at is not None:
            await save(Task, task, archived_at=None)
            emit(actor, task.org_id, TaskUnarchived(subject_id=task.id, project_id=task.project_id))
        return await queries.by_ids.get(actor, task_id)


async def delete(actor: Actor, task_id: UUID) -> None:
    """Delete the task for good, with its subtasks and comments. Raises NotFound; Forbidden (TASK_DELETE); Conflict."""
    async with tx():
        task = await open_for_change(actor, task_id, Permission.TASK_DELETE, exclusive=True)
        gone = await trees.subtree(actor, task.id)
        await relations.delete_all_of([each.id for each in gone])
        await Task.filter(id=task.id).delete()
        for each in gone:
            emit(
                actor,
                each.org_id,
                TaskDeleted(
                    subject_id=each.id, project_id=each.project_id, identifier=each.identifier, title=each.title
                ),
            )
