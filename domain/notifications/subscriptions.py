"""Who hears of a task: its assignee, its creator and who commented, until they unsubscribe, and who subscribed.

What somebody said of a task in so many words stands, whatever their part in it becomes. Only people subscribe: what an
API key made or wrote subscribes nobody.
"""

from collections.abc import Sequence
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.database import execute, fetch, tx
from domain.base.errors import NotFound
from domain.base.sql import Row, sql
from domain.tasks import queries as tasks
from domain.tasks.queries import TaskRow


async def subscribe(actor: Actor, task_id: UUID) -> TaskRow:
    """Let the caller hear of the task; the task. Raises Unauthenticated for an API key; NotFound."""
    return await _say(actor, task_id, is_subscribed=True)


async def unsubscribe(actor: Actor, task_id: UUID) -> TaskRow:
    """Let the caller hear of the task no more; the task. Raises as `subscribe` does."""
    return await _say(actor, task_id, is_subscribed=False)


async def _say(actor: Actor, task_id: UUID, *, is_subscribed: bool) -> TaskRow:
    user_id = actor.require_person()
    async with tx():
        # It must not be deleted before the row that points at it is there.
        held = sql("SELECT FROM task WHERE id = {} AND {} FOR KEY SHARE", task_id, tasks.visible(actor))
        if not await fetch(held, Row):
            raise NotFound(tasks.TASKS.noun)
        task, at = await tasks.by_ids.get(actor, task_id), now()
        said = sql(
            "INSERT INTO task_subscription AS said (id, org_id, task_id, user_id, is_subscribed, created_at, "
            "updated_at) VALUES ({}, {}, {}, {}, {}, {}, {}) ON CONFLICT (task_id, user_id) DO UPDATE "
            "SET is_subscribed = excluded.is_subscribed, updated_at = excluded.updated_at "
            "WHERE said.is_subscribed <> excluded.is_subscribed",
            *(new_id(), task.org_id, task.id, user_id, is_subscribed, at, at),
        )
        await execute(said)
        return task


async def are_subscribed(actor: Actor, task_ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Task -> whether the caller hears of it; an API key hears of none."""
    person_id = actor.person_id
    statement = sql(
        "SELECT task.id, coalesce(said.is_subscribed, task.assignee_id = {}::uuid "
        "OR (task.creator_kind = 'USER' AND task.creator_id = {}::uuid) "
        "OR EXISTS (SELECT FROM comment WHERE comment.task_id = task.id AND comment.author_kind = 'USER' "
        "AND comment.author_id = {}::uuid)) IS TRUE AS is_subscribed FROM task "
        "LEFT JOIN task_subscription AS said ON said.task_id = task.id AND said.user_id = {}::uuid "
        "WHERE task.id = ANY({}::uuid[]) AND {}",
        *(person_id, person_id, person_id, person_id),
        list(task_ids),
        tasks.visible(actor),
    )
    return {row["id"]: row["is_subscribed"] for row in await fetch(statement, Row)}


async def subscribers_of(task_id: UUID) -> list[UUID]:
    """Who hears of the task, members of today or not. Whoever asks is the system at work in its organization."""
    statement = sql(
        "SELECT part.user_id FROM ("
        "SELECT assignee_id AS user_id FROM task WHERE id = {} AND assignee_id IS NOT NULL "
        "UNION SELECT creator_id FROM task WHERE id = {} AND creator_kind = 'USER' "
        "UNION SELECT author_id FROM comment WHERE task_id = {} AND author_kind = 'USER' "
        "UNION SELECT user_id FROM task_subscription WHERE task_id = {} AND is_subscribed) AS part "
        "WHERE NOT EXISTS (SELECT FROM task_subscription AS said "
        "WHERE said.task_id = {} AND said.user_id = part.user_id AND NOT said.is_subscribed) ORDER BY 1",
        *(task_id,) * 5,
    )
    return [row["user_id"] for row in await fetch(statement, Row)]
