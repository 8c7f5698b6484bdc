"""Jobs: asked for by a person or a key, ended once. What is done for one in between is in running.py.

A job and its delivery are made in one transaction, so there is no job that nobody does. Each move is one UPDATE that
holds only in the states that the table names, so of two that want to end a job one does.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domain.base import outbox
from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.clock import new_id, now
from domain.base.commits import Commits
from domain.base.database import fetch, fetch_value, tx
from domain.base.errors import Conflict, LimitReached
from domain.base.permissions import Permission
from domain.base.sql import Sql, joined, sql
from domain.events.log import Change, emit
from domain.work import queries
from domain.work.events import JobFinished
from domain.work.models import Job, JobKind
from domain.work.queries import JOBS, JobRow
from domain.work.states import OPEN, JobStatus, sources

MOST_OPEN = 10


async def ask(
    actor: Actor, org_id: UUID, kind: JobKind, permission: Permission, handler: str, arguments: Mapping[str, Any]
) -> JobRow:
    """Have the row handler of that name do it; the job, QUEUED. `arguments` are JSON.

    The result is for the caller, as long as they hold the permission. Raises NotFound; Forbidden (`permission`);
    LimitReached (open_jobs): a person, with the keys that they made, has at most 10 in an organization that have not
    ended.
    """
    actor.require(permission, org_id=org_id)
    if actor.user_id is None or actor.ref.id is None:
        raise ValueError("the system watches no jobs")
    job_id = new_id()
    async with tx():
        # Who asks twice at once does so one after the other.
        lock = "SELECT pg_advisory_xact_lock(hashtextextended({}, 0))"
        await fetch_value(sql(lock, f"jobs {org_id} {actor.user_id}"))
        used = await fetch_value(
            sql(
                "SELECT count(*) FROM job WHERE org_id = {} AND user_id = {} AND status = ANY({}::text[])",
                *(org_id, actor.user_id, list(OPEN)),
            )
        )
        if used >= MOST_OPEN:
            raise LimitReached("open_jobs", MOST_OPEN, used)
        await Job.create(
            id=job_id,
            org_id=org_id,
            kind=kind,
            handler=handler,
            arguments=dict(arguments),
            asked_by_kind=actor.ref.kind,
            asked_by_id=actor.ref.id,
            user_id=actor.user_id,
            permission=permission.value,
        )
        await outbox.ask(handler, job_id, org_id=org_id)
        return await queries.by_ids.get(actor, job_id)


async def cancel(actor: Actor, job_id: UUID) -> JobRow:
    """Cancel one of the caller's own jobs; the job. Whoever is at it finds out within a second, and stops.

    Raises NotFound, also for another's; Conflict when it has ended.
    """
    async with tx():
        job = await queries.by_ids.get_for_update(actor, job_id, Permission.ORG_READ)
        if not await end(sql("job.id = {}", job.id), JobStatus.CANCELED, message=None):
            raise Conflict(f"The job has ended already: it is {job.status}.", "id")
        return await queries.by_ids.get(actor, job_id)


async def end(which: Sql, status: JobStatus, **values: Any) -> list[JobRow]:
    """End those of the jobs that may still end so, in the open transaction, with a fact for each; the jobs."""
    at = now()
    changes = {"status": status.value, "finished_at": at, "updated_at": at, **values}
    statement = sql(
        "WITH open AS (SELECT id, status FROM job WHERE {} AND status = ANY({}::text[]) ORDER BY id "
        "FOR NO KEY UPDATE) UPDATE job SET version = version + 1, {} FROM open WHERE job.id = open.id "
        "RETURNING open.status AS was, {}",
        which,
        sources(status),
        joined(", ", [sql(f"{name} = {{}}", value) for name, value in changes.items()]),
        JOBS.listed(JOBS.columns),
    )
    ended = await fetch(statement, JobRow)
    for job in ended:
        is_persons = job.asked_by_kind == ActorKind.USER
        event = JobFinished(
            subject_id=job.id,
            kind=JobKind(job.kind),
            status=Change(job.was, status),
            asked_by_id=job.asked_by_id if is_persons else None,
        )
        emit(owner_of(job), job.org_id, event)
    changed.tell_after_commit([job.id for job in ended])
    return ended


def owner_of(job: JobRow) -> Actor:
    """Whoever has asked for it, as events name them. It has no standing anywhere."""
    return Actor(ActorRef(ActorKind(job.asked_by_kind), job.asked_by_id), job.user_id)


changed = Commits()
"""The jobs that a commit of this process has changed."""
