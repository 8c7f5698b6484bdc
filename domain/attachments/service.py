"""Attachments: announced, uploaded by the client to storage itself, checked, deleted.

An upload takes its room when it is announced, so that twenty at once cannot pass what the plan has, and gives it back
when it is rejected or deleted. Storage is asked outside of transactions alone. What follows for the bytes after a
commit (a thumbnail, the end of an object) is for the jobs that hear of the events.

The address for the upload is bound to length, type and digest. So whatever is sent there once more, before or after the
check, is the same bytes. Two who complete at once come to the same verdict, and the first writes it.
"""

from dataclasses import dataclass
from uuid import UUID

from domain.adapters.storage import Storage, UploadTarget, attachment_key
from domain.attachments import checking, names, queries
from domain.attachments.checking import Verdict
from domain.attachments.events import AttachmentCreated, AttachmentDeleted, AttachmentUpdated
from domain.attachments.models import Attachment
from domain.attachments.queries import AttachmentRow
from domain.attachments.states import UPLOAD_WITHIN, Status, check_move, is_overdue
from domain.base import outbox
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch_value, require_transaction, tx
from domain.base.errors import Conflict, Expired, Forbidden, InProgress, LimitReached, NotFound
from domain.base.models import save
from domain.base.permissions import Permission
from domain.base.sql import sql
from domain.billing import limits
from domain.billing.plans import Feature
from domain.events.log import Change, emit
from domain.projects import service as projects
from domain.tasks import queries as tasks

MOST_ATTACHMENTS = 100
# How long the address for an upload lets somebody in.
UPLOAD_ADDRESS_S = 900
# What is checked while the caller waits; more than that is read by a job.
AT_ONCE_BYTES = 8 * 1024**2
CHECK_HANDLER = "attachments.check"
# Less than what an operation may take.
TIMEOUT_S = 8.0


@dataclass(frozen=True)
class Upload:
    """A file that was announced, and where its bytes are to go. `id` is that of the row that it gets."""

    id: UUID
    task_id: UUID
    target: UploadTarget
    filename: str
    content_type: str
    size_bytes: int
    sha256: str


async def announce(
    actor: Actor,
    task_id: UUID,
    attachment_id: UUID,
    *,
    filename: str,
    content_type: str,
    size_bytes: int,
    sha256: str,
    storage: Storage,
) -> Upload:
    """Where the bytes of a file go that `create` makes the row of. Storage is asked, nothing is written.

    Raises NotFound; Forbidden (ATTACHMENT_CREATE); UserErrors for a name, type, size or digest that no file has;
    Unavailable. Source: AWS Signature Version 4, query-string authentication.
    """
    task = await tasks.by_ids.get(actor, task_id)
    actor.require(Permission.ATTACHMENT_CREATE, org_id=task.org_id)
    names.check(filename=filename, content_type=content_type, size_bytes=size_bytes, sha256=sha256)
    target = await storage.presign_put(
        attachment_key(task.org_id, attachment_id),
        content_type=content_type,
        size_bytes=size_bytes,
        sha256=sha256,
        expires_s=UPLOAD_ADDRESS_S,
    )
    return Upload(attachment_id, task_id, target, filename, content_type, size_bytes, sha256)


async def create(actor: Actor, upload: Upload) -> AttachmentRow:
    """Make the row of what was announced, and take its room; the row, REQUESTED.

    Raises NotFound; Forbidden (ATTACHMENT_CREATE); LimitReached (upload_bytes, storage_bytes, attachments of the task);
    Conflict when the project is archived, or the task is being transferred.
    """
    async with tx():
        seen = await tasks.by_ids.get(actor, upload.task_id)
        actor.require(Permission.ATTACHMENT_CREATE, org_id=seen.org_id)
        # The subscription is locked first, by the order of locks; it guards the number at the task as well.
        await limits.require_size(seen.org_id, Feature.UPLOAD_BYTES, upload.size_bytes, "size_bytes")
        await limits.require_room(seen.org_id, Feature.STORAGE_BYTES, more=upload.size_bytes)
        await projects.open_for_tasks(actor, seen.project_id, Permission.ATTACHMENT_CREATE, path="task_id")
        task = await tasks.by_ids.get_for_update(actor, seen.id, Permission.ATTACHMENT_CREATE, shared=True)
        if task.project_id != seen.project_id:
            raise Conflict("The task is being transferred. Try again.", "task_id")
        used = await fetch_value(sql("SELECT count(*) FROM attachment WHERE task_id = {}", task.id))
        if used >= MOST_ATTACHMENTS:
            raise LimitReached("attachments", MOST_ATTACHMENTS, used, "task_id")
        await Attachment.create(
            id=upload.id,
            org_id=task.org_id,
            task_id=task.id,
            filename=upload.filename,
            claimed_type=upload.content_type,
            size_bytes=upload.size_bytes,
            sha256=upload.sha256,
            uploaded_by_kind=actor.ref.kind,
            uploaded_by_id=actor.ref.id,
        )
        fact = AttachmentCreated(
            subject_id=upload.id,
            project_id=task.project_id,
            task_id=task.id,
            size_bytes=upload.size_bytes,
            filename=upload.filename,
        )
        emit(actor, task.org_id, fact)
        return await queries.by_ids.get(actor, upload.id)


@dataclass(frozen=True)
class Look:
    """What was found of an upload. No verdict: it has one already, or a job is to find it."""

    row: AttachmentRow
    verdict: Verdict | None = None


async def look(actor: Actor, attachment_id: UUID, *, storage: Storage) -> Look:
    """Look at what was uploaded, for `complete` to write. Storage is read, nothing is written.

    Raises NotFound; Forbidden (ATTACHMENT_CREATE, or for another's upload); Expired; InProgress while a job checks it;
    Conflict when nothing was uploaded; Unavailable.
    """
    row = await queries.by_ids.get(actor, attachment_id)
    _require_uploader(actor, row)
    if row.status != Status.REQUESTED:
        return Look(row)
    if is_overdue(Status(row.status), row.created_at, now()):
        hours = int(UPLOAD_WITHIN.total_seconds() // 3600)
        raise Expired(f"An upload ends {hours} hours after it was announced. Announce the file again.", "id")
    if row.completed_at is not None:
        raise InProgress("The bytes are being checked. ATTACHMENT_UPDATED tells what came of it.", "id")
    stored = await storage.stat(attachment_key(row.org_id, row.id))
    if stored is None:
        raise Conflict("Nothing was uploaded yet. Send the bytes to the upload's address, then complete it.", "id")
    if reason := checking.wrong_size(row, stored.size_bytes):
        return Look(row, Verdict(reason=reason))
    if row.size_bytes > AT_ONCE_BYTES:
        return Look(row)
    return Look(row, await checking.check(row, storage))


async def complete(actor: Actor, looked: Look) -> AttachmentRow:
    """Write what `look` found, or have a job look; the row. One that has its verdict already stays as it is.

    Raises NotFound; Forbidden (ATTACHMENT_CREATE, or for another's upload).
    """
    if looked.verdict is not None:
        return await settle(actor, looked.row.id, looked.verdict)
    async with tx():
        row = await queries.by_ids.get_for_update(actor, looked.row.id, Permission.ATTACHMENT_CREATE)
        if row.status == Status.REQUESTED and row.completed_at is None:
            await save(Attachment, row, completed_at=now())
            await outbox.ask(CHECK_HANDLER, row.id, org_id=row.org_id)
        return await queries.by_ids.get(actor, row.id)


async def settle(actor: Actor, attachment_id: UUID, verdict: Verdict) -> AttachmentRow:
    """End an upload with the verdict on it; the row. One that has ended stays as it is.

    Raises NotFound; Forbidden (ATTACHMENT_CREATE).
    """
    async with tx():
        row = await queries.by_ids.get_for_update(actor, attachment_id, Permission.ATTACHMENT_CREATE)
        if row.status == Status.REQUESTED:
            await write(actor, row, verdict)
        return await queries.by_ids.get(actor, attachment_id)


async def write(actor: Actor, row: AttachmentRow, verdict: Verdict) -> None:
    """Write the verdict on a locked row, and tell of it."""
    require_transaction()
    target = Status.REJECTED if verdict.content_type is None else Status.READY
    check_move(Status(row.status), target, "id")
    await save(Attachment, row, status=target, content_type=verdict.content_type, rejection_reason=verdict.reason)
    content_type = None if verdict.content_type is None else Change(None, verdict.content_type)
    await tell(actor, row, status=Change(row.status, target.value), content_type=content_type)


async def note_thumbnail(actor: Actor, attachment_id: UUID) -> bool:
    """Note that its thumbnail is in storage; False when nobody wants it any more."""
    async with tx():
        rows = await queries.by_ids.lock(actor, [attachment_id], Permission.ATTACHMENT_CREATE)
        row = rows.get(attachment_id)
        if row is None or row.status != Status.READY:
            return False
        if not row.has_thumbnail:
            await save(Attachment, row, has_thumbnail=True)
            await tell(actor, row, has_thumbnail=Change(False, True))
        return True


async def tell(actor: Actor, row: AttachmentRow, **changes: Change | None) -> None:
    """Tell of a change of the row."""
    task = await tasks.by_ids.get(actor, row.task_id)
    fact = AttachmentUpdated(subject_id=row.id, project_id=task.project_id, task_id=row.task_id, **changes)
    emit(actor, row.org_id, fact)


async def delete(actor: Actor, attachment_id: UUID) -> None:
    """Delete an attachment; its bytes end after the commit.

    Raises NotFound; Forbidden (TASK_DELETE, unless its uploader with ATTACHMENT_CREATE); Conflict when the project is
    archived.
    """
    async with tx():
        seen = await queries.by_ids.get(actor, attachment_id)
        permission = Permission.ATTACHMENT_CREATE if _is_uploader(actor, seen) else Permission.TASK_DELETE
        actor.require(permission, org_id=seen.org_id)
        try:
            task = await tasks.by_ids.get(actor, seen.task_id)
            await projects.open_for_tasks(actor, task.project_id, permission)
        except NotFound as gone:
            raise NotFound("attachment") from gone
        row = await queries.by_ids.get_for_update(actor, attachment_id, permission)
        await erase(actor, row, task.project_id)


async def erase(actor: Actor, row: AttachmentRow, project_id: UUID) -> None:
    """Delete a locked row, and tell of it."""
    require_transaction()
    await Attachment.filter(id=row.id).delete()
    emit(actor, row.org_id, AttachmentDeleted(subject_id=row.id, project_id=project_id, task_id=row.task_id))


def _is_uploader(actor: Actor, row: AttachmentRow) -> bool:
    return (row.uploaded_by_kind, row.uploaded_by_id) == (actor.ref.kind, actor.ref.id)


def _require_uploader(actor: Actor, row: AttachmentRow) -> None:
    actor.require(Permission.ATTACHMENT_CREATE, org_id=row.org_id)
    if not _is_uploader(actor, row):
        raise Forbidden(Permission.ATTACHMENT_CREATE, "Only who began an upload completes it.")
