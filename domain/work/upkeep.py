"""What becomes of jobs that nobody does any more, and of those that have served their time."""

from datetime import datetime, timedelta

from domain.adapters.storage import Storage, result_key
from domain.base.actor import Actor
from domain.base.database import fetch, tx
from domain.base.sql import Row, Sql, sql
from domain.work import service
from domain.work.running import OUR_FAULT
from domain.work.states import JobStatus

KEPT_FOR = timedelta(days=30)
# A worker that found its job gone has removed its file long before.
REMOVED_AFTER = timedelta(hours=1)
# So that no statement holds many rows.
AT_ONCE = 500

# A job and its delivery are made together, and the job ends before the delivery is done: without one that is still to
# be done, nobody will ever come. It was given up, or has failed eight times.
_ABANDONED = (
    "job.status IN ('QUEUED', 'RUNNING') AND NOT EXISTS (SELECT FROM delivery WHERE delivery.source_id = job.id "
    "AND delivery.handler = job.handler AND delivery.org_id = job.org_id AND delivery.state = 'PENDING')"
)
ABANDONED = f"SELECT DISTINCT org_id AS id FROM job WHERE {_ABANDONED}"
"""The organizations with jobs that nobody will do."""

_FILE_IS_OVER = (
    "job.claim IS NOT NULL AND coalesce(job.expires_at, job.finished_at + "
    f"interval '{REMOVED_AFTER.total_seconds()} s') <= {{}}::timestamptz"
)
_JOB_IS_OVER = f"job.claim IS NULL AND job.finished_at <= {{}}::timestamptz - interval '{KEPT_FOR.days} days'"
ENDED = f"SELECT DISTINCT org_id AS id FROM job WHERE ({_FILE_IS_OVER}) OR ({_JOB_IS_OVER})".format("$1", "$1")
"""The organizations with jobs that are over, or whose files are, at $1."""


async def end_abandoned(actor: Actor) -> int:
    """Let jobs have FAILED that nobody will do, in the actor's organizations; how many."""
    async with tx():
        which = sql(f"job.org_id = ANY({{}}::uuid[]) AND {_ABANDONED}", list(actor.standings))
        return len(await service.end(which, JobStatus.FAILED, message=OUR_FAULT))


async def clean(actor: Actor, at: datetime, storage: Storage) -> tuple[int, int]:
    """Remove files whose time is over, or that were left by jobs that did not succeed, and jobs after KEPT_FOR.

    How many of each. Safe to repeat. Raises Unavailable.
    """
    files = jobs = 0
    while over := await fetch(_some(actor, "id, org_id, claim", sql(_FILE_IS_OVER, at)), Row):
        for job in over:
            # The file first: a job that names none would leave it there for ever.
            await storage.delete(result_key(job["org_id"], job["claim"]))
        forgotten = "UPDATE job SET claim = NULL WHERE id = ANY({}::uuid[]) RETURNING id"
        files += len(await fetch(sql(forgotten, [job["id"] for job in over]), Row))
    while gone := await fetch(
        sql("DELETE FROM job WHERE id = ANY(ARRAY({})) RETURNING id", _some(actor, "id", sql(_JOB_IS_OVER, at))), Row
    ):
        jobs += len(gone)
    return files, jobs


def _some(actor: Actor, columns: str, which: Sql) -> Sql:
    return sql(
        f"SELECT {columns} FROM job WHERE job.org_id = ANY({{}}::uuid[]) AND {{}} ORDER BY id LIMIT {{}}",
        *(list(actor.standings), which, AT_ONCE),
    )
