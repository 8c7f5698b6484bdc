"""Reads of attachments, and the addresses where their bytes are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from uuid import UUID

from domain.adapters.storage import Storage, attachment_key, thumbnail_key
from domain.base.actor import Actor
from domain.base.paging import Key, KeyKind, Order
from domain.base.permissions import Permission
from domain.base.reads import Counts, Many, One, Table, for_actor, orgs_with
from domain.base.sql import Row

THUMBNAIL_TYPE = "image/webp"
# How long an address for downloading lets somebody in.
DOWNLOAD_WITHIN_S = 300


class AttachmentRow(Row):
    """An attachment."""

    id: UUID
    org_id: UUID
    task_id: UUID
    filename: str
    claimed_type: str
    content_type: str | None
    size_bytes: int
    sha256: str
    status: str
    rejection_reason: str | None
    has_thumbnail: bool
    uploaded_by_kind: str
    uploaded_by_id: UUID | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime


ATTACHMENTS = Table("attachment", AttachmentRow)
OLDEST_FIRST = Order((Key("attachment.created_at", KeyKind.INSTANT), Key("attachment.id", KeyKind.UUID)))

visible = for_actor("attachment.org_id = ANY({}::uuid[])", orgs_with(Permission.ATTACHMENT_READ))
"""The attachments that the caller reads."""

by_ids = One(ATTACHMENTS, visible)
of_tasks = Many(ATTACHMENTS, visible, key="attachment.task_id", order=OLDEST_FIRST)
counts_of_tasks = Counts(ATTACHMENTS, visible, key="attachment.task_id")


@dataclass(frozen=True)
class Wanted:
    """A file that an address is wanted for: of an attachment that is READY, or of its thumbnail."""

    org_id: UUID
    id: UUID
    filename: str
    content_type: str
    is_thumbnail: bool = False

    def thumbnail(self) -> "Wanted":
        """The thumbnail of the same attachment."""
        name = f"{PurePath(self.filename).stem}.webp"
        return Wanted(self.org_id, self.id, name, THUMBNAIL_TYPE, is_thumbnail=True)


async def addresses(actor: Actor, files: Sequence[Wanted], storage: Storage) -> dict[Wanted, str]:
    """File -> an address that is good for five minutes; what the caller may not read is left out.

    A file is downloaded and never shown in place, whatever it is, but for thumbnails, which are ours. Raises
    Unavailable.
    """
    found = {}
    for file in files:
        if Permission.ATTACHMENT_READ in actor.permissions(file.org_id):
            key = (thumbnail_key if file.is_thumbnail else attachment_key)(file.org_id, file.id)
            found[file] = await storage.presign_get(
                key,
                filename=file.filename,
                content_type=file.content_type,
                inline=file.is_thumbnail,
                expires_s=DOWNLOAD_WITHIN_S,
            )
    return found
