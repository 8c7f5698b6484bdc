"""Reads of the log. What an event is about is read by the features; nothing here knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.paging import Key, KeyKind, Order, PageRequest, request
from domain.base.permissions import Permission
from domain.base.reads import ForActor, One, Pages, Statement, Table, for_actor, given, orgs_with
from domain.base.settings import Settings
from domain.base.sql import Row, Sql, all_of, any_of, sql
from domain.events import cursors
from domain.events.types import NEEDED, OWN, EventType, types_seen_with


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


_IN_ORG = "event.org_id = ANY({}::uuid[])"
_SHOWN = {permission: types for permission in Permission if (types := types_seen_with(permission))}

# No plain column: an index of the types would be taken for it, and these are nearly all of them.
_shown = any_of(
    [
        all_of([sql("(event.type || '') = ANY({}::text[])", types), for_actor(_IN_ORG, orgs_with(permission)).piece])
        for permission, types in _SHOWN.items()
    ]
)
_nobody_elses = for_actor(
    "(event.type <> ALL({}::text[]) OR (event.actor_kind, event.actor_id) = ({}::text, {}::uuid))",
    lambda _: sorted(OWN),
    lambda actor: actor.ref.kind.value,
    lambda actor: actor.ref.id,
)
visible = ForActor(all_of([_shown, _nobody_elses.piece]))
"""The events of the types that the caller's permissions show, organization by organization, without others' own."""


def sees(actor: Actor, event: EventRow) -> bool:
    """Whether the caller may see the event: what `visible` says, of a row that is read already."""
    # A type that another version of the code writes is not in the table: nobody sees it here.
    if NEEDED.get(cast(EventType, event.type)) not in actor.permissions(event.org_id):
        return False
    return event.type not in OWN or (event.actor_kind, event.actor_id) == (actor.ref.kind, actor.ref.id)


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

    def keeps(self, event: EventRow) -> bool:
        """Whether the condition holds for an event that is read already."""
        return (
            (self.types is None or event.type in self.types)
            and (self.project_id is None or event.project_id == self.project_id)
            and (self.subject is None or (event.subject_kind, event.subject_id) == self.subject)
        )


def asked(settings: Settings, org_id: UUID, *, first: int | None, after: str | None, wanted: Wanted) -> PageRequest:
    """A page of an organization's log, the oldest first, from its beginning or after a cursor.

    Raises BadInput for a size that request() refuses and a cursor that the log did not give out; ResyncRequired.
    """
    # The organization is part of the scope because `write` is: requests of two must not share a batch.
    scope = repr(("log", org_id, wanted))
    plain = request(IN_ORDER, first=first, after=None, scope=scope, where=wanted.condition)
    place = None if after is None else (cursors.read(settings, org_id, after),)
    return replace(plain, place=place, write=lambda values: cursors.write(settings, org_id, values[0]))


async def beyond(places: Mapping[UUID, int], most: int) -> list[EventRow]:
    """The events behind a place in each organization's log, at most `most` of each, in order.

    All of them: whoever shows one to somebody asks `sees` first.
    """
    listed = EVENTS.select(Actor.system(), EVENTS.columns)
    statement = sql(
        "SELECT {} FROM unnest({}::uuid[], {}::bigint[]) AS place(org_id, seq) CROSS JOIN LATERAL (SELECT * FROM event "
        "WHERE event.org_id = place.org_id AND event.seq > place.seq ORDER BY event.seq LIMIT {}) AS event "
        "ORDER BY event.org_id, event.seq",
        listed,
        list(places),
        list(places.values()),
        most,
    )
    return await fetch(statement, EventRow)


async def between(actor: Actor, org_id: UUID, first: int, last: int, *, condition: Sql, most: int) -> list[EventRow]:
    """The events after number `first` up to `last` that the caller may see and the condition keeps, in order."""
    statement = sql(
        "SELECT {} FROM event WHERE event.org_id = {} AND event.seq > {} AND event.seq <= {} AND {} AND {} "
        "ORDER BY event.seq LIMIT {}",
        EVENTS.select(actor, EVENTS.columns),
        org_id,
        first,
        last,
        condition,
        visible(actor),
        most,
    )
    return await fetch(statement, EventRow)


async def heads(actor: Actor) -> dict[UUID, int]:
    """The number of the last event in each of the caller's organizations; one without any is left out."""
    org_ids: Sequence[UUID] = list(actor.standings)
    statement = sql("SELECT org_id, seq FROM event_counter WHERE org_id = ANY({}::uuid[])", org_ids)
    return {row["org_id"]: row["seq"] for row in await fetch(statement, Row)}


_MARKS = Statement(
    sql("SELECT org_id, seq, digest FROM event_counter WHERE org_id = ANY({}::uuid[])", given("org_ids")), Row
)


async def marks(actor: Actor, org_ids: Sequence[UUID]) -> dict[UUID, str]:
    """How far the log of each of the caller's organizations has come, as a text; one whose log is empty is left out.

    The number of its last event, and the beginning of that one's digest: a database that was set back to an earlier
    state gives the same numbers to other events.
    """
    own = [org_id for org_id in org_ids if org_id in actor.standings]
    rows = await _MARKS.run(actor, {"org_ids": own})
    return {row["org_id"]: f"{row['seq']}.{row['digest'][:8].hex()}" for row in rows}
