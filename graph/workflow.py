"""Workflow states: the columns of a project's board, and what may follow what."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import strawberry

from domain.projects import queries
from domain.projects import workflow_states as states
from domain.projects.models import StateCategory
from domain.projects.queries import StateRow
from domain.tasks import columns as task_columns
from domain.tasks import queries as task_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, computed, count, optional, pages, required
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload
from graph.base.selection import columns
from graph.task_filters import state_task_page

if TYPE_CHECKING:
    from graph.tasks import Task


async def _allowed_next(root: StateRow, info: Info) -> Any:
    return await info.context.load(queries.allowed_next, root.id, columns(info))


@strawberry.type
class WorkflowState(Node):
    """A step of a project's work; at most 30 a project."""

    row: ClassVar[type[Any]] = StateRow
    read: ClassVar = queries.states_by_ids

    name: str = column("Unique in the project, whatever its case.")
    category: StateCategory = column("What it means.")
    color: str = column("As #rrggbb.")
    position: int = column("Its place among the project's states, from 0 on.")
    allowed_next: list["WorkflowState"] | None = computed(
        _allowed_next,
        needs=("id",),
        length=states.MOST_STATES,
        description="States that a task here may move to, by position; null where all may follow.",
    )
    tasks: Connection[Annotated["Task", strawberry.lazy("graph.tasks")]] = pages(
        task_queries.of_states, arguments=state_task_page, description="A board's column, in rank order."
    )
    task_count: int = count(task_queries.counts_of_states, description="How many tasks are here that are not archived.")


@strawberry.input
class WorkflowStateCreateInput:
    """A new state."""

    project_id: strawberry.ID = required("Where it is added.")
    name: str = required("1 to 60 characters.")
    category: StateCategory = required("What it means.")
    color: str | None = optional("As #rrggbb; the category's own when absent.")
    position: int | None = optional("From 0 on; those behind go one further. The last when absent.")


@strawberry.input
class WorkflowStateUpdateInput:
    """Changes of a state."""

    name: str | None = optional("1 to 60 characters.")
    category: StateCategory | None = optional(
        "What it means. Its tasks are completed when it becomes DONE, and open again when it no longer is."
    )
    color: str | None = optional("As #rrggbb.")
    position: int | None = optional("From 0 on; the states between the old and the new place move up.")


@strawberry.type
class WorkflowStatePayload:
    """A state after the change."""

    state: WorkflowState | None = strawberry.field(default=None, description="The state; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class WorkflowStateMutations:
    """Changes of workflows."""

    @mutation
    async def workflow_state_create(self, info: Info, input: WorkflowStateCreateInput) -> WorkflowStatePayload | None:
        """Add a state to a project. Needs PROJECT_UPDATE."""
        project_id = parse_id(input.project_id, "project", "input", "projectId")
        state = await states.create(info.context.actor, project_id, **changes(input, "project_id"))
        return WorkflowStatePayload(state=WorkflowState.of(state))

    @mutation
    async def workflow_state_update(
        self, info: Info, id: strawberry.ID, input: WorkflowStateUpdateInput
    ) -> WorkflowStatePayload | None:
        """Rename, recolor or move a state, or let it mean something else. Needs PROJECT_UPDATE."""
        state_id, values = parse_id(id, "workflow_state"), changes(input)
        state = await states.update(info.context.actor, state_id, **values, recategorize=task_columns.recategorize)
        return WorkflowStatePayload(state=WorkflowState.of(state))

    @mutation
    async def workflow_state_delete(
        self,
        info: Info,
        id: strawberry.ID,
        move_tasks_to_id: Annotated[
            strawberry.ID, strawberry.argument(description="Another state of the project, which gets the tasks.")
        ],
    ) -> DeletePayload | None:
        """Delete a state. Its tasks go to another one; the last state of a project stays. Needs PROJECT_UPDATE."""
        target_id = parse_id(move_tasks_to_id, "workflow_state", "moveTasksToId")
        await states.delete(
            info.context.actor,
            parse_id(id, "workflow_state"),
            move_tasks_to_id=target_id,
            move_tasks=task_columns.move_all,
        )
        return DeletePayload(deleted_id=id)

    @mutation
    async def workflow_transitions_set(
        self,
        info: Info,
        state_id: Annotated[strawberry.ID, strawberry.argument(description="The state that is left.")],
        allowed_state_ids: Annotated[
            list[strawberry.ID] | None,
            strawberry.argument(
                description="The states of the project that may follow. Null lifts the restriction: all may then."
            ),
        ] = None,
    ) -> WorkflowStatePayload | None:
        """Say which states may follow a state. Needs PROJECT_UPDATE."""
        allowed_ids = (
            None
            if allowed_state_ids is None
            else [parse_id(id, "workflow_state", "allowedStateIds") for id in allowed_state_ids]
        )
        state = await states.transitions_set(
            info.context.actor, parse_id(state_id, "workflow_state", "stateId"), allowed_ids=allowed_ids
        )
        return WorkflowStatePayload(state=WorkflowState.of(state))
