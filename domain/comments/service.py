"""Comments: written by who may, edited by their author, deleted by their author or a moderator."""

from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import fetch, tx
from domain.base.errors import Conflict, Faults, Forbidden, Invalid, NotFound
from domain.base.models import check_version, save
from domain.base.permissions import Permission
from domain.base.sql import Row, sql
from domain.comments import mentions, queries
from domain.comments.events import CommentCreated, CommentDeleted, CommentUpdated
from domain.comments.models import Comment
from domain.comments.queries import CommentRow
from domain.events.log import Change, emit
from domain.projects import service as projects
from domain.tasks import queries as tasks
from domain.tasks.queries import TaskRow

LONGEST_BODY = 20_000


def _check(body: str) -> None:
    faults = Faults()
    faults.text(body, "body", least=1, most=LONGEST_BODY)
    faults.check()


def _is_author(actor: Actor, comment: CommentRow) -> bool:
    return (comment.author_kind, comment.author_id) == (actor.ref.kind, actor.ref.id)


async def _open_task(actor: Actor, task_id: UUID, permission: Permission, path: str) -> TaskRow:
    """The task, kept where it is, in a project that is not archived. Raises NotFound; Forbidden; Conflict (`path`)."""
    seen = await tasks.by_ids.get(actor, task_id)
    await projects.open_for_tasks(actor, seen.project_id, permission, path=path)
    task = await tasks.by_ids.get(actor, task_id)
    if task.project_id != seen.project_id:
        raise Conflict("The task is being transferred. Try again.", path)
    return task


async def _open(actor: Actor, comment_id: UUID, permission: Permission) -> tuple[TaskRow, CommentRow]:
    seen = await queries.by_ids.get(actor, comment_id)
    try:
        task = await _open_task(actor, seen.task_id, permission, "id")
    except NotFound as gone:
        raise NotFound("comment") from gone
    return task, await queries.by_ids.get_for_update(actor, comment_id, permission)


async def _hold_answered(actor: Actor, task: TaskRow, comment_id: UUID) -> None:
    """Raises Invalid unless it is a comment of the task, which is not deleted before the transaction ends."""
    held = sql(
        "SELECT FROM comment WHERE id = {} AND task_id = {} AND {} FOR KEY SHARE",
        comment_id,
        task.id,
        queries.visible(actor),
    )
    if not await fetch(held, Row):
        raise Invalid("Must be a comment of the same task.", "reply_to_id")


async def create(actor: Actor, task_id: UUID, *, body: str, reply_to_id: UUID | None = None) -> CommentRow:
    """Comment on a task; the row.

    Raises NotFound; Forbidden (COMMENT_CREATE); UserErrors; Invalid for a mention of somebody who is no member, or a
    reply to a comment of another task; Conflict when the project is archived.
    """
    comment_id = new_id()
    async with tx():
        task = await _open_task(actor, task_id, Permission.COMMENT_CREATE, "task_id")
        _check(body)
        if reply_to_id is not None:
            await _hold_answered(actor, task, reply_to_id)
        named = await mentions.check(task.org_id, body)
        await Comment.create(
            id=comment_id,
            org_id=task.org_id,
            task_id=task.id,
            author_kind=actor.ref.kind,
            author_id=actor.ref.id,
            body=body,
            reply_to_id=reply_to_id,
        )
        await mentions.replace(task.org_id, comment_id, named)
        fact = CommentCreated(
            subject_id=comment_id,
            project_id=task.project_id,
            task_id=task.id,
            reply_to_id=reply_to_id,
            mentions=named or None,
            body=body,
        )
        emit(actor, task.org_id, fact)
        return await queries.by_ids.get(actor, comment_id)


async def update(actor: Actor, comment_id: UUID, *, body: str, if_version: int | None = None) -> CommentRow:
    """Change the body; the row. Only its author may.

    Raises NotFound; Forbidden (COMMENT_CREATE, or for another's comment); UserErrors; Invalid for a new mention of
    somebody who is no member; StaleVersion; Conflict when the project is archived.
    """
    async with tx():
        task, comment = await _open(actor, comment_id, Permission.COMMENT_CREATE)
        if not _is_author(actor, comment):
            raise Forbidden("COMMENT_CREATE", "Only its author may edit a comment.")
        check_version(comment, if_version)
        _check(body)
        if body != comment.body:
            before = await mentions.of(comment.id)
            named = await mentions.check(task.org_id, body, kept=before)
            await save(Comment, comment, body=body, edited_at=now())
            await mentions.replace(task.org_id, comment.id, named)
            fact = CommentUpdated(
                subject_id=comment.id,
                project_id=task.project_id,
                task_id=task.id,
                mentions=Change(before, named) if set(before) != set(named) else None,
                body=Change(comment.body, body),
            )
            emit(actor, task.org_id, fact)
        return await queries.by_ids.get(actor, comment_id)


async def delete(actor: Actor, comment_id: UUID) -> None:
    """Delete a comment; replies to it stay. Raises NotFound; Forbidden (TASK_DELETE, unless its author); Conflict."""
    async with tx():
        seen = await queries.by_ids.get(actor, comment_id)
        permission = Permission.COMMENT_CREATE if _is_author(actor, seen) else Permission.TASK_DELETE
        task, comment = await _open(actor, comment_id, permission)
        await Comment.filter(id=comment.id).delete()
        fact = CommentDeleted(subject_id=comment.id, project_id=task.project_id, task_id=task.id)
        emit(actor, comment.org_id, fact)
