"""A task goes to another project of its organization, its subtasks along with it.

Both projects are locked alone, in the order of their ids, so that no other change of these tasks runs meanwhile.
"""

from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, tx
from domain.base.errors import Conflict, Invalid
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.events.log import changes, emit
from domain.projects import queries as project_queries
from domain.projects import service as projects
from domain.projects import workflow_states
from domain.projects.queries import ProjectRow
from domain.tasks import places, queries, trees, workflow
from domain.tasks.events import TaskTransferred
from domain.tasks.models import TaskIdentifier
from domain.tasks.queries import TaskRow


async def transfer(actor: Actor, task_id: UUID, *, project_id: UUID, state_id: UUID | None = None) -> TaskRow:
    """Move the task and all below it; the row. It gets a new identifier, and the old one still finds it.

    Each goes to the end of `state_id` (the task itself) or of the first state of the category it was in. Raises
    NotFound for an unknown task or project; Forbidden (TASK_UPDATE); Invalid for its own project, one of another
    organization, or a state that is not in it; Conflict when either project is archived.
    """
    async with tx():
        seen = await queries.by_ids.get(actor, task_id)
        actor.require(Permission.TASK_UPDATE, org_id=seen.org_id)
        target = await project_queries.by_ids.get(actor, project_id)
        if target.id == seen.project_id:
            raise Invalid("The task is in this project already.", "project_id")
        if target.org_id != seen.org_id:
            raise Invalid("The project belongs to another organization.", "project_id")
        for each in sorted((seen.project_id, target.id)):
            path = "project_id" if each == target.id else "id"
            locked = await projects.open_for_tasks(actor, each, Permission.TASK_UPDATE, exclusive=True, path=path)
            target = locked if each == target.id else target
        task = await queries.by_ids.get_for_update(actor, task_id, Permission.TASK_UPDATE)
        if task.project_id != seen.project_id:
            raise Conflict("The task was transferred meanwhile. Look where it is and try again.", "id")
        await _move(actor, await trees.subtree(actor, task.id), target, state_id)
        return await queries.by_ids.get(actor, task_id)


async def _move(actor: Actor, tasks: list[TaskRow], target: ProjectRow, state_id: UUID | None) -> None:
    """Give every task, the first of which is the root, its number, state, rank and former identifier."""
    old_states = {state.id: state for state in await workflow_states.states_of(actor, tasks[0].project_id)}
    new_states = await workflow_states.states_of(actor, target.id)
    chosen = [workflow.first_of(new_states, old_states[task.state_id].category) for task in tasks]
    if state_id is not None:
        chosen[0] = workflow.state_of(new_states, state_id, "state_id")
    ranks = (await places.at_ends(actor, [state.id for state in chosen])).ranks
    numbers = await projects.next_numbers(target.id, len(tasks))
    after = [
        {
            "project_id": target.id,
            "number": number,
            "identifier": f"{target.key}-{number}",
            "state_id": state.id,
            "rank": rank,
            "parent_id": None if task is tasks[0] else task.parent_id,
            "completed_at": workflow.completed_at(task.completed_at, state.category),
        }
        for task, state, rank, number in zip(tasks, chosen, ranks, numbers, strict=True)
    ]
    await execute(
        sql(
            "UPDATE task SET project_id = {}, number = new.number, identifier = new.identifier, "
            "state_id = new.state_id, rank = new.rank, parent_id = new.parent_id, "
            "completed_at = new.completed_at, version = version + 1, "
            "updated_at = {} FROM unnest({}::uuid[], {}::int[], {}::text[], {}::uuid[], {}::text[], {}::uuid[], "
            "{}::timestamptz[]) AS new(id, number, identifier, state_id, rank, parent_id, completed_at) "
            "WHERE task.id = new.id",
            target.id,
            now(),
            [task.id for task in tasks],
            *([values[name] for values in after] for name in list(after[0])[1:]),
        )
    )
    await TaskIdentifier.bulk_create(
        [TaskIdentifier(id=new_id(), org_id=task.org_id, task_id=task.id, identifier=task.identifier) for task in tasks]
    )
    for task, values in zip(tasks, after, strict=True):
        found: dict[str, Any] = changes(task, values)
        emit(
            actor,
            task.org_id,
            TaskTransferred(
                subject_id=task.id,
                project_id=target.id,
                project=found["project_id"],
                identifier=found["identifier"],
                state_id=found["state_id"],
                parent_id=found.get("parent_id"),
                completed_at=found.get("completed_at"),
            ),
        )
