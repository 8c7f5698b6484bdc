"""Reads of comments and of whom they mention."""

from datetime import datetime
from uuid import UUID

from domain.base.paging import Key, KeyKind, Order
from domain.base.permissions import Permission
from domain.base.reads import Counts, Many, One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row
from domain.identity import queries as identity


class CommentRow(Row):
    """A comment."""

    id: UUID
    org_id: UUID
    task_id: UUID
    author_kind: str
    author_id: UUID | None
    body: str
    reply_to_id: UUID | None
    edited_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


COMMENTS = Table("comment", CommentRow)
OLDEST_FIRST = Order((Key("comment.created_at", KeyKind.INSTANT), Key("comment.id", KeyKind.UUID)))


visible = for_actor("comment.org_id = ANY({}::uuid[])", orgs_with(Permission.TASK_READ))
"""The comments of tasks that the caller reads."""

by_ids = One(COMMENTS, visible)
of_tasks = Pages(COMMENTS, visible, key="comment.task_id")
counts_of_tasks = Counts(COMMENTS, visible, key="comment.task_id")
mentions_of = Many(
    identity.USERS,
    identity.visible,
    key="comment_mention.comment_id",
    order=Order((Key("comment_mention.id", KeyKind.UUID),)),
    source="JOIN comment_mention ON comment_mention.user_id = users.id",
)
