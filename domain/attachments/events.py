"""What happens to attachments."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from domain.events.log import Change, Event, private, reference


class _AttachmentEvent(Event):
    subject: ClassVar = "attachment"


@dataclass(frozen=True, kw_only=True)
class AttachmentCreated(_AttachmentEvent):
    """Somebody began to upload a file to a task."""

    type: ClassVar = "ATTACHMENT_CREATED"
    task_id: UUID = reference("task")
    size_bytes: int
    filename: str | None = private()


@dataclass(frozen=True, kw_only=True)
class AttachmentUpdated(_AttachmentEvent):
    """A file was found to be right, or was rejected, or got its thumbnail."""

    type: ClassVar = "ATTACHMENT_UPDATED"
    task_id: UUID = reference("task")
    status: Change | None = None
    content_type: Change | None = None
    has_thumbnail: Change | None = None


@dataclass(frozen=True, kw_only=True)
class AttachmentDeleted(_AttachmentEvent):
    """An attachment is gone. One that ends with its task tells nothing of its own."""

    type: ClassVar = "ATTACHMENT_DELETED"
    task_id: UUID = reference("task")
