"""What the worker does with events: everybody who hears of them is told."""

from typing import Any
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import acting_for, fetch
from domain.base.sql import sql
from domain.events.queries import EVENTS, EventRow
from domain.notifications import service
from tests.factories import rows


async def events_of(org_id: UUID, *types: str) -> list[EventRow]:
    """The organization's events, or those of these types, in order."""
    actor = Actor.system(org_id)
    statement = sql(
        "SELECT {} FROM event WHERE event.org_id = {} AND ({} OR event.type = ANY({}::text[])) ORDER BY event.seq",
        EVENTS.select(actor, EVENTS.columns),
        org_id,
        not types,
        list(types),
    )
    with acting_for([org_id]):
        return await fetch(statement, EventRow)


async def tell(event: EventRow) -> None:
    """Tell everybody who hears of the event."""
    with acting_for([event.org_id]):
        await service.notify_about(Actor.system(event.org_id), event)


async def tell_all(org_id: UUID) -> None:
    """Tell of every event of the organization, in order. What was told before is not told again."""
    for event in await events_of(org_id):
        await tell(event)


async def inbox(user_id: UUID) -> list[tuple[int, str]]:
    """Number and kind of each entry of the person's inbox, hidden ones too, in order."""
    found = await rows("SELECT seq, kind FROM notification WHERE user_id = $1 ORDER BY seq", user_id)
    return [(row["seq"], row["kind"]) for row in found]


async def kinds_by_person(org_id: UUID) -> dict[UUID, list[str]]:
    """Person -> the kinds of their entries of the organization, in order."""
    found: dict[UUID, list[str]] = {}
    statement = "SELECT user_id, kind FROM notification WHERE org_id = $1 ORDER BY user_id, seq"
    entries: list[dict[str, Any]] = await rows(statement, org_id)
    for row in entries:
        found.setdefault(row["user_id"], []).append(row["kind"])
    return found
