"""Jobs: what the viewer has asked for that takes long, how far it is, and what it has left."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, ClassVar

import strawberry

from domain.work import queries, results, service
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.states import JobStatus
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import column, computed, subscription
from graph.base.ids import parse_id
from graph.base.live import own_of
from graph.base.nodes import Node

strawberry.enum(JobStatus, description="Where a job stands.")
strawberry.enum(JobKind, description="What a job does.")


async def _result_url(root: JobRow, info: Info) -> str | None:
    return await results.address(info.context.actor, root, info.context.adapters.storage, inline=False)


@strawberry.type
class Job(Node):
    """Something that takes long. Seen by whoever asked for it, while they are in the organization."""

    row: ClassVar[type[Any]] = JobRow
    read: ClassVar = queries.by_ids

    kind: JobKind = column("What is done.")
    status: JobStatus = column("Where it stands.")
    progress: float = column("How much of it is done, 0.0 to 1.0.")
    message: str | None = column("What is being done while it runs; why it failed.", long=True)
    result_url: str | None = computed(
        _result_url,
        needs=results.NEEDED,
        description="Signed for this viewer, good for five minutes; null unless it succeeded and left a file, after "
        "seven days or for a picture 90, and without the permission that it was asked for with. What was removed from "
        "the store by hand is 404 there.",
        long=True,
    )
    created_at: datetime = column("When it was asked for.")
    finished_at: datetime | None = column("When it ended, one way or another.")


@strawberry.type
class JobPayload:
    """The job."""

    job: Job | None = strawberry.field(default=None, description="The job; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class JobMutations:
    """Changes of jobs."""

    @mutation
    async def job_cancel(self, info: Info, id: strawberry.ID) -> JobPayload | None:
        """Stop one of the viewer's jobs. CONFLICT when it has ended."""
        return JobPayload(job=Job.of(await service.cancel(info.context.actor, parse_id(id, "job"))))


@strawberry.type
class JobSubscriptions:
    """Jobs as they go on."""

    @subscription
    async def job_updated(self, info: Info, id: strawberry.ID) -> AsyncIterator[Job]:
        """The job as it stands, then every change until it ends.

        Changes that follow each other fast may come as one. NOT_FOUND for what is no job of the viewer's.
        """
        job_id, jobs = parse_id(id, "job"), info.context.live.jobs
        # Refused before it begins.
        await queries.by_ids.get(info.context.actor, job_id)
        found: Any = own_of(info, lambda actor, recheck: jobs.states(actor, job_id, recheck))
        return found  # type: ignore[no-any-return]
