"""Reads of the log. What an event is about is read by the features; nothing here knows them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.permissions import Permission
from domain.base.reads import One, Pages, Table
from domain.base.settings import Settings
from domain.base.sql import Row, Sql, all_of, any_of, sql
from domain.events import cursors
from domain.events.types import EventType, types_seen_with


class EventRow(Row):
    """An event. `data` is JSON text, and so is `erasable`: None where there is nothing, or nothing any more."""

    id: UUID
    org_id: UUID
    seq: int
    type: str
    occurred_at: datetime
    actor_kind: str
    actor_id: UUID | None
    project_id: UUID | None
    subject_kind: str
    subject_id: UUID
    data: str
    erasable: str | None


EVENTS = Table(
    "event",
    EventRow,
    {"erasable": "(SELECT event_values.data FROM event_values WHERE event_values.event_id = event.id)"},
)
IN_ORDER = Order((Key("event.seq", KeyKind.NUMBER),))


def visible(actor: Actor) -> Sql:
    """The events of the types that the caller's permissions show, organization by organization."""
    return any_of(
        [
            sql("(event.type = ANY({}::text[]) AND event.org_id = ANY({}::uuid[]))", types, org_ids)
            for permission in Permission
            if (types := types_seen_with(permission)) and (org_ids := actor.orgs_with(permission))
        ]
    )


by_ids = One(EVENTS, visible)
of_organizations = Pages(EVENTS, visible, key="event.org_id")
of_subjects = Pages(EVENTS, visible, key="event.subject_id")


@dataclass(frozen=True)
class Wanted:
    """Which events to keep: of these types, of this project, about this subject (its kind and id)."""

    types: tuple[EventType, ...] | None = None
    project_id: UUID | None = None
    subject: tuple[str, UUID] | None = None

    def condition(self) -> Sql:
        """Holds for the events to keep."""
        pieces = []
        if self.types is not None:
            pieces.append(sql("event.type = ANY({}::text[])", [type_.value for type_ in self.types]))
        if self.project_id is not None:
            pieces.append(sql("event.project_id = {}::uuid", self.project_id))
        if self.subject is not None:
            pieces.append(sql("event.subject_kind = {}::text AND event.subject_id = {}::uuid", *self.subject))
        return all_of(pieces)


def asked(settings: Settings, org_id: UUID, *, first: int | None, after: str | None, wanted: Wanted) -> PageRequest:
    """A page of an organization's log, the oldest first, from its beginning or after a cursor.

    Raises BadInput for a size that request() refuses and a cursor that the log did not give out; ResyncRequired.
    """
    # The organization is part of the scope because `write` is: requests of two must not share a batch.
    scope = repr(("log", org_id, wanted))
    plain = request(IN_ORDER, first=first, after=None, scope=scope, where=wanted.condition)
    place = None if after is None else (cursors.read(settings, org_id, after),)
    return replace(plain, place=place, write=lambda values: cursors.write(settings, org_id, values[0]))


async def heads(actor: Actor) -> dict[UUID, int]:
    """The number of the last event in each of the caller's organizations; one without any is left out."""
    org_ids: Sequence[UUID] = list(actor.standings)
    statement = sql("SELECT org_id, seq FROM event_counter WHERE org_id = ANY({}::uuid[])", org_ids)
    return {row["org_id"]: row["seq"] for row in await fetch(statement, Row)}
