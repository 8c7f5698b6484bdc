"""What state a task may be in: the moves that the project's workflow allows, and what a state means for its task."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.errors import Invalid, TransitionNotAllowed
from domain.events.log import changes
from domain.projects import queries as projects
from domain.projects.models import StateCategory
from domain.projects.queries import StateRow
from domain.tasks.queries import TaskRow


def state_of(states: Sequence[StateRow], state_id: UUID, *path: str) -> StateRow:
    """The state with the id. Raises Invalid (`path`) when the project has none such."""
    for state in states:
        if state.id == state_id:
            return state
    raise Invalid("The project has no such state.", *path)


def first_of(states: Sequence[StateRow], *categories: str) -> StateRow:
    """The first state of the first category that has one, else the first state."""
    for category in categories:
        for state in states:
            if state.category == category:
                return state
    return states[0]


def initial(states: Sequence[StateRow]) -> StateRow:
    """Where a new task starts: Todo, or what comes nearest."""
    return first_of(states, StateCategory.TODO, StateCategory.BACKLOG)


@dataclass(frozen=True)
class Workflows:
    """The states of some projects, and what may follow those of them that are restricted."""

    states: dict[UUID, list[StateRow]]
    following: dict[UUID, list[StateRow]]

    def enter(self, task: TaskRow, state_id: UUID) -> dict[str, Any]:
        """What changes when the task goes to another state, but for its rank.

        Raises Invalid for what is no state of its project; TransitionNotAllowed, with the names that are allowed, when
        the workflow has no such move.
        """
        states = self.states.get(task.project_id, [])
        source, target = state_of(states, task.state_id), state_of(states, state_id, "state_id")
        allowed = self.following.get(source.id)
        if allowed is not None and target.id not in {state.id for state in allowed}:
            raise TransitionNotAllowed(source.name, target.name, [state.name for state in allowed], "state_id")
        return changes(task, {"state_id": target.id, "completed_at": completed_at(task.completed_at, target.category)})


async def of_tasks(actor: Actor, tasks: Sequence[TaskRow]) -> Workflows:
    """What the moves of these tasks need to know. Their projects are locked."""
    if not tasks:
        return Workflows({}, {})
    states = await projects.states_of_projects(
        actor, list({task.project_id for task in tasks}), projects.STATES.columns
    )
    left = {task.state_id for task in tasks}
    restricted = [state.id for each in states.values() for state in each if state.id in left and state.restricted]
    if not restricted:
        return Workflows(states, {})
    return Workflows(states, await projects.allowed_next(actor, restricted, projects.STATES.columns))


def completed_at(before: datetime | None, category: str) -> datetime | None:
    """When a task in a state of this category counts as completed: kept while it stays done."""
    return (before or now()) if category == StateCategory.DONE else None
