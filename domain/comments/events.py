"""What happens to comments."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from domain.events.log import Change, Event, private, reference


class _CommentEvent(Event):
    subject: ClassVar = "comment"


@dataclass(frozen=True, kw_only=True)
class CommentCreated(_CommentEvent):
    """Somebody commented on a task."""

    type: ClassVar = "COMMENT_CREATED"
    task_id: UUID = reference("task")
    reply_to_id: UUID | None = reference("comment", default=None)
    mentions: list[UUID] | None = reference("user", default=None)
    body: str | None = private()


@dataclass(frozen=True, kw_only=True)
class CommentUpdated(_CommentEvent):
    """A comment's author changed its body."""

    type: ClassVar = "COMMENT_UPDATED"
    task_id: UUID = reference("task")
    mentions: Change | None = reference("user", default=None)
    body: Change | None = private()


@dataclass(frozen=True, kw_only=True)
class CommentDeleted(_CommentEvent):
    """A comment is gone."""

    type: ClassVar = "COMMENT_DELETED"
    task_id: UUID = reference("task")
