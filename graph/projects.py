"""Projects: what an organization works on."""

from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

import strawberry

from domain.base.paging import PageRequest
from domain.base.permissions import Permission
from domain.identity import queries as identity_queries
from domain.organizations import queries as organization_queries
from domain.projects import queries
from domain.projects import service as projects
from domain.projects.models import ProjectStatus
from domain.projects.queries import ProjectRow, StateRow
from domain.tasks import queries as task_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import (
    changes,
    column,
    computed,
    count,
    found,
    itself,
    optional,
    pages,
    required,
    to_many,
    to_one,
    viewer_permissions,
)
from graph.base.ids import parse_id
from graph.base.nodes import FromRow, Node
from graph.base.ordering import OrderDirection
from graph.base.paging import Connection
from graph.base.payloads import DeletePayload
from graph.base.selection import columns
from graph.identity import User
from graph.task_filters import project_task_page
from graph.workflow import WorkflowState

if TYPE_CHECKING:
    from graph.organizations import Organization
    from graph.tasks import Task

strawberry.enum(ProjectStatus, description="Where a project stands.")


@strawberry.type
class StateCount(FromRow):
    """How many tasks a state has."""

    row: ClassVar[type[Any]] = StateRow

    state: WorkflowState = itself("The state.")
    count: int = count(task_queries.counts_of_states, description="Its tasks that are not archived.")


async def _task_counts(root: ProjectRow, info: Info) -> Any:
    # The count's own columns and those of its state are read from one row.
    names = tuple(sorted({*columns(info), *columns(info, "WorkflowState")}))
    return await info.context.load(queries.states_of_projects, root.id, names) or []


async def _progress(root: ProjectRow, info: Info) -> float:
    return await info.context.load(task_queries.progress_of_projects, root.id) or 0.0


@strawberry.type
class Project(Node):
    """A piece of work with tasks."""

    row: ClassVar[type[Any]] = ProjectRow
    read: ClassVar = queries.by_ids

    organization: Annotated["Organization", strawberry.lazy("graph.organizations")] = to_one(
        organization_queries.by_ids, key="org_id", description="Whose it is."
    )
    key: str = column("Short upper-case prefix of the task identifiers, unique in the organization, for example WEB.")
    name: str = column("What it is called.")
    description: str | None = column("What it is about, as Markdown.", long=True)
    status: ProjectStatus = column("Where it stands.")
    lead: User | None = to_one(identity_queries.by_ids, key="lead_id", description="Who answers for it.")
    start_date: date | None = column("The day it begins.")
    target_date: date | None = column("The day it is to be done.")
    archived_at: datetime | None = column("When it was put away; nothing in it changes then.")
    version: int = column("Goes up by one with each change.")
    created_at: datetime = column("When it was made.")
    updated_at: datetime = column("When it last changed.")
    states: list[WorkflowState] = to_many(
        queries.states_of_projects, description="The columns of its board, by position; 1 to 30."
    )
    tasks: Connection[Annotated["Task", strawberry.lazy("graph.tasks")]] = pages(
        task_queries.of_projects, arguments=project_task_page, description="By state and rank, or as asked."
    )
    task_counts: list[StateCount] = computed(
        _task_counts, needs=("id",), description="One for each state, by position."
    )
    viewer_permissions: list[Permission] = viewer_permissions()
    progress: float = computed(
        _progress,
        needs=("id",),
        description="Completed tasks over all tasks that are not canceled, 0.0 to 1.0; 0.0 for none.",
    )


@strawberry.enum(description="What projects can be sorted by.")
class ProjectOrderField(Enum):
    """The names of the sorts in domain.projects.queries.SORTS."""

    CREATED_AT = "CREATED_AT"
    UPDATED_AT = "UPDATED_AT"
    NAME = "NAME"
    TARGET_DATE = "TARGET_DATE"


@strawberry.input
class ProjectOrder:
    """One thing to sort by. Projects without it come last in both directions."""

    field: ProjectOrderField = required("What to sort by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


def project_page(
    first: int | None = 20,
    after: str | None = None,
    include_archived: Annotated[
        bool | None, strawberry.argument(description="Whether those that were put away are listed too.")
    ] = False,
    order_by: list[ProjectOrder] | None = None,
) -> PageRequest:
    """Projects A to Z, or as asked."""
    sorts = [(order.field.value, order.direction is OrderDirection.DESC) for order in order_by or []]
    return queries.asked(first=first, after=after, include_archived=bool(include_archived), sorts=sorts)


@strawberry.input
class ProjectCreateInput:
    """A new project."""

    organization_id: strawberry.ID = required("Where it is added.")
    name: str = required("3 to 120 characters.")
    key: str | None = optional("2 to 6 characters of A-Z and 0-9; made from the name when absent. It stays for good.")
    description: str | None = optional("At most 10,000 characters, as Markdown.")
    lead_id: strawberry.ID | None = optional("A member of the organization.")
    start_date: date | None = optional("The day it begins.")
    target_date: date | None = optional("The day it is to be done, not before it begins.")


@strawberry.input
class ProjectUpdateInput:
    """Changes of a project."""

    name: str | None = optional("3 to 120 characters.")
    description: str | None = optional("At most 10,000 characters, as Markdown.")
    status: ProjectStatus | None = optional("Where it stands.")
    lead_id: strawberry.ID | None = optional("A member of the organization.")
    start_date: date | None = optional("The day it begins.")
    target_date: date | None = optional("The day it is to be done, not before it begins.")


@strawberry.type
class ProjectPayload:
    """A project after the change."""

    project: Project | None = strawberry.field(default=None, description="The project; null when it was refused.")
    errors: list[UserError] = no_errors()


_IDS = {"lead_id": "user"}


def _project_id(_info: Info, id: strawberry.ID) -> UUID:
    return parse_id(id, "project")


@strawberry.type
class ProjectQueries:
    """Reads of projects."""

    project: Project | None = found(
        queries.by_ids,
        key=_project_id,
        description="A project by its id; null when there is no such project for the viewer.",
    )


@strawberry.type
class ProjectMutations:
    """Changes of projects."""

    @mutation
    async def project_create(self, info: Info, input: ProjectCreateInput) -> ProjectPayload | None:
        """Add a project with five states: Backlog, Todo, In progress, Done and Canceled. Needs PROJECT_CREATE."""
        org_id = parse_id(input.organization_id, "organization", "input", "organizationId")
        values = changes(input, "organization_id", ids=_IDS)
        return ProjectPayload(project=Project.of(await projects.create(info.context.actor, org_id, **values)))

    @mutation
    async def project_update(
        self, info: Info, id: strawberry.ID, input: ProjectUpdateInput, if_version: int | None = None
    ) -> ProjectPayload | None:
        """Change the given fields of a project and no others. Needs PROJECT_UPDATE."""
        values = changes(input, ids=_IDS)
        project = await projects.update(info.context.actor, parse_id(id, "project"), if_version=if_version, **values)
        return ProjectPayload(project=Project.of(project))

    @mutation
    async def project_archive(self, info: Info, id: strawberry.ID) -> ProjectPayload | None:
        """Put a project away; nothing in it changes then. Once more changes nothing. Needs PROJECT_UPDATE."""
        project = await projects.archive(info.context.actor, parse_id(id, "project"))
        return ProjectPayload(project=Project.of(project))

    @mutation
    async def project_unarchive(self, info: Info, id: strawberry.ID) -> ProjectPayload | None:
        """Take a project out again. Once more changes nothing. Needs PROJECT_UPDATE."""
        project = await projects.unarchive(info.context.actor, parse_id(id, "project"))
        return ProjectPayload(project=Project.of(project))

    @mutation
    async def project_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Delete a project and all in it. Needs PROJECT_DELETE."""
        await projects.delete(info.context.actor, parse_id(id, "project"))
        return DeletePayload(deleted_id=id)
