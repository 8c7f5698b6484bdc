"""Messages: a question is asked, and its answer is asked for with it, in one transaction. answering.py writes it.

An answer moves once: from STREAMING to DONE or FAILED by whoever writes it, to CANCELED by whoever asked. Each move is
one UPDATE that holds only while it is STREAMING, so of two that want to end it one does.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.adapters.language_model import LanguageModel
from domain.adapters.throttle import Throttle
from domain.ai import budget, queries
from domain.ai.models import AiMessage, AiMessageStatus, AiRole
from domain.ai.queries import MESSAGES, MessageRow, ThreadRow
from domain.base import outbox
from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.commits import Commits
from domain.base.database import execute, fetch, fetch_value, tx
from domain.base.errors import Conflict, Faults
from domain.base.permissions import Permission
from domain.base.sql import Sql, joined, sql

HANDLER = "ai.answer"
LONGEST_QUESTION = 8_000
LONGEST_GIVEN_TITLE = 80
ENDED_BADLY = (AiMessageStatus.FAILED, AiMessageStatus.CANCELED)


@dataclass(frozen=True)
class Exchange:
    """A question and one of its answers."""

    question: MessageRow
    answer: MessageRow


async def send(
    actor: Actor, thread_id: UUID, *, content: str, model: LanguageModel | None, throttle: Throttle
) -> Exchange:
    """Ask something in one of the caller's own threads; the question, and the answer as it begins.

    Raises Unauthenticated for an API key; what `budget.admit` raises; UserErrors (content); Conflict while the last
    answer is being written.
    """
    actor.require_person()
    thread = await queries.threads_by_ids.get(actor, thread_id)
    await budget.admit(actor, thread.org_id, model, throttle)
    faults = Faults()
    faults.text(content, "content", least=1, most=LONGEST_QUESTION)
    faults.check()
    async with tx():
        thread = await _quiet(actor, thread_id, "thread_id")
        question_id = new_id()
        await AiMessage.create(
            id=question_id,
            org_id=thread.org_id,
            thread_id=thread.id,
            user_id=thread.user_id,
            role=AiRole.USER,
            status=AiMessageStatus.DONE,
            content=content,
            finished_at=now(),
        )
        if not thread.title:
            given = " ".join(content.split())[:LONGEST_GIVEN_TITLE]
            await execute(sql("UPDATE ai_thread SET title = {} WHERE id = {}", given, thread.id))
        return await _asked(actor, thread, question_id)


async def retry(actor: Actor, message_id: UUID, *, model: LanguageModel | None, throttle: Throttle) -> Exchange:
    """Ask again what one of the caller's answers has not answered; the question, and a new answer as it begins.

    Raises as `send` does, but for UserErrors; Conflict also for what is no answer that FAILED or was CANCELED.
    """
    actor.require_person()
    before = await queries.by_ids.get(actor, message_id)
    await budget.admit(actor, before.org_id, model, throttle)
    async with tx():
        thread = await _quiet(actor, before.thread_id, "id")
        # Read under the lock of its thread.
        before = await queries.by_ids.get(actor, message_id)
        if before.question_id is None or before.status not in ENDED_BADLY:
            raise Conflict("Only an answer that FAILED or was CANCELED is asked for again.", "id")
        return await _asked(actor, thread, before.question_id)


async def cancel(actor: Actor, message_id: UUID) -> Exchange:
    """End an answer of the caller's as it is. Whoever writes it finds out within half a second, and hangs up.

    Raises Unauthenticated for an API key; NotFound, also for another's; Conflict for what is not being written.
    """
    actor.require_person()
    async with tx():
        message = await queries.by_ids.get_for_update(actor, message_id, Permission.ORG_READ)
        if not await end(sql("ai_message.id = {}", message.id), AiMessageStatus.CANCELED):
            raise Conflict("It is not being written any more.", "id")
        return await _exchange(actor, message.id)


async def end(which: Sql, status: AiMessageStatus, **values: Any) -> list[UUID]:
    """End those of the messages that are being written, in the open transaction; their ids."""
    at = now()
    changes = {"status": status.value, "finished_at": at, "updated_at": at, **values}
    statement = sql(
        "UPDATE ai_message SET version = version + 1, {} WHERE {} AND status = {} RETURNING {}",
        joined(", ", [sql(f"{name} = {{}}", value) for name, value in changes.items()]),
        which,
        AiMessageStatus.STREAMING.value,
        MESSAGES.listed(("id",)),
    )
    ended = [message.id for message in await fetch(statement, MessageRow)]
    changed.tell_after_commit(ended)
    return ended


async def _quiet(actor: Actor, thread_id: UUID, path: str) -> ThreadRow:
    """The thread, locked. Raises Conflict (`path`) while an answer is written."""
    thread = await queries.threads_by_ids.get_for_update(actor, thread_id, Permission.AI_USE)
    written = "SELECT count(*) FROM ai_message WHERE thread_id = {} AND status = {}"
    if await fetch_value(sql(written, thread.id, AiMessageStatus.STREAMING.value)):
        raise Conflict("The last answer is still being written. Wait for it, or cancel it.", path)
    return thread


async def _asked(actor: Actor, thread: ThreadRow, question_id: UUID) -> Exchange:
    answer_id = new_id()
    await AiMessage.create(
        id=answer_id,
        org_id=thread.org_id,
        thread_id=thread.id,
        user_id=thread.user_id,
        question_id=question_id,
        role=AiRole.ASSISTANT,
        status=AiMessageStatus.STREAMING,
    )
    await outbox.ask(HANDLER, answer_id, org_id=thread.org_id)
    return await _exchange(actor, answer_id)


async def _exchange(actor: Actor, answer_id: UUID) -> Exchange:
    answer = await queries.by_ids.get(actor, answer_id)
    return Exchange(await queries.by_ids.get(actor, answer.question_id), answer)


changed = Commits()
"""The answers that a commit of this process has ended."""
