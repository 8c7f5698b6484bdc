"""Threads: a person's conversations with a language model. What is said in one is in chat.py."""

from uuid import UUID

from domain.ai import queries
from domain.ai.models import AiThread
from domain.ai.queries import ThreadRow
from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import execute, tx
from domain.base.errors import Faults
from domain.base.permissions import Permission
from domain.base.sql import sql

LONGEST_TITLE = 200


async def create(actor: Actor, org_id: UUID, *, title: str | None) -> ThreadRow:
    """Begin a thread; the row. Without a title its first question becomes one, and until then it is empty.

    Raises Unauthenticated for an API key; NotFound; Forbidden (AI_USE); UserErrors.
    """
    user_id = actor.require_person()
    actor.require(Permission.AI_USE, org_id=org_id)
    faults = Faults()
    faults.text(title, "title", least=1, most=LONGEST_TITLE)
    faults.check()
    thread_id = new_id()
    async with tx():
        await AiThread.create(id=thread_id, org_id=org_id, user_id=user_id, title=title or "")
        return await queries.threads_by_ids.get(actor, thread_id)


async def delete(actor: Actor, thread_id: UUID) -> None:
    """Delete one of the caller's own, with all that was said. Whoever writes an answer finds out, and stops.

    Raises Unauthenticated for an API key; NotFound, also for another's.
    """
    actor.require_person()
    async with tx():
        thread = await queries.threads_by_ids.get_for_update(actor, thread_id, Permission.ORG_READ)
        await execute(sql("DELETE FROM ai_thread WHERE id = {}", thread.id))
