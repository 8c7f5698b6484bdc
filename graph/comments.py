"""Comments on tasks."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import strawberry

from domain.base.paging import PageRequest, request
from domain.comments import queries
from domain.comments import service as comments
from domain.comments.queries import CommentRow
from domain.organizations import actors
from domain.tasks import queries as task_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import changes, column, optional, required, to_many, to_one
from graph.base.ids import parse_id
from graph.base.nodes import Node
from graph.base.payloads import DeletePayload
from graph.identity import Actor, User


@strawberry.type
class Comment(Node):
    """What somebody said about a task. `body` names people as `@(user id)`; clients show the name `mentions` gives."""

    row: ClassVar[type[Any]] = CommentRow
    read: ClassVar = queries.by_ids

    task: Annotated["Task", strawberry.lazy("graph.tasks")] = to_one(  # type: ignore[name-defined]  # noqa: F821
        task_queries.by_ids, key="task_id", description="What it is about."
    )
    author: Actor | None = to_one(
        actors.by_refs, key=("author_kind", "author_id"), description="Who wrote it; null when that is unknown."
    )
    body: str = column("At most 20,000 characters.", long=True)
    mentions: list[User] = to_many(queries.mentions_of, description="Whom the body names; at most 50.")
    reply_to: "Comment | None" = to_one(
        queries.by_ids, key="reply_to_id", description="The comment that it answers; null once that is gone."
    )
    edited_at: datetime | None = column("When its author last changed it.")
    created_at: datetime = column("When it was written.")
    updated_at: datetime = column("When it last changed.")
    version: int = column("Goes up by one with each change.")


def comment_page(
    first: int | None = 20, after: str | None = None, last: int | None = None, before: str | None = None
) -> PageRequest:
    """Oldest first; in both directions."""
    return request(queries.OLDEST_FIRST, first=first, after=after, last=last, before=before)


@strawberry.input
class CommentCreateInput:
    """A new comment."""

    task_id: strawberry.ID = required("What it is about.")
    body: str = required("1 to 20,000 characters; `@(user id)` mentions a member.")
    reply_to_id: strawberry.ID | None = optional("The comment of the same task that it answers.")


@strawberry.type
class CommentPayload:
    """A comment after the change."""

    comment: Comment | None = strawberry.field(default=None, description="The comment; null when it was refused.")
    errors: list[UserError] = no_errors()


@strawberry.type
class CommentMutations:
    """Changes of comments."""

    @mutation
    async def comment_create(self, info: Info, input: CommentCreateInput) -> CommentPayload | None:
        """Comment on a task. Needs COMMENT_CREATE."""
        task_id = parse_id(input.task_id, "task", "input", "taskId")
        values = changes(input, "task_id", ids={"reply_to_id": "comment"})
        return CommentPayload(comment=Comment.of(await comments.create(info.context.actor, task_id, **values)))

    @mutation
    async def comment_update(
        self,
        info: Info,
        id: strawberry.ID,
        body: Annotated[str, strawberry.argument(description="1 to 20,000 characters.")],
        if_version: int | None = None,
    ) -> CommentPayload | None:
        """Change what a comment says. Only its author may."""
        comment = await comments.update(info.context.actor, parse_id(id, "comment"), body=body, if_version=if_version)
        return CommentPayload(comment=Comment.of(comment))

    @mutation
    async def comment_delete(self, info: Info, id: strawberry.ID) -> DeletePayload | None:
        """Delete a comment; replies to it stay. Its author may, and who holds TASK_DELETE."""
        await comments.delete(info.context.actor, parse_id(id, "comment"))
        return DeletePayload(deleted_id=id)
