"""Plain Strawberry over Tortoise, as their documentation shows them together with data loaders."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.types import Info
from tortoise import Tortoise, connections
from tortoise.functions import Count
from tortoise.models import Model

from bench.peers import tables
from bench.peers.tables import Comments, Projects, States, TaskLabels, Tasks, Users


@strawberry.enum
class Priority(Enum):
    """How urgent a task is."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    URGENT = 4


@strawberry.type
class User:
    """A person."""

    id: strawberry.ID
    name: str
    email: str


@strawberry.type
class WorkflowState:
    """A workflow state."""

    id: strawberry.ID
    name: str


@strawberry.type
class Label:
    """A label."""

    id: strawberry.ID
    name: str


@strawberry.type
class Comment:
    """A comment."""

    id: strawberry.ID
    body: str
    author_id: strawberry.Private[UUID | None]

    @strawberry.field
    async def author(self, info: Info) -> User | None:
        """Who wrote it."""
        return None if self.author_id is None else await info.context["users"].load(self.author_id)


@strawberry.type
class Project:
    """A project."""

    id: strawberry.ID
    name: str

    @strawberry.field
    async def tasks(self, first: int = 20) -> list["Task"]:
        """Its tasks."""
        return [_task(row) for row in await Tasks.filter(project_id=self.id).order_by("number").limit(first)]


@strawberry.type
class Task:
    """A task."""

    id: strawberry.ID
    identifier: str
    number: int
    title: str
    description: str | None
    priority: Priority
    estimate: int | None
    due_date: date | None
    created_at: datetime
    updated_at: datetime
    version: int
    key: strawberry.Private[UUID]
    project_id: strawberry.Private[UUID]
    state_id: strawberry.Private[UUID]
    assignee_id: strawberry.Private[UUID | None]

    @strawberry.field
    async def state(self, info: Info) -> WorkflowState:
        """How far it is."""
        return await info.context["states"].load(self.state_id)  # type: ignore[no-any-return]

    @strawberry.field
    async def project(self, info: Info) -> Project:
        """Where it belongs."""
        return await info.context["projects"].load(self.project_id)  # type: ignore[no-any-return]

    @strawberry.field
    async def assignee(self, info: Info) -> User | None:
        """Who does it."""
        return None if self.assignee_id is None else await info.context["users"].load(self.assignee_id)

    @strawberry.field
    async def labels(self, info: Info) -> list[Label]:
        """Its labels."""
        return await info.context["labels"].load(self.key)  # type: ignore[no-any-return]

    @strawberry.field
    async def comment_count(self, info: Info) -> int:
        """How many comments it has."""
        return await info.context["comment_counts"].load(self.key)  # type: ignore[no-any-return]

    @strawberry.field
    async def comments(self, info: Info, last: int = 20) -> list[Comment]:
        """The latest, oldest first."""
        return await info.context["comments"].load((self.key, last))  # type: ignore[no-any-return]


def _task(row: Tasks) -> Task:
    return Task(
        id=strawberry.ID(str(row.id)),
        identifier=row.identifier,
        number=row.number,
        title=row.title,
        description=row.description,
        priority=Priority(row.priority),
        estimate=row.estimate,
        due_date=row.due_date,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
        key=row.id,
        project_id=row.project_id,
        state_id=row.state_id,
        assignee_id=row.assignee_id,
    )


def _by_id(model: type[Model], shown: type[Any], *columns: str) -> Callable[[Sequence[UUID]], Awaitable[list[Any]]]:
    async def load(ids: Sequence[UUID]) -> list[Any]:
        rows = {row.pk: row for row in await model.filter(id__in=list(ids))}
        return [
            shown(id=strawberry.ID(str(id)), **{name: getattr(rows[id], name) for name in columns})
            if id in rows
            else None
            for id in ids
        ]

    return load


async def _labels(ids: Sequence[UUID]) -> list[list[Label]]:
    found: dict[UUID, list[Label]] = {id: [] for id in ids}
    for row in await TaskLabels.filter(task_id__in=list(ids)).order_by("label__name").select_related("label"):
        found[row.task_id].append(Label(id=strawberry.ID(str(row.label.id)), name=row.label.name))
    return list(found.values())


async def _comment_counts(ids: Sequence[UUID]) -> list[int]:
    counted = Comments.filter(task_id__in=list(ids)).annotate(n=Count("id")).group_by("task_id")
    found = {row["task_id"]: row["n"] for row in await counted.values("task_id", "n")}
    return [found.get(id, 0) for id in ids]


async def _comments(keys: Sequence[tuple[UUID, int]]) -> list[list[Comment]]:
    found: dict[UUID, list[Comment]] = {id: [] for id, _ in keys}
    for row in await Comments.filter(task_id__in=list(found)).order_by("created_at", "id"):
        found[row.task_id].append(Comment(id=strawberry.ID(str(row.id)), body=row.body, author_id=row.author_id))
    return [found[id][-last:] for id, last in keys]


@strawberry.type
class Query:
    """Reads."""

    @strawberry.field
    async def viewer(self, info: Info) -> User | None:
        """Who asks."""
        return await info.context["users"].load(info.context["caller"])  # type: ignore[no-any-return]

    @strawberry.field
    async def task(self, id: strawberry.ID) -> Task | None:
        """One task."""
        row = await Tasks.get_or_none(id=id)
        return _task(row) if row else None

    @strawberry.field
    async def project(self, id: strawberry.ID) -> Project | None:
        """One project."""
        row = await Projects.get_or_none(id=id)
        return Project(id=strawberry.ID(str(row.id)), name=row.name) if row else None

    @strawberry.field
    async def tasks(self, organization_id: strawberry.ID, first: int = 20) -> list[Task]:
        """The tasks of an organization."""
        rows = await Tasks.filter(org_id=organization_id).order_by("updated_at", "id").limit(first)
        return [_task(row) for row in rows]


@strawberry.input
class TaskCreateInput:
    """A new task."""

    project_id: strawberry.ID
    state_id: strawberry.ID
    title: str
    description: str | None = None
    priority: Priority = Priority.NONE


@strawberry.type
class TaskPayload:
    """A task after the change."""

    task: Task | None


@strawberry.type
class Mutation:
    """Changes."""

    @strawberry.mutation
    async def task_create(self, input: TaskCreateInput) -> TaskPayload:
        """Add a task."""
        project = await Projects.get(id=input.project_id)
        taken = await connections.get("default").execute_query_dict("SELECT nextval('bench_task_number')::int AS n")
        number = taken[0]["n"]
        row = await Tasks.create(
            org_id=project.org_id,
            project_id=project.id,
            state_id=UUID(input.state_id),
            number=number,
            identifier=f"{project.key}-{number}",
            title=input.title,
            description=input.description,
            priority=input.priority.value,
            rank=f"z{number}",
            creator_kind="SYSTEM",
        )
        return TaskPayload(task=_task(row))


class Api(GraphQL[dict[str, Any], None]):
    """The endpoint, with a set of data loaders for each request."""

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        """The caller, as the header says, and the loaders."""
        return {
            "caller": UUID(request.headers["authorization"].removeprefix("Bearer ")),
            "users": DataLoader(_by_id(Users, User, "name", "email")),
            "projects": DataLoader(_by_id(Projects, Project, "name")),
            "states": DataLoader(_by_id(States, WorkflowState, "name")),
            "labels": DataLoader(_labels),
            "comment_counts": DataLoader(_comment_counts),
            "comments": DataLoader(_comments),
        }


@asynccontextmanager
async def _connected(_app: Starlette) -> AsyncIterator[None]:
    credentials = {
        "host": os.environ["PGHOST"],
        "port": 5432,
        "user": "postgres",
        "database": "planwire",
        "minsize": 10,
        "maxsize": 10,
    }
    await Tortoise.init(
        config={
            "connections": {"default": {"engine": "tortoise.backends.asyncpg", "credentials": credentials}},
            "apps": {"bench": {"models": [tables.__name__], "default_connection": "default"}},
            "use_tz": True,
            "timezone": "UTC",
        },
        _enable_global_fallback=True,
    )
    yield
    await Tortoise.close_connections()


SCHEMA = strawberry.Schema(query=Query, mutation=Mutation)
app = Starlette(routes=[Route("/graphql", Api(SCHEMA))], lifespan=_connected)
