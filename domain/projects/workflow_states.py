"""Workflow states: the columns of a project's board, their order, and what may follow what.

Every change holds the project's row alone. What happens to the tasks of a state is the business of a higher feature,
which is handed in and runs before the state's own row changes: tasks are locked before states.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import execute, tx
from domain.base.database_faults import unique
from domain.base.errors import Conflict, Faults, Invalid, LimitReached, NotFound, Taken
from domain.base.models import save
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.events.log import Change, changes, emit
from domain.projects import queries
from domain.projects import service as projects
from domain.projects.events import WorkflowStateCreated, WorkflowStateDeleted, WorkflowStateUpdated
from domain.projects.models import StateCategory, WorkflowState, WorkflowTransition
from domain.projects.queries import ProjectRow, StateRow

MoveTasks = Callable[[Actor, ProjectRow, StateRow, StateRow], Awaitable[None]]
"""Puts all tasks of the first state behind those of the second."""
Recategorize = Callable[[Actor, ProjectRow, StateRow, str], Awaitable[None]]
"""Brings the tasks of a state up to the category that it is about to have."""

MOST_STATES = 30


def _taken(name: str) -> Any:
    return unique("workflow_state_name", Taken(f"The project has a state {name!r} already.", "name"))


def _check(values: dict[str, Any], last_position: int) -> None:
    faults = Faults()
    faults.required(values, "name", "category", "color", "position")
    faults.text(values.get("name"), "name", least=1, most=60)
    faults.color(values.get("color"), "color")
    faults.number(values.get("position"), "position", least=0, most=last_position)
    faults.check()


async def states_of(actor: Actor, project_id: UUID) -> list[StateRow]:
    """The project's states by position, with every column."""
    found = await queries.states_of_projects(actor, [project_id], queries.STATES.columns)
    return found.get(project_id, [])


async def _open(actor: Actor, state_id: UUID, path: str = "id") -> tuple[ProjectRow, StateRow, list[StateRow]]:
    """The state with its project, which is locked alone, and all states of the project."""
    seen = await queries.states_by_ids.get(actor, state_id)
    project = await projects.open_for_tasks(
        actor, seen.project_id, Permission.PROJECT_UPDATE, exclusive=True, path=path
    )
    states = await states_of(actor, project.id)
    for state in states:
        if state.id == state_id:
            return project, state, states
    raise NotFound(queries.STATES.noun)


async def _shift(project: ProjectRow, by: int, first: int, last: int) -> None:
    """Move the states at `first` to `last` by so many positions."""
    statement = sql(
        "UPDATE workflow_state SET position = position + {} WHERE project_id = {} AND position BETWEEN {} AND {}",
        by,
        project.id,
        first,
        last,
    )
    await execute(statement)


async def create(
    actor: Actor,
    project_id: UUID,
    *,
    name: str,
    category: StateCategory,
    color: str | None = None,
    position: int | None = None,
) -> StateRow:
    """Add a state at `position`, 0 to the number of states, or as the last one; the row.

    What may follow the present states stays as it is. Raises NotFound; Forbidden (PROJECT_UPDATE); UserErrors;
    Taken (name); LimitReached (workflow_states); Conflict when the project is archived.
    """
    state_id = new_id()
    color = projects.COLORS[category] if color is None else color
    async with tx():
        project = await projects.open_for_tasks(
            actor, project_id, Permission.PROJECT_UPDATE, exclusive=True, path="project_id"
        )
        count = len(await states_of(actor, project.id))
        position = count if position is None else position
        _check({"name": name, "color": color, "position": position}, count)
        if count >= MOST_STATES:
            raise LimitReached("workflow_states", MOST_STATES, count, "project_id")
        await _shift(project, 1, position, count)
        with _taken(name):
            await WorkflowState.create(
                id=state_id,
                org_id=project.org_id,
                project_id=project.id,
                name=name,
                category=category,
                color=color,
                position=position,
            )
        created = WorkflowStateCreated(
            subject_id=state_id, project_id=project.id, name=name, category=category, color=color, position=position
        )
        emit(actor, project.org_id, created)
    return await queries.states_by_ids.get(actor, state_id)


async def update(actor: Actor, state_id: UUID, *, recategorize: Recategorize, **values: Any) -> StateRow:
    """Change name, category, color or position; the row. The states between the old and new position move up.

    `recategorize` is called when the category differs. Raises NotFound; Forbidden (PROJECT_UPDATE); UserErrors;
    Taken (name); Conflict when the project is archived.
    """
    async with tx():
        project, state, states = await _open(actor, state_id)
        _check(values, len(states) - 1)
        if differing := changes(state, values):
            if "category" in differing:
                await recategorize(actor, project, state, values["category"])
            if "position" in differing:
                await _make_way(project, state.position, values["position"])
            with _taken(values.get("name", state.name)):
                await save(WorkflowState, state, **{name: change.now for name, change in differing.items()})
            updated = WorkflowStateUpdated(subject_id=state.id, project_id=project.id, **differing)
            emit(actor, project.org_id, updated)
    return await queries.states_by_ids.get(actor, state_id)


async def _make_way(project: ProjectRow, source: int, target: int) -> None:
    if source < target:
        await _shift(project, -1, source + 1, target)
    else:
        await _shift(project, 1, target, source - 1)


async def delete(actor: Actor, state_id: UUID, *, move_tasks_to_id: UUID, move_tasks: MoveTasks) -> None:
    """Delete a state; `move_tasks` takes its tasks to another state of the project, whatever the transitions say.

    Where it was the only one that might follow, nothing may follow now. Raises NotFound; Forbidden (PROJECT_UPDATE);
    Invalid (move_tasks_to_id); Conflict for the last state, and when the project is archived.
    """
    async with tx():
        project, state, states = await _open(actor, state_id)
        if len(states) == 1:
            raise Conflict("The last state of a project stays.", "id")
        target = next((other for other in states if other.id == move_tasks_to_id and other.id != state.id), None)
        if target is None:
            raise Invalid("Must be another state of the project.", "move_tasks_to_id")
        await move_tasks(actor, project, state, target)
        await WorkflowState.filter(id=state.id).delete()
        await _shift(project, -1, state.position + 1, len(states))
        deleted = WorkflowStateDeleted(
            subject_id=state.id, project_id=project.id, name=state.name, tasks_moved_to_id=target.id
        )
        emit(actor, project.org_id, deleted)


async def transitions_set(actor: Actor, state_id: UUID, *, allowed_ids: Sequence[UUID] | None) -> StateRow:
    """Say which states may follow, or with None that all may; the row. Repeated ids count once.

    Raises NotFound; Forbidden (PROJECT_UPDATE); Invalid (allowed_state_ids) for what is no state of the project;
    Conflict when the project is archived.
    """
    async with tx():
        project, state, states = await _open(actor, state_id, "state_id")
        wanted = None if allowed_ids is None else set(allowed_ids)
        if wanted is not None and not wanted <= {other.id for other in states}:
            raise Invalid("Must be states of the same project.", "allowed_state_ids")
        was = await _allowed_ids(actor, state)
        by_position = None if wanted is None else [other.id for other in states if other.id in wanted]
        if was != by_position:
            await _write_transitions(state, by_position)
            updated = WorkflowStateUpdated(
                subject_id=state.id, project_id=project.id, allowed_next_ids=Change(was, by_position)
            )
            emit(actor, project.org_id, updated)
    return await queries.states_by_ids.get(actor, state_id)


async def _allowed_ids(actor: Actor, state: StateRow) -> list[UUID] | None:
    following = (await queries.allowed_next(actor, [state.id], ("id",))).get(state.id)
    return None if following is None else [other.id for other in following]


async def _write_transitions(state: StateRow, allowed_ids: list[UUID] | None) -> None:
    await WorkflowTransition.filter(from_id=state.id).delete()
    await save(WorkflowState, state, restricted=allowed_ids is not None)
    await WorkflowTransition.bulk_create(
        WorkflowTransition(org_id=state.org_id, from_id=state.id, to_id=allowed_id) for allowed_id in allowed_ids or []
    )
