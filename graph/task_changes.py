"""The tasks of a project as they change."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import strawberry

from domain.base.errors import NotFound
from domain.base.permissions import Permission
from domain.base.reads import ForActor, One
from domain.base.sql import all_of, sql
from domain.events.queries import EventRow
from domain.projects import queries as project_queries
from domain.tasks import queries
from domain.tasks.changes import OfProject
from graph.base.context import Info
from graph.base.fields import computed, subscription
from graph.base.ids import parse_id
from graph.base.live import events_of
from graph.events import After, Event, Told, subject_of
from graph.task_filters import TaskFilter, task_predicate
from graph.tasks import Task


@strawberry.type
class TaskChange:
    """A task that came, changed or went."""

    event: Event = strawberry.field(description="What happened.")
    task: Task | None = computed(
        subject_of,
        needs=(),
        description="The task as it stands now; null once it is deleted, archived, moved away or out of the filter.",
    )


@strawberry.type
class TaskSubscriptions:
    """Tasks as they change."""

    @subscription
    async def task_changed(
        self, info: Info, project_id: strawberry.ID, filter: TaskFilter | None = None, after: After = None
    ) -> AsyncIterator[TaskChange]:
        """The tasks of one project as they change: every event whose subject is a task of it. Needs TASK_READ.

        `task` is null once it is deleted, archived, moved away or out of the filter. Renamed labels and states come by
        `events`. Ends with NOT_FOUND when the project is deleted.
        """
        kept, predicate = OfProject(parse_id(project_id, "project", "projectId")), task_predicate(filter)
        project = await project_queries.by_ids.get(info.context.actor, kept.project_id)
        # Read under one more condition than others, so in no batch with theirs.
        conditions = [queries.visible.piece, sql("task.project_id = {}::uuid", kept.project_id), predicate]
        read = One(queries.TASKS, ForActor(all_of(conditions)))
        events = await events_of(info, project.org_id, Permission.TASK_READ, after=after, kept=kept)
        # Deleted between the two, its end lies behind the place where the events begin.
        await project_queries.by_ids.get(info.context.actor, kept.project_id)
        found: Any = _told(events, kept, read)
        return found  # type: ignore[no-any-return]


async def _told(events: AsyncGenerator[EventRow, None], kept: OfProject, read: One[Any]) -> AsyncGenerator[Told, None]:
    """Each event as the source of a change, to the end of the project."""
    async with aclosing(events):
        async for event in events:
            if kept.ends_with(event):
                raise NotFound("project")
            yield Told(event, read)
