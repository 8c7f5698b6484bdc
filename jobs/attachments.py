"""What follows from attachments: the check of large ones, thumbnails, the end of their bytes, and each night."""

from datetime import datetime
from uuid import UUID

import structlog

from domain.adapters.storage import Storage, attachment_key, thumbnail_key
from domain.adapters.wiring import Adapters
from domain.attachments import checking, queries, sweeping, thumbnails
from domain.attachments import service as attachments
from domain.attachments.states import Status
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.errors import NotFound
from domain.events.queries import EventRow
from jobs.handlers import outside_handler, outside_tick, row_handler, tick

# 5 GiB at 10 MiB a second.
CHECK_TIMEOUT_S = 600.0
SWEEP_TIMEOUT_S = 3600.0
_log = structlog.get_logger("attachments")


@row_handler(attachments.CHECK_HANDLER, timeout_s=CHECK_TIMEOUT_S)
async def check(actor: Actor, attachment_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Look at all bytes of a large file, and write what they are. One that has ended meanwhile stays as it is."""
    try:
        row = await queries.by_ids.get(actor, attachment_id)
        if row.status == Status.REQUESTED:
            await attachments.settle(actor, row.id, await checking.check(row, adapters.storage))
    except NotFound:
        # Deleted before or while it was read.
        return


@outside_handler("attachments.thumbnail", timeout_s=300.0)
async def thumbnail(actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Make the thumbnail of a picture that is READY and has none."""
    await thumbnails.make(actor, event.subject_id, adapters.storage)


@outside_handler("attachments.remove")
async def remove(actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Remove the bytes of an attachment that is gone or rejected."""
    await _remove_unwanted(actor, event, adapters.storage)


@outside_handler("attachments.remove_again", delay_s=attachments.UPLOAD_ADDRESS_S)
async def remove_again(actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Remove what was sent after that, which takes nobody's room: an upload could begin until now."""
    await _remove_unwanted(actor, event, adapters.storage)


async def _remove_unwanted(actor: Actor, event: EventRow, storage: Storage) -> None:
    row = (await queries.by_ids(actor, [event.subject_id], ("id", "status"))).get(event.subject_id)
    if row is None or row.status == Status.REJECTED:
        await storage.delete(attachment_key(event.org_id, event.subject_id))
        await storage.delete(thumbnail_key(event.org_id, event.subject_id))


@outside_tick("attachments.sweep", timeout_s=SWEEP_TIMEOUT_S)
async def sweep(actor: Actor, at: datetime, adapters: Adapters, _job_id: UUID) -> None:
    """Put right what of an organization's attachments was left over, and tell of bytes that are lost."""
    for org_id in actor.standings:
        swept = await sweeping.sweep(actor, org_id, at, adapters.storage)
        _log.info("swept", ended=swept.ended, forgotten=swept.forgotten, removed=swept.removed)
        if swept.lost_count:
            telemetry.BROKEN_INVARIANTS.labels("attachment_bytes").inc(swept.lost_count)
            examples = [str(id) for id in swept.lost]
            _log.error("the bytes of attachments are lost", count=swept.lost_count, examples=examples)


@tick("attachments.strays", timeout_s=SWEEP_TIMEOUT_S)
async def strays(at: datetime, adapters: Adapters) -> None:
    """Remove the objects of organizations that are gone."""
    _log.info("strays removed", objects=await sweeping.remove_strays(at, adapters.storage))
