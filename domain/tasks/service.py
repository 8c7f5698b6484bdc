"""Tasks: created, changed, moved, transferred, put away and deleted.

Locks are taken in one order everywhere: organization, project, task, membership, state, counters. A change of a task
holds its project shared, so that archiving waits for it and it for archiving; what changes the shape of the tree, or
the project a task is in, holds it alone.
"""

from datetime import date
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import tx
from domain.base.errors import Conflict, Faults, Invalid
from domain.base.models import check_version, save
from domain.base.permissions import Permission
from domain.events.log import Change, changes, emit
from domain.organizations import memberships
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.projects.queries import ProjectRow
from domain.tasks import labeling, places, queries, relations, trees, workflow
from domain.tasks.events import (
    TaskArchived,
    TaskAssigned,
    TaskCreated,
    TaskDeleted,
    TaskMoved,
    TaskTransitioned,
    TaskUnarchived,
    TaskUpdated,
)
from domain.tasks.models import Priority, Task
from domain.tasks.queries import TaskRow

LARGEST_ESTIMATE = 1_000_000
_PLAIN = ("title", "description", "priority", "due_date", "estimate", "parent_id")


def _check(values: dict[str, Any]) -> None:
    faults = Faults()
    faults.required(values, "title", "state_id", "priority")
    faults.text(values.get("title"), "title", least=1, most=500)
    faults.text(values.get("description"), "description", least=0, most=100_000)
    faults.number(values.get("estimate"), "estimate", least=0, most=LARGEST_ESTIMATE)
    faults.check()


async def open_for_change(
    actor: Actor, task_id: UUID, permission: Permission, *, exclusive: bool = False
) -> tuple[ProjectRow, TaskRow]:
    """The task and its project, locked in that order and authorized.

    Raises NotFound; Forbidden (`permission`); Conflict when the project is archived, or the task left it meanwhile.
    """
    seen = await queries.by_ids.get(actor, task_id)
    project = await projects.open_for_tasks(actor, seen.project_id, permission, exclusive=exclusive)
    task = await queries.by_ids.get_for_update(actor, task_id, permission)
    if task.project_id != project.id:
        # Following it would lock a second project out of order, against a transfer that locks both.
        raise Conflict("The task is being transferred. Try again.", "id")
    return project, task


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
    async with tx():
        project = await projects.open_for_tasks(actor, project_id, Permission.TASK_CREATE, path="project_id")
        _check({"title": title, "description": description, "estimate": estimate})
        states = await workflow_states.states_of(actor, project.id)
        state = workflow.initial(states) if state_id is None else workflow.state_of(states, state_id, "state_id")
        await memberships.require_member(project.org_id, assignee_id, "assignee_id")
        if parent_id is not None:
            await trees.check_parent(actor, project.id, parent_id)
        labels = await labeling.check(actor, project.org_id, label_ids or [], "label_ids")
        await places.lock(actor, state.id)
        (rank,) = await places.at_end(state.id)
        (number,) = await projects.next_numbers(project.id, 1)
        identifier = f"{project.key}-{number}"
        await Task.create(
            id=task_id,
            org_id=project.org_id,
            project_id=project.id,
            number=number,
            identifier=identifier,
            title=title,
            description=description,
            state_id=state.id,
            priority=priority or Priority.NONE,
            assignee_id=assignee_id,
            due_date=due_date,
            estimate=estimate,
            rank=rank,
            parent_id=parent_id,
            creator_kind=actor.ref.kind,
            creator_id=actor.ref.id,
            completed_at=workflow.completed_at(None, state.category),
        )
        await labeling.add(project.org_id, task_id, labels)
        common: dict[str, Any] = {"subject_id": task_id, "project_id": project.id}
        created = TaskCreated(**common, identifier=identifier, state_id=state.id, parent_id=parent_id, title=title)
        emit(actor, project.org_id, created)
        if assignee_id is not None:
            emit(actor, project.org_id, TaskAssigned(**common, assignee_id=Change(None, assignee_id)))
        # Read before the commit: a key that may create but not read is refused without a trace.
        return await queries.by_ids.get(actor, task_id)


async def update(actor: Actor, task_id: UUID, *, if_version: int | None = None, **values: Any) -> TaskRow:
    """Change the given fields and no others; the row.

    `added_label_ids` and `removed_label_ids` change its labels. A new state puts it last there. Raises NotFound;
    Forbidden (TASK_UPDATE); UserErrors; Invalid; StaleVersion; TransitionNotAllowed; Conflict when the project is
    archived; LimitReached (task_labels).
    """
    async with tx():
        project, task = await open_for_change(
            actor, task_id, Permission.TASK_UPDATE, exclusive=values.get("parent_id") is not None
        )
        check_version(task, if_version)
        _check(values)
        differing = changes(task, {name: values[name] for name in _PLAIN if name in values})
        if (parent := differing.get("parent_id")) is not None and parent.now is not None:
            await trees.check_parent(actor, project.id, parent.now, task.id)
        labels = await labeling.change(
            actor, task, values.get("added_label_ids") or [], values.get("removed_label_ids") or []
        )
        assigned = changes(task, {"assignee_id": values["assignee_id"]} if "assignee_id" in values else {})
        if assigned:
            await memberships.require_member(task.org_id, assigned["assignee_id"].now, "assignee_id")
        moved = await _enter(actor, task, values["state_id"]) if "state_id" in values else {}
        await _write(actor, task, differing | assigned | moved, labels)
        return await queries.by_ids.get(actor, task_id)


async def _enter(actor: Actor, task: TaskRow, state_id: UUID) -> dict[str, Any]:
    """What changes when the task goes to the end of another state of its project; nothing when it is there already."""
    if state_id == task.state_id:
        return {}
    states = await workflow_states.states_of(actor, task.project_id)
    target = workflow.state_of(states, state_id, "state_id")
    await workflow.check_move(actor, workflow.state_of(states, task.state_id), target)
    await places.lock(actor, target.id)
    (rank,) = await places.at_end(target.id)
    done = workflow.completed_at(task.completed_at, target.category)
    return changes(task, {"state_id": target.id, "rank": rank, "completed_at": done})


async def _write(actor: Actor, task: TaskRow, found: dict[str, Any], labels: Change | None = None) -> None:
    """One UPDATE, and one fact for each kind of change; neither when nothing differs."""
    if not found and labels is None:
        return
    await save(Task, task, **{name: change.now for name, change in found.items()})
    common: dict[str, Any] = {"subject_id": task.id, "project_id": task.project_id}
    if "state_id" in found:
        transition = {name: found[name] for name in ("state_id", "completed_at") if name in found}
        emit(actor, task.org_id, TaskTransitioned(**common, **transition))
    elif "rank" in found:
        emit(actor, task.org_id, TaskMoved(**common, rank=found["rank"]))
    if "assignee_id" in found:
        emit(actor, task.org_id, TaskAssigned(**common, assignee_id=found["assignee_id"]))
    plain = {name: found[name] for name in _PLAIN if name in found}
    if (priority := plain.get("priority")) is not None:
        # Stored by number, but clients know it by name.
        plain["priority"] = Change(Priority(priority.was).name, Priority(priority.now).name)
    if plain or labels:
        emit(actor, task.org_id, TaskUpdated(**common, **plain, labels=labels))


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
        _, task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        check_version(task, if_version)
        if before_id is not None and after_id is not None:
            raise Invalid("Give `beforeId` or `afterId`, not both.", "after_id")
        if state_id is None and before_id is None and after_id is None:
            raise Invalid("Give a state, or a task to go beside.", "state_id")
        target_id = state_id or task.state_id
        found = await _enter(actor, task, target_id)
        if not found:
            await places.lock(actor, target_id)
        if before_id is not None or after_id is not None:
            rank = await places.beside(target_id, task.id, before_id=before_id, after_id=after_id)
            found.pop("rank", None)
            found |= changes(task, {"rank": rank})
        elif not found and await places.last_rank(target_id) != task.rank:
            (rank,) = await places.at_end(target_id)
            found = {"rank": Change(task.rank, rank)}
        await _write(actor, task, found)
        return await queries.by_ids.get(actor, task_id)


async def archive(actor: Actor, task_id: UUID) -> TaskRow:
    """Put the task away; the row. Once more changes nothing. Raises NotFound; Forbidden (TASK_UPDATE); Conflict."""
    async with tx():
        _, task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        if task.archived_at is None:
            await save(Task, task, archived_at=now())
            emit(actor, task.org_id, TaskArchived(subject_id=task.id, project_id=task.project_id))
        return await queries.by_ids.get(actor, task_id)


async def unarchive(actor: Actor, task_id: UUID) -> TaskRow:
    """Take the task out again; the row. Once more changes nothing. Raises as `archive` does."""
    async with tx():
        _, task = await open_for_change(actor, task_id, Permission.TASK_UPDATE)
        if task.archived_at is not None:
            await save(Task, task, archived_at=None)
            emit(actor, task.org_id, TaskUnarchived(subject_id=task.id, project_id=task.project_id))
        return await queries.by_ids.get(actor, task_id)


async def delete(actor: Actor, task_id: UUID) -> None:
    """Delete the task for good, with its subtasks and comments. Raises NotFound; Forbidden (TASK_DELETE); Conflict."""
    async with tx():
        _, task = await open_for_change(actor, task_id, Permission.TASK_DELETE, exclusive=True)
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
