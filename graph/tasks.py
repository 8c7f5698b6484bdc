"""Tasks, their relations, and everything that is done with them."""

from collections.abc import Awaitable
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

import strawberry

from domain.attachments import queries as attachment_queries
from domain.attachments.service import MOST_ATTACHMENTS
from domain.base.errors import BadInput
from domain.base.permissions import Permission
from domain.comments import queries as comment_queries
from domain.events import queries as event_queries
from domain.identity import queries as identity_queries
from domain.labels import queries as label_queries
from domain.notifications import subscriptions
from domain.organizations import actors
from domain.organizations import queries as organization_queries
from domain.projects import queries as project_queries
from domain.projects.workflow_states import MOST_STATES
from domain.search.similar import similar
from domain.tasks import entry, queries, relations
from domain.tasks import service as tasks
from domain.tasks import transfer as transfers
from domain.tasks.models import Priority, RelationKind
from domain.tasks.queries import RelationRow, TaskRow
from graph.attachments import Attachment
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import (
    changes,
    column,
    computed,
    count,
    found,
    listed,
    optional,
    pages,
    query,
    required,
    to_many,
    to_one,
    viewer_permissions,
)
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload
from graph.base.selection import columns
from graph.comments import Comment, comment_page
from graph.events import Event, history_page
from graph.identity import Actor, User
from graph.labels import Label
from graph.organizations import Organization
from graph.projects import Project
from graph.task_filters import TaskFilter, TaskOrder, subtask_page, task_page
from graph.workflow import WorkflowState

if TYPE_CHECKING:
    from graph.search import SearchHit

# An index of vectors is read for each task.
SIMILAR_COST = 2

strawberry.enum(RelationKind, description="How one task stands to another.")


async def _previous_identifiers(root: TaskRow, info: Info) -> list[str]:
    return await info.context.load(queries.former_identifiers_of, root.id) or []


async def _available_transitions(root: TaskRow, info: Info) -> list[Any]:
    found: list[Any] | None = await info.context.load(project_queries.transitions_from, root.state_id, columns(info))
    return found or []


async def _viewer_is_subscribed(root: TaskRow, info: Info) -> bool:
    return bool(await info.context.load(subscriptions.are_subscribed, root.id))


async def _similar(
    root: TaskRow,
    info: Info,
    first: Annotated[int | None, strawberry.argument(description="How many: 1 to 100.")] = 5,
) -> list[Any]:
    return await info.context.load(similar, root.id, first) or []


@strawberry.type
class Task(Node):
    """One piece of work."""

    row: ClassVar[type[Any]] = TaskRow
    read: ClassVar = queries.by_ids

    identifier: str = column("For people, for example WEB-42.")
    number: int = column("Counts the tasks of the project; no number is given twice.")
    previous_identifiers: list[str] = computed(
        _previous_identifiers, needs=("id",), description="From projects it was in before; each still finds it."
    )
    organization: Organization = to_one(organization_queries.by_ids, key="org_id", description="Whose it is.")
    project: Project = to_one(project_queries.by_ids, key="project_id", description="Where it belongs.")
    title: str = column("What is to be done.")
    description: str | None = column("More about it, as Markdown.", long=True)
    state: WorkflowState = to_one(project_queries.states_by_ids, key="state_id", description="How far it is.")
    available_transitions: list[WorkflowState] = computed(
        _available_transitions,
        needs=("state_id",),
        length=MOST_STATES,
        description="States this task may move to now, by the project's workflow.",
    )
    priority: Priority = column("How urgent it is.")
    assignee: User | None = to_one(identity_queries.by_ids, key="assignee_id", description="Who does it.")
    due_date: date | None = column("The day it is to be done.")
    estimate: int | None = column("How much work it is, in the team's own unit.")
    rank: str = column("Server-owned rank inside its state; changed only by taskMove.")
    parent: "Task | None" = to_one(queries.by_ids, key="parent_id", description="The task above it.")
    subtasks: Connection["Task"] = pages(
        queries.of_parents, arguments=subtask_page, description="The tasks right below it."
    )
    labels: list[Label] = to_many(label_queries.of_tasks, description="At most 50.")
    # By their cap: tasks lead to tasks, and what a list falls short by would be multiplied at each step.
    relations: list["TaskRelation"] = to_many(
        queries.relations_of, length=relations.MOST_RELATIONS, description="At most 100."
    )
    comments: Connection[Comment] = pages(
        comment_queries.of_tasks, arguments=comment_page, description="What was said about it, oldest first."
    )
    comment_count: int = count(comment_queries.counts_of_tasks, description="How many comments it has.")
    attachments: list[Attachment] = to_many(
        attachment_queries.of_tasks, length=MOST_ATTACHMENTS, description="The oldest first; at most 100."
    )
    attachment_count: int = count(
        attachment_queries.counts_of_tasks, description="How many attachments it has, whatever their status."
    )
    history: Connection[Event] = pages(
        event_queries.of_subjects, arguments=history_page, description="What happened to it, oldest first."
    )
    creator: Actor | None = to_one(
        actors.by_refs, key=("creator_kind", "creator_id"), description="Who made it; null when that is unknown."
    )
    similar: list[Annotated["SearchHit", strawberry.lazy("graph.search")]] = computed(
        _similar,
        needs=("id",),
        cost=SIMILAR_COST,
        description="Tasks nearest in meaning in the same organization, the nearest first. It is empty as long as the "
        "task is not yet in the index, a few seconds from when it was made, and for who lacks SEARCH_READ.",
    )
    viewer_permissions: list[Permission] = viewer_permissions()
    viewer_is_subscribed: bool = computed(
        _viewer_is_subscribed,
        needs=("id",),
        description="Whether the viewer hears of comments on it: its assignee, its creator and who commented do, until "
        "they unsubscribe, and who subscribed.",
    )
    completed_at: datetime | None = column("When it came into a state that counts as done.")
    archived_at: datetime | None = column("When it was put away.")
    version: int = column("Goes up by one with each change.")
    created_at: datetime = column("When it was made.")
    updated_at: datetime = column("When it last changed.")


@strawberry.type
class TaskRelation(Node):
    """How a task stands to another."""

    row: ClassVar[type[Any]] = RelationRow
    read: ClassVar = queries.relations_by_ids

    kind: RelationKind = column("In which way.")
    inverse: bool = column("True when the other task points at this one.")
    task: Task = to_one(queries.by_ids, key="other_id", description="The other task.")


@strawberry.input
class TaskCreateInput:
    """A new task."""

    project_id: strawberry.ID = required("Where it belongs.")
    title: str = required("1 to 500 characters.")
    description: str | None = optional("At most 100,000 characters, as Markdown.")
    state_id: strawberry.ID | None = optional("Where it starts; Todo when absent.")
    priority: Priority | None = optional("NONE when absent.")
    assignee_id: strawberry.ID | None = optional("A member of the organization.")
    due_date: date | None = optional("The day it is to be done.")
    estimate: int | None = optional("0 to 1,000,000, in the team's own unit.")
    parent_id: strawberry.ID | None = optional("A task of the same project; tasks nest 5 levels deep.")
    label_ids: list[strawberry.ID] | None = optional("Labels of the organization, at most 50.")


@strawberry.input
class TaskUpdateInput:
    """Changes of a task. Absent is untouched, null clears."""

    title: str | None = optional("1 to 500 characters.")
    description: str | None = optional("At most 100,000 characters, as Markdown.")
    state_id: strawberry.ID | None = optional("Puts it last in this state, where the workflow allows that.")
    priority: Priority | None = optional("How urgent it is.")
    assignee_id: strawberry.ID | None = optional("A member of the organization.")
    due_date: date | None = optional("The day it is to be done.")
    estimate: int | None = optional("0 to 1,000,000, in the team's own unit.")
    parent_id: strawberry.ID | None = optional("A task of the same project; tasks nest 5 levels deep.")
    added_label_ids: list[strawberry.ID] | None = optional("Labels to put on it.")
    removed_label_ids: list[strawberry.ID] | None = optional("Labels to take off it.")


@strawberry.input
class TaskMoveInput:
    """`stateId` alone puts the task last there; `beforeId` or `afterId` names a task in the target state."""

    state_id: strawberry.ID | None = optional("The target state; the task's own when absent.")
    before_id: strawberry.ID | None = optional("The task that it goes right before.")
    after_id: strawberry.ID | None = optional("The task that it goes right after.")


@strawberry.type
class TaskPayload:
    """A task after the change."""

    task: Task | None = strawberry.field(default=None, description="The task; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class TaskRelationPayload:
    """A relation after the change."""

    relation: TaskRelation | None = strawberry.field(
        default=None, description="The relation as its first task sees it; null when it was refused."
    )
    errors: list[UserError] = no_errors()


IDS = {
    "state_id": "workflow_state",
    "assignee_id": "user",
    "parent_id": "task",
    "label_ids": "label",
    "added_label_ids": "label",
    "removed_label_ids": "label",
    "before_id": "task",
    "after_id": "task",
}


def _task_id(
    info: Info,
    id: strawberry.ID | None = None,
    organization_slug: Annotated[
        str | None, strawberry.argument(description="The organization's slug; goes with `identifier`.")
    ] = None,
    identifier: Annotated[
        str | None,
        strawberry.argument(description="Its identifier now or in a former project, for example WEB-42."),
    ] = None,
) -> UUID | Awaitable[UUID | None] | None:
    actor = info.context.actor
    by_name = organization_slug is not None and identifier is not None
    if (id is not None) == by_name or (organization_slug is None) != (identifier is None):
        raise BadInput("Give `id`, or `organizationSlug` and `identifier`.", path=["id"])
    if organization_slug is not None and identifier is not None:
        return queries.id_of_identifier(actor, organization_slug, identifier.upper())
    return parse_id(str(id), "task")


@strawberry.type
class TaskQueries:
    """Reads of tasks."""

    task: Task | None = found(
        queries.by_ids, key=_task_id, description="One task: by id, or by organization slug and identifier."
    )

    @query
    async def tasks(
        self,
        info: Info,
        organization_id: strawberry.ID,
        first: int | None = 20,
        after: str | None = None,
        filter: TaskFilter | None = None,
        order_by: list[TaskOrder] | None = None,
    ) -> Connection[Task]:
        """Tasks across all of an organization's projects."""
        org_id = parse_id(organization_id, "organization", "organizationId")
        info.context.actor.require(Permission.TASK_READ, org_id=org_id)
        found: Any = listed(info, queries.of_organizations, org_id, lambda: task_page(first, after, filter, order_by))
        return found  # type: ignore[no-any-return]


@strawberry.type
class TaskMutations:
    """Changes of tasks."""

    @mutation
    async def task_create(self, info: Info, input: TaskCreateInput) -> TaskPayload | None:
        """Add a task at the end of its state. Needs TASK_CREATE."""
        project_id = parse_id(input.project_id, "project", "input", "projectId")
        values = changes(input, "project_id", ids=IDS)
        task = await tasks.create(info.context.actor, project_id, **values)
        info.context.operation.keep_at_hand(entry.beside(task))
        return TaskPayload(task=Task.of(task))

    @mutation
    async def task_update(
        self, info: Info, id: strawberry.ID, input: TaskUpdateInput, if_version: int | None = None
    ) -> TaskPayload | None:
        """Change the given fields of a task and no others. Needs TASK_UPDATE."""
        values = changes(input, ids=IDS)
        task = await tasks.update(info.context.actor, parse_id(id, "task"), if_version=if_version, **values)
        return TaskPayload(task=Task.of(task))

    @mutation
    async def task_move(
        self, info: Info, id: strawberry.ID, input: TaskMoveInput, if_version: int | None = None
    ) -> TaskPayload | None:
        """Move a task to another state or place. TRANSITION_NOT_ALLOWED when the workflow has no such move."""
        values = changes(input, ids=IDS)
        task = await tasks.move(info.context.actor, parse_id(id, "task"), if_version=if_version, **values)
        return TaskPayload(task=Task.of(task))

    @mutation
    async def task_transfer(
        self,
        info: Info,
        id: strawberry.ID,
        project_id: Annotated[strawberry.ID, strawberry.argument(description="Where it goes.")],
        state_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="Its state there; when absent, the first that means the same."),
        ] = None,
    ) -> TaskPayload | None:
        """To another project of the organization, with its subtasks; it gets a new identifier and keeps the old one."""
        task = await transfers.transfer(
            info.context.actor,
            parse_id(id, "task"),
            project_id=parse_id(project_id, "project", "projectId"),
            state_id=None if state_id is None else parse_id(state_id, "workflow_state", "stateId"),
        )
        return TaskPayload(task=Task.of(task))

    @mutation
    async def task_archive(self, info: Info, id: strawberry.ID) -> TaskPayload | None:
        """Put a task away. Needs TASK_UPDATE."""
        return TaskPayload(task=Task.of(await tasks.archive(info.context.actor, parse_id(id, "task"))))

    @mutation
    async def task_unarchive(self, info: Info, id: strawberry.ID) -> TaskPayload | None:
        """Take a task out again. Needs TASK_UPDATE."""
        return TaskPayload(task=Task.of(await tasks.unarchive(info.context.actor, parse_id(id, "task"))))

    @mutation
    async def task_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """For good, with its subtasks and comments. Needs TASK_DELETE."""
        await tasks.delete(info.context.actor, parse_id(id, "task"))
        return DeletePayload(deleted_id=id)

    @mutation
    async def task_relation_create(
        self,
        info: Info,
        from_id: Annotated[strawberry.ID, strawberry.argument(description="The task that is related.")],
        to_id: Annotated[strawberry.ID, strawberry.argument(description="The task that it is related to.")],
        kind: Annotated[RelationKind, strawberry.argument(description="In which way.")],
    ) -> TaskRelationPayload | None:
        """Relate two tasks of one organization. Needs TASK_UPDATE."""
        relation = await relations.create(
            info.context.actor, parse_id(from_id, "task", "fromId"), parse_id(to_id, "task", "toId"), kind=kind
        )
        return TaskRelationPayload(relation=TaskRelation.of(relation))

    @mutation
    async def task_relation_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Take a relation away. Needs TASK_UPDATE."""
        await relations.delete(info.context.actor, parse_id(id, "task_relation"))
        return DeletePayload(deleted_id=id)
