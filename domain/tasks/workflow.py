"""What state a task may be in: the moves that the project's workflow allows, and what a state means for its task."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.errors import Invalid, TransitionNotAllowed
from domain.projects import queries as projects
from domain.projects.models import StateCategory
from domain.projects.queries import StateRow


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


async def check_move(actor: Actor, source: StateRow, target: StateRow) -> None:
    """Raises TransitionNotAllowed, with the names that are, when the workflow has no such move."""
    allowed = (await projects.allowed_next(actor, [source.id], projects.STATES.columns)).get(source.id)
    if source.id != target.id and allowed is not None and target.id not in {state.id for state in allowed}:
        raise TransitionNotAllowed(source.name, target.name, [state.name for state in allowed], "state_id")


def completed_at(before: datetime | None, category: str) -> datetime | None:
    """When a task in a state of this category counts as completed: kept while it stays done."""
    return (before or now()) if category == StateCategory.DONE else None
