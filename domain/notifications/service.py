"""Inboxes: entries are written for those who hear of an event, and marked by whose they are.

Counter: a row a person, over all organizations. Entries are remembered while a transaction runs and written as its last
step: the counters of all who are told are locked in the order of their ids and held to the commit, so numbers have no
gap, follow commit order, and two writers cannot wait for each other. Marking locks the counter too, before the entries.
A crash before the commit leaves neither; after it both, and whoever follows the inbox finds out within a second.

How many are unread is counted when it is asked: which entries show depends on where their owner is a member today.
A transaction that tells somebody writes no events of its own: the counter of the log would come between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id, now
from domain.base.commits import Commits
from domain.base.database import execute, fetch, require_transaction, tx
from domain.base.errors import BadInput, NotFound
from domain.base.sql import TRUE, Row, Sql, sql
from domain.events.queries import EventRow
from domain.notifications import audience, queries
from domain.notifications.audience import Listener

MOST_IDS = 100


@dataclass(frozen=True)
class Entry:
    """What one person is told of one event."""

    event: EventRow
    listener: Listener
    at: datetime


async def notify_about(actor: Actor, event: EventRow) -> list[Listener]:
    """Write an entry for everybody who hears of the event, and give them back; once more changes nothing.

    The actor is the system at work in the event's organization.
    """
    async with tx() as transaction:
        at, listeners = now(), await audience.of(actor, event)
        for listener in listeners:
            transaction.collect(_write, Entry(event, listener, at))
        return listeners


async def _write(collected: list[Entry]) -> None:
    # One transaction may have come to the same event twice.
    entries = list({(entry.event.id, entry.listener.user_id): entry for entry in collected}.values())
    user_ids = sorted({entry.listener.user_id for entry in entries})
    await _lock(user_ids)
    # Whoever else told them of these events has committed by now, and this statement sees it.
    told = await fetch(_insert(entries), Row)
    changed.tell_after_commit([row["user_id"] for row in told])


async def _lock(user_ids: Sequence[UUID]) -> None:
    """Lock the counters in the order of their ids, after making those that are missing, to the end of the transaction.

    Raises RuntimeError outside one.
    """
    require_transaction()
    # A conflict locks the row, also where the condition keeps it from being written.
    await execute(
        sql(
            "INSERT INTO inbox (user_id, seq, version) SELECT user_id, 0, 0 FROM unnest({}::uuid[]) AS told (user_id) "
            "ORDER BY user_id ON CONFLICT (user_id) DO UPDATE SET version = inbox.version WHERE FALSE",
            user_ids,
        )
    )


def _insert(entries: Sequence[Entry]) -> Sql:
    """Adds those of the entries that are not there yet, and counts them; gives whose inboxes it changed."""
    rows = [
        (
            new_id(),
            entry.event.org_id,
            entry.listener.user_id,
            entry.event.id,
            entry.listener.kind.value,
            entry.event.actor_kind,
            entry.event.actor_id,
            entry.event.subject_kind,
            entry.event.subject_id,
            audience.task_of(entry.event),
            entry.at,
        )
        for entry in entries
    ]
    return sql(
        "WITH told AS (SELECT * FROM unnest({}::uuid[], {}::uuid[], {}::uuid[], {}::uuid[], {}::text[], {}::text[], "
        "{}::uuid[], {}::text[], {}::uuid[], {}::uuid[], {}::timestamptz[]) WITH ORDINALITY AS told (id, org_id, "
        "user_id, event_id, kind, actor_kind, actor_id, subject_kind, subject_id, task_id, created_at, n)), "
        "fresh AS (SELECT told.*, row_number() OVER (PARTITION BY user_id ORDER BY n) AS step FROM told "
        "WHERE NOT EXISTS (SELECT FROM notification "
        "WHERE notification.event_id = told.event_id AND notification.user_id = told.user_id)), "
        "added AS (INSERT INTO notification (id, org_id, user_id, seq, event_id, kind, actor_kind, actor_id, "
        "subject_kind, subject_id, task_id, created_at) SELECT id, org_id, fresh.user_id, inbox.seq + step, event_id, "
        "kind, actor_kind, actor_id, subject_kind, subject_id, task_id, created_at "
        "FROM fresh JOIN inbox ON inbox.user_id = fresh.user_id) "
        "UPDATE inbox SET seq = seq + counted.entries, version = version + 1 "
        "FROM (SELECT user_id, count(*) AS entries FROM fresh GROUP BY 1) AS counted "
        "WHERE inbox.user_id = counted.user_id RETURNING inbox.user_id",
        *map(list, zip(*rows, strict=True)),
    )


async def mark_read(actor: Actor, ids: Sequence[UUID]) -> int:
    """Mark these of the caller's entries as read; how many are unread then. Once more changes nothing.

    Raises Unauthenticated for an API key; BadInput for more than 100; NotFound, and then none is marked.
    """
    return await _mark(actor, is_read=True, ids=ids)


async def mark_unread(actor: Actor, ids: Sequence[UUID]) -> int:
    """Mark these of the caller's entries as unread; how many are unread then. Raises as `mark_read` does."""
    return await _mark(actor, is_read=False, ids=ids)


async def mark_all_read(actor: Actor) -> int:
    """Mark all that the caller sees as read; how many are unread then: none. Raises Unauthenticated for an API key."""
    return await _mark(actor, is_read=True)


async def _mark(actor: Actor, *, is_read: bool, ids: Sequence[UUID] | None = None) -> int:
    user_id = actor.require_person()
    if ids is not None and len(ids) > MOST_IDS:
        raise BadInput(f"At most {MOST_IDS} ids; there are {len(ids)}.", path=["ids"])
    async with tx():
        # First, as those do who add entries; then two that mark the same ones cannot wait for each other.
        await _lock([user_id])
        if ids is not None and set(ids) - (await queries.by_ids(actor, list(ids), ("id",))).keys():
            raise NotFound(queries.NOTIFICATIONS.noun)
        chosen = TRUE if ids is None else sql("notification.id = ANY({}::uuid[])", list(ids))
        marked = sql(
            "WITH marked AS (UPDATE notification SET read_at = {} WHERE (read_at IS NULL) = {} AND {} AND {} "
            "RETURNING 1) UPDATE inbox SET version = version + 1 "
            "WHERE user_id = {} AND EXISTS (SELECT FROM marked) RETURNING user_id",
            now() if is_read else None,
            is_read,
            chosen,
            queries.own_notifications(actor),
            user_id,
        )
        changed.tell_after_commit([row["user_id"] for row in await fetch(marked, Row)])
        return await queries.unread(actor)


changed = Commits()
"""The people whose inboxes a commit of this process has changed."""
