"""Attachments: files at tasks. Their bytes go to and come from storage by signed addresses, never through here."""

from collections.abc import Hashable
from datetime import datetime
from typing import Annotated, Any, ClassVar, cast
from uuid import UUID

import strawberry

from domain.attachments import queries
from domain.attachments import service as attachments
from domain.attachments.queries import AttachmentRow, Wanted
from domain.attachments.service import Look, Upload
from domain.attachments.states import Status
from domain.idempotency.service import OutsideCall
from domain.organizations import actors
from domain.tasks import queries as task_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, computed, required, to_one
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.payloads import DeletePayload
from graph.base.scalars import BigInt
from graph.identity import Actor

strawberry.enum(Status, name="AttachmentStatus", description="Where an attachment stands.")


def _wanted(root: AttachmentRow) -> Wanted | None:
    # Without a type it is not READY.
    if root.content_type is None:
        return None
    return Wanted(root.org_id, root.id, root.filename, root.content_type)


async def _address(info: Info, wanted: Wanted) -> str | None:
    # All of an operation's go into one batch.
    found: str | None = await info.context.load(
        queries.addresses, wanted, cast(Hashable, info.context.adapters.storage)
    )
    return found


async def _download_url(root: AttachmentRow, info: Info) -> str | None:
    wanted = _wanted(root)
    return None if wanted is None else await _address(info, wanted)


async def _thumbnail_url(root: AttachmentRow, info: Info) -> str | None:
    wanted = _wanted(root) if root.has_thumbnail else None
    return None if wanted is None else await _address(info, wanted.thumbnail())


_ADDRESSED = ("id", "org_id", "filename", "content_type")


@strawberry.type
class Attachment(Node):
    """A file at a task."""

    row: ClassVar[type[Any]] = AttachmentRow
    read: ClassVar = queries.by_ids

    task: Annotated["Task", strawberry.lazy("graph.tasks")] = to_one(  # type: ignore[name-defined]  # noqa: F821
        task_queries.by_ids, key="task_id", description="What it belongs to."
    )
    filename: str = column("What its uploader calls it; never a path.")
    content_type: str | None = column("As found in the bytes, not as claimed; null until READY.")
    size_bytes: BigInt = column("How long it is, as announced and checked.")
    sha256: str | None = column("Its SHA-256 in lower-case hex, as announced and checked.")
    status: Status = column("REQUESTED until its bytes are checked.")
    rejection_reason: str | None = column("Why it was rejected.", long=True)
    download_url: str | None = computed(
        _download_url,
        needs=_ADDRESSED,
        long=True,
        description="Signed for this viewer, good for five minutes; null unless READY. Browsers save it and never "
        "show it in place.",
    )
    thumbnail_url: str | None = computed(
        _thumbnail_url,
        needs=(*_ADDRESSED, "has_thumbnail"),
        long=True,
        description="A WebP of at most 256 x 256 pixels, signed as `downloadUrl`. PNG, JPEG, WebP and GIF get one soon "
        "after they are READY, if one can be made.",
    )
    uploaded_by: Actor | None = to_one(
        actors.by_refs,
        key=("uploaded_by_kind", "uploaded_by_id"),
        description="Who announced it; null when that is unknown.",
    )
    created_at: datetime = column("When it was announced.")


@strawberry.type
class HttpHeader:
    """A header of a request."""

    name: str = strawberry.field(description="Its name.")
    value: str = strawberry.field(description="Its value.")


@strawberry.type
class UploadTarget:
    """Where the client sends the bytes itself. All headers have to be sent as they are here."""

    url: str = strawberry.field(description="The address.")
    method: str = strawberry.field(description="The method of the request.")
    headers: list[HttpHeader] = strawberry.field(description="What the request has to carry.")
    expires_at: datetime = strawberry.field(description="Until when the request may begin.")


@strawberry.input
class AttachmentUploadCreateInput:
    """A file, before its bytes. Exactly these bytes can be sent."""

    task_id: strawberry.ID = required("What it belongs to.")
    filename: str = required("1 to 255 characters, without a path or control characters. Programs are refused.")
    content_type: str = required("What it is said to be, as a media type; application/octet-stream says nothing.")
    size_bytes: BigInt = required("1 byte to 5 GiB, and what the plan allows of one upload.")
    sha256: str = required("The file's SHA-256 digest in lower-case hex.")


@strawberry.type
class AttachmentUploadPayload:
    """A file that was announced."""

    attachment: Attachment | None = strawberry.field(default=None, description="REQUESTED; null when it was refused.")
    upload: UploadTarget | None = strawberry.field(
        default=None, description="Where its bytes go, within 15 minutes; null when it was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class AttachmentPayload:
    """An attachment after the change."""

    attachment: Attachment | None = strawberry.field(
        default=None, description="The attachment; null when the change was refused."
    )
    errors: list[UserError] = no_errors()


@strawberry.type
class AttachmentMutations:
    """Changes of attachments."""

    @mutation(calls_outside=True)
    def attachment_upload_create(
        self, info: Info, input: AttachmentUploadCreateInput
    ) -> OutsideCall[Upload, AttachmentUploadPayload]:
        """Announce a file, and learn where its bytes go. Needs ATTACHMENT_CREATE. It takes its room at once.

        Send the bytes there, then complete the upload, within 24 hours.
        """
        actor, storage = info.context.actor, info.context.adapters.storage
        task_id, values = parse_id(input.task_id, "task", "input", "taskId"), changes(input, "task_id")

        async def call(attachment_id: UUID) -> Upload:
            return await attachments.announce(actor, task_id, attachment_id, **values, storage=storage)

        async def finish(upload: Upload) -> AttachmentUploadPayload:
            row = await attachments.create(actor, upload)
            target = upload.target
            headers = [HttpHeader(name=name, value=value) for name, value in target.headers.items()]
            return AttachmentUploadPayload(
                attachment=Attachment.of(row),
                upload=UploadTarget(
                    url=target.url, method=target.method, headers=headers, expires_at=target.expires_at
                ),
            )

        return OutsideCall(call, finish, attachments.TIMEOUT_S)

    @mutation(calls_outside=True)
    def attachment_upload_complete(self, info: Info, id: strawberry.ID) -> OutsideCall[Look, AttachmentPayload]:
        """Say that the bytes are there. Who announced them may, with ATTACHMENT_CREATE.

        Checks size, digest and real content type of what arrived: it is READY or REJECTED then. More than 8 MiB are
        checked soon afterwards; ATTACHMENT_UPDATED tells. Said again it changes nothing; CONFLICT when nothing was
        uploaded, EXPIRED after 24 hours, IN_PROGRESS while it is checked.
        """
        actor, storage = info.context.actor, info.context.adapters.storage
        attachment_id = parse_id(id, "attachment")

        async def call(_call_id: UUID) -> Look:
            return await attachments.look(actor, attachment_id, storage=storage)

        async def finish(looked: Look) -> AttachmentPayload:
            return AttachmentPayload(attachment=Attachment.of(await attachments.complete(actor, looked)))

        return OutsideCall(call, finish, attachments.TIMEOUT_S)

    @mutation
    async def attachment_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Delete an attachment and its bytes. Its uploader may, and who holds TASK_DELETE."""
        await attachments.delete(info.context.actor, parse_id(id, "attachment"))
        return DeletePayload(deleted_id=id)
