"""Doing a job: claimed, watched while it is done, and ended once, whatever happens to whoever is at it.

Attempt: one try of one worker, named by the job's `claim`; what it writes holds only while the claim is its own.
Object: what an attempt leaves in storage, under the claim as its id, so that no attempt touches another's.
- the job is canceled, or claimed by another: found out within a second; `does`, or the upload, is cancelled.
- the process dies: the attempt was counted. The delivery comes to another worker, which begins a new one; the object
  that the old one may have left is removed then, or by the upkeep.
- the worker is asked to end: the attempt is given back, as the delivery is.
- `does` fails: what is the caller's to know ends the job, anything else is tried again, three attempts in all.
- `does` takes longer than LONGEST_S: the job FAILS. A handler's own time-out comes later.
- nobody comes to do it any more: the upkeep ends it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import structlog

from domain.adapters.storage import Storage, Stored, result_key
from domain.base.clock import new_id, now
from domain.base.database import fetch, tx
from domain.base.errors import DomainError, RequestError, Timeout, Unavailable
from domain.base.sql import Row, Sql, sql
from domain.work import service
from domain.work.queries import JOBS, JobRow
from domain.work.states import OPEN, JobStatus

# With the statement that tells it, no second passes without news.
TELL_EVERY_S = 0.8
MOST_ATTEMPTS = 3
LONGEST_S = 3600.0
# For the row handlers that perform: the job's own end comes first.
HANDLER_TIMEOUT_S = LONGEST_S + 60.0
LEAVE_WITHIN_S = 2.0
RESULTS_KEPT_FOR = timedelta(days=7)
LONGEST_MESSAGE = 500
CHUNK_BYTES = 1024 * 1024
OUR_FAULT = "Something went wrong on our side."
# Another try may go better.
PASSING = (Unavailable, Timeout)

R = TypeVar("R")
_log = structlog.get_logger("work")


@dataclass(frozen=True)
class Result:
    """The file that a job leaves, for so long. The chunks are read once, and closed where that can be."""

    filename: str
    content_type: str
    chunks: AsyncIterator[bytes]
    kept_for: timedelta = RESULTS_KEPT_FOR


class Progress:
    """How far a job has come. Telling is cheap: it is written to the row at least once a second, where it is new."""

    def __init__(self) -> None:
        self.share = 0.0
        self.message: str | None = None

    def tell(self, share: float, message: str | None = None) -> None:
        """The share that is done, from 0 to 1, and what is being done; without a message the last one stays."""
        self.share = min(max(share, 0.0), 1.0)
        if message is not None:
            self.message = _shown(message)


Does = Callable[[JobRow, Progress], Awaitable[Result | None]]


class _Gone(Exception):
    """The job has ended, or is another attempt's."""


async def file_chunks(path: Path) -> AsyncGenerator[bytes, None]:
    """The file in pieces of a mebibyte, read beside the event loop."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


async def perform(job_id: UUID, storage: Storage, does: Does, *, longest_s: float = LONGEST_S) -> None:
    """Do the job, as the system at work in its organization, and end it; nothing for one that has ended or is gone.

    `does` gives the file, or None where there is none. A DomainError of it is told to the owner as the reason. Raises
    what is worth another try; Unavailable; Timeout.
    """
    begun = await _begin(job_id)
    if begun is None:
        return
    job, left = begun

    async def make() -> tuple[Result | None, Stored | None]:
        if left is not None:
            await _remove(left, storage)
        return await _made(job, progress, storage, does)

    progress = Progress()
    try:
        async with asyncio.timeout(longest_s) as limit:
            result, stored = await _while_ours(job, progress, make())
        await _succeed(job, result, stored)
    except _Gone:
        _log.info("a job was canceled, or is another's")
        await _leave(job, storage)
    except asyncio.CancelledError:
        await _leave(job, storage)
        raise
    except Exception as fault:
        if limit.expired():
            await _fail(job, f"It took longer than {timedelta(seconds=longest_s)}.")
        elif isinstance(fault, DomainError) and not isinstance(fault, PASSING):
            await _fail(job, str(fault))
        elif job.attempts < MOST_ATTEMPTS:
            raise
        else:
            _log.error("a job has failed", exc_info=fault)
            await _fail(job, str(fault) if isinstance(fault, PASSING) else OUR_FAULT)


async def _begin(job_id: UUID) -> tuple[JobRow, str | None] | None:
    """Claim the job for a new attempt, and where the one before may have left something; None when none is made."""
    async with tx():
        held = sql(
            "SELECT id, claim, attempts FROM job WHERE id = {} AND status = ANY({}::text[]) FOR NO KEY UPDATE",
            *(job_id, list(OPEN)),
        )
        found = await fetch(held, Row)
        if not found:
            return None
        (before,) = found
        if before["attempts"] >= MOST_ATTEMPTS:
            # Each of them has taken its process with it.
            await service.end(sql("job.id = {}", job_id), JobStatus.FAILED, message=OUR_FAULT)
            return None
        at = now()
        begun = sql(
            "UPDATE job SET status = {}, claim = {}, attempts = attempts + 1, progress = 0, message = NULL, "
            "started_at = coalesce(started_at, {}), updated_at = {}, version = version + 1 WHERE id = {} RETURNING {}",
            *(JobStatus.RUNNING.value, new_id(), at, at, job_id, JOBS.listed(JOBS.columns)),
        )
        (job,) = await fetch(begun, JobRow)
        service.changed.tell_after_commit([job_id])
    # Whoever had it before can leave nothing more there that anybody takes for the result.
    return job, None if before["claim"] is None else result_key(job.org_id, before["claim"])


async def _while_ours(job: JobRow, progress: Progress, make: Coroutine[Any, Any, R]) -> R:
    """What is made. Raises _Gone as soon as it is known, when the job is not this attempt's any more."""
    told: tuple[float, str | None] = progress.share, progress.message
    making = asyncio.create_task(make)
    try:
        while not (await asyncio.wait((making,), timeout=TELL_EVERY_S))[0]:
            told = await _tell(job, progress, told)
        return making.result()
    finally:
        making.cancel()
        # Whatever it still says is nobody's any more.
        await asyncio.gather(making, return_exceptions=True)


async def _made(job: JobRow, progress: Progress, storage: Storage, does: Does) -> tuple[Result | None, Stored | None]:
    result = await does(job, progress)
    if result is None:
        return None, None
    try:
        key = result_key(job.org_id, _claim(job))
        return result, await storage.write(key, result.chunks, content_type=result.content_type)
    finally:
        if isinstance(result.chunks, AsyncGenerator):
            await result.chunks.aclose()


async def _tell(job: JobRow, progress: Progress, told: tuple[float, str | None]) -> tuple[float, str | None]:
    """Write what is new beside what was told; what is told now. Raises _Gone."""
    news = progress.share, progress.message
    try:
        if news == told:
            found = await fetch(sql("SELECT FROM job WHERE {}", _ours(job)), Row)
        else:
            written = "UPDATE job SET progress = {}, message = {}, updated_at = {}, version = version + 1 WHERE {}"
            found = await fetch(sql(f"{written} RETURNING id", *news, now(), _ours(job)), Row)
            service.changed.tell_after_commit([job.id])
    except RequestError:
        # Nobody knows whose it is. Without a database no other attempt begins either.
        return told
    if not found:
        raise _Gone
    return news


async def _succeed(job: JobRow, result: Result | None, stored: Stored | None) -> None:
    """Raises _Gone."""
    values: dict[str, Any] = {"progress": 1.0, "message": None}
    if result is not None and stored is not None:
        values |= {
            "result_filename": result.filename,
            "result_type": result.content_type,
            "result_size_bytes": stored.size_bytes,
            "expires_at": now() + result.kept_for,
        }
    async with tx():
        if not await service.end(_ours(job), JobStatus.SUCCEEDED, **values):
            raise _Gone


async def _fail(job: JobRow, message: str) -> None:
    async with tx():
        await service.end(_ours(job), JobStatus.FAILED, message=_shown(message))


async def _leave(job: JobRow, storage: Storage) -> None:
    """Let go of the job. Where it is still ours the worker has to end: the attempt is counted as none.

    Where this fails it stays counted. What it has stored is removed here when no later attempt knows of it.
    """
    with suppress(RequestError, TimeoutError):
        async with asyncio.timeout(LEAVE_WITHIN_S):
            given_back = sql("UPDATE job SET attempts = attempts - 1 WHERE {} RETURNING id", _ours(job))
            if await fetch(given_back, Row):
                return
            succeeded = sql(
                "SELECT FROM job WHERE id = {} AND claim = {} AND status = {}",
                *(job.id, job.claim, JobStatus.SUCCEEDED.value),
            )
            if not await fetch(succeeded, Row):
                await _remove(result_key(job.org_id, _claim(job)), storage)


async def _remove(key: str, storage: Storage) -> None:
    """Remove what an attempt may have left. Where this fails it lies there until the sweep of the second night."""
    with suppress(Unavailable):
        await storage.delete(key)


def _ours(job: JobRow) -> Sql:
    return sql("job.id = {} AND job.status = {} AND job.claim = {}", job.id, JobStatus.RUNNING.value, job.claim)


def _claim(job: JobRow) -> UUID:
    if job.claim is None:
        raise ValueError("the job is not claimed")
    return job.claim


def _shown(message: str) -> str:
    """What of the message a row can hold: a file or a program may have had a part in it."""
    return message.encode(errors="replace").decode().replace("\0", "")[:LONGEST_MESSAGE]
