"""Thumbnails of pictures: made by a confined child process, kept in storage beside the picture.

The row says that there is one once it is stored. A crash before that leaves an object which the next attempt writes
again, and which ends with its attachment.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import structlog

from domain.adapters.storage import Missing, Storage, attachment_key, thumbnail_key
from domain.attachments import queries, service
from domain.attachments.queries import THUMBNAIL_TYPE, AttachmentRow
from domain.attachments.states import Status
from domain.base import confined
from domain.base.actor import Actor
from domain.base.confined import Exceeded, Failed, Limits
from domain.base.scratch import scratch

PICTURED = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
# More bytes than a picture of MOST_PIXELS has, as cameras write them.
LARGEST_PICTURE_BYTES = 100 * 1024**2
LIMITS = Limits(memory_bytes=768 * 1024**2, cpu_s=20, wall_s=40.0, file_bytes=1024**2)
# A worker does more than this at once, and the memory of each child is much.
_open = asyncio.Semaphore(2)
_MODULE = "domain.attachments.thumbnailing"
_log = structlog.get_logger("attachments")


async def make(actor: Actor, attachment_id: UUID, storage: Storage) -> None:
    """Make the thumbnail, where the attachment is a picture that has none yet.

    A picture that none can be made of stays without: that is logged, and trying again would be of no use. Raises
    Unavailable.
    """
    row = (await queries.by_ids(actor, [attachment_id], queries.ATTACHMENTS.columns)).get(attachment_id)
    if row is None or not _is_wanted(row):
        return
    key = thumbnail_key(row.org_id, row.id)
    with scratch() as folder:
        async with _open:
            target = await _made(row, storage, folder)
        if target is None:
            return
        await storage.write(key, _whole(target), content_type=THUMBNAIL_TYPE)
    if not await service.note_thumbnail(actor, row.id):
        # Deleted meanwhile, and what removes its objects may have been here before.
        await storage.delete(key)


def _is_wanted(row: AttachmentRow) -> bool:
    is_picture = row.content_type in PICTURED and row.size_bytes <= LARGEST_PICTURE_BYTES
    return row.status == Status.READY and not row.has_thumbnail and is_picture


async def _made(row: AttachmentRow, storage: Storage, folder: Path) -> Path | None:
    """The file of the thumbnail; None where none can be made."""
    source, target = folder / "picture", folder / "thumbnail"
    try:
        with source.open("xb") as file:
            async for chunk in storage.read(attachment_key(row.org_id, row.id)):
                await asyncio.to_thread(file.write, chunk)
        await confined.run(_MODULE, [str(source), str(target)], LIMITS)
    except (Missing, Exceeded, Failed) as fault:
        _log.warning("no thumbnail", attachment_id=str(row.id), why=str(fault))
        return None
    return target


async def _whole(path: Path) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(path.read_bytes)
