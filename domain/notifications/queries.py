"""Reads of inboxes. Entries of organizations that their owner has left are hidden, from counts as from lists."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.reads import Counts, One, Pages, Table, own_rows
from domain.base.sql import Row, Sql, sql


class NotificationRow(Row):
    """An entry of somebody's inbox."""

    id: UUID
    org_id: UUID
    user_id: UUID
    seq: int
    event_id: UUID
    kind: str
    actor_kind: str
    actor_id: UUID | None
    subject_kind: str
    subject_id: UUID
    task_id: UUID | None
    read_at: datetime | None
    created_at: datetime


class State(NamedTuple):
    """How far an inbox has come: the number of its last entry, and a number that goes up with every change."""

    seq: int
    version: int


NOTIFICATIONS = Table("notification", NotificationRow)
NEWEST_FIRST = Order((Key("notification.seq", KeyKind.NUMBER, descending=True),))
_EMPTY = State(0, 0)

own_notifications = own_rows("notification")

by_ids = One(NOTIFICATIONS, own_notifications)
of_users = Pages(NOTIFICATIONS, own_notifications, key="notification.user_id")
unread_of_users = Counts(
    NOTIFICATIONS, own_notifications, key="notification.user_id", where="notification.read_at IS NULL"
)


def asked(*, first: int | None, after: str | None, unread_only: bool) -> PageRequest:
    """A page of an inbox, the newest first. Raises BadInput for a size or a cursor that request() refuses."""
    where = _unread if unread_only else None
    return request(NEWEST_FIRST, first=first, after=after, scope=f"inbox {unread_only}", where=where)


def _unread() -> Sql:
    return sql("notification.read_at IS NULL")


async def between(actor: Actor, user_id: UUID, first: int, last: int, *, most: int) -> list[NotificationRow]:
    """The entries of the person, who must be the caller, after number `first` up to `last`, the oldest first."""
    statement = sql(
        "SELECT {} FROM notification WHERE notification.user_id = {} AND notification.seq > {} "
        "AND notification.seq <= {} AND {} ORDER BY notification.seq LIMIT {}",
        NOTIFICATIONS.select(actor, NOTIFICATIONS.columns),
        user_id,
        first,
        last,
        own_notifications(actor),
        most,
    )
    return await fetch(statement, NotificationRow)


async def unread(actor: Actor) -> int:
    """How many of the caller's entries are unread."""
    user_id = actor.require_person()
    return (await unread_of_users(actor, [user_id])).get(user_id, 0)


async def states_of(user_ids: Collection[UUID]) -> dict[UUID, State]:
    """User -> how far the inbox has come; one in which nothing ever was is left out."""
    statement = sql("SELECT user_id, seq, version FROM inbox WHERE user_id = ANY({}::uuid[])", list(user_ids))
    return {row["user_id"]: State(row["seq"], row["version"]) for row in await fetch(statement, Row)}


async def state_of(user_id: UUID) -> State:
    """How far the inbox has come."""
    return (await states_of([user_id])).get(user_id, _EMPTY)
