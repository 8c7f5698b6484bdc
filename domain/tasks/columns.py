"""What happens to the tasks of a state when the state itself is deleted or comes to mean something else.

The project is locked alone by the caller.
"""

from typing import Any

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import execute, fetch
from domain.base.sql import sql
from domain.events.log import Change, emit
from domain.projects.queries import ProjectRow, StateRow
from domain.tasks import places, queries, workflow
from domain.tasks.events import TaskTransitioned, TaskUpdated
from domain.tasks.queries import TaskRow


async def _tasks_in(actor: Actor, state: StateRow) -> list[TaskRow]:
    """All tasks of the state, whether or not the caller may read them: none may be left behind."""
    listed = queries.TASKS.select(actor, queries.TASKS.columns)
    return await fetch(
        sql(
            "SELECT {} FROM task WHERE task.state_id = {} AND task.org_id = {} ORDER BY task.rank",
            listed,
            state.id,
            state.org_id,
        ),
        TaskRow,
    )


async def move_all(actor: Actor, project: ProjectRow, source: StateRow, target: StateRow) -> None:
    """Put all tasks of `source` behind those of `target`, in their order."""
    tasks = await _tasks_in(actor, source)
    if not tasks:
        return
    done = [workflow.completed_at(task.completed_at, target.category) for task in tasks]
    await execute(
        sql(
            "UPDATE task SET state_id = {}, rank = new.rank, completed_at = new.completed_at, version = version + 1, "
            "updated_at = {} FROM unnest({}::uuid[], {}::text[], {}::timestamptz[]) AS new(id, rank, completed_at) "
            "WHERE task.id = new.id",
            target.id,
            now(),
            [task.id for task in tasks],
            (await places.at_ends(actor, [target.id] * len(tasks))).ranks,
            done,
        )
    )
    for task, completed_at in zip(tasks, done, strict=True):
        emit(
            actor,
            project.org_id,
            TaskTransitioned(
                subject_id=task.id,
                project_id=project.id,
                state_id=Change(source.id, target.id),
                completed_at=_differing(task, completed_at),
            ),
        )


async def recategorize(actor: Actor, project: ProjectRow, state: StateRow, category: str) -> None:
    """Complete the tasks of a state that comes to mean done, and the reverse."""
    tasks = [
        task
        for task in await _tasks_in(actor, state)
        if workflow.completed_at(task.completed_at, category) != task.completed_at
    ]
    if not tasks:
        return
    completed_at = workflow.completed_at(None, category)
    await execute(
        sql(
            "UPDATE task SET completed_at = {}, version = version + 1, updated_at = {} WHERE id = ANY({}::uuid[])",
            completed_at,
            now(),
            [task.id for task in tasks],
        )
    )
    for task in tasks:
        change = _differing(task, completed_at)
        emit(actor, project.org_id, TaskUpdated(subject_id=task.id, project_id=project.id, completed_at=change))


def _differing(task: TaskRow, completed_at: Any) -> Change | None:
    return None if task.completed_at == completed_at else Change(task.completed_at, completed_at)
