"""Reads of conversations. A person sees their own, of the organizations that they are in today; a key has none."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from domain.base.database import fetch
from domain.base.paging import Key, KeyKind, Order, PageRequest, newest_first, request
from domain.base.reads import One, Pages, Table, own_rows
from domain.base.sql import Row, sql


class ThreadRow(Row):
    """A conversation."""

    id: UUID
    org_id: UUID
    user_id: UUID
    title: str
    created_at: datetime
    updated_at: datetime


class MessageRow(Row):
    """A question or an answer. `sources` is JSON text."""

    id: UUID
    org_id: UUID
    user_id: UUID
    thread_id: UUID
    question_id: UUID | None
    role: str
    status: str
    content: str
    sources: str
    input_tokens: int | None
    output_tokens: int | None
    claim: UUID | None
    version: int
    created_at: datetime
    finished_at: datetime | None


THREADS = Table("ai_thread", ThreadRow, called="thread")
MESSAGES = Table("ai_message", MessageRow, called="message")
NEWEST_FIRST = newest_first("ai_thread")
IN_ORDER = Order((Key("ai_message.created_at", KeyKind.INSTANT), Key("ai_message.id", KeyKind.UUID)))

visible_threads = own_rows("ai_thread")
visible = own_rows("ai_message")

threads_by_ids = One(THREADS, visible_threads)
threads_of_users = Pages(THREADS, visible_threads, key="ai_thread.user_id")
by_ids = One(MESSAGES, visible)
of_threads = Pages(MESSAGES, visible, key="ai_message.thread_id")


def asked_threads(org_id: UUID, *, first: int | None, after: str | None) -> PageRequest:
    """A page of somebody's threads in one organization, the newest first. Raises BadInput as request() does."""
    return request(
        NEWEST_FIRST,
        first=first,
        after=after,
        scope=f"threads {org_id}",
        where=lambda: sql("ai_thread.org_id = {}", org_id),
    )


def asked(*, first: int | None, after: str | None) -> PageRequest:
    """A page of a thread, the oldest first. Raises BadInput as request() does."""
    return request(IN_ORDER, first=first, after=after, scope="messages")


async def versions_of(ids: Collection[UUID]) -> dict[UUID, int]:
    """Message -> a number that goes up with every change; 0 for one that is not there, or not the tenant's."""
    found = await fetch(sql("SELECT id, version FROM ai_message WHERE id = ANY({}::uuid[])", list(ids)), Row)
    return dict.fromkeys(ids, 0) | {row["id"]: row["version"] for row in found}
