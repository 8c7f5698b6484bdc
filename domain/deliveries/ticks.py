"""Cron's ticks: a row for each period that has begun, and the deliveries that it makes, in one transaction."""

from datetime import datetime

from domain.base.clock import new_id
from domain.base.database import Door, system

EVERY_ORGANIZATION = "SELECT id FROM organization"


async def begin(name: str, period_start: datetime, handler: str, organizations: str | None) -> bool:
    """Begin the period and make its deliveries; False when it was begun before, by whomever.

    `organizations` is the statement that gives the ids of those that there is something to do for, with the period's
    start as $1; None makes one delivery that is nobody's. Raises Unavailable; Timeout.
    """
    async with system(Door.TICKS) as connection:
        tick_id = await connection.fetchval(
            "INSERT INTO tick (id, name, period_start, begun_at) VALUES ($1, $2, $3, now()) "
            "ON CONFLICT DO NOTHING RETURNING id",
            new_id(),
            name,
            period_start,
        )
        if tick_id is None:
            return False
        org_ids = [None]
        if organizations is not None:
            values = (period_start,) if "$1" in organizations else ()
            org_ids = [row[0] for row in await connection.fetch(organizations, *values)]
        await connection.execute(
            "INSERT INTO delivery (id, org_id, kind, source_id, tick_at, handler) "
            "SELECT id, org_id, 'TICK', $3, $4, $5 "
            "FROM unnest($1::uuid[], $2::uuid[]) AS made(id, org_id)",
            [new_id() for _ in org_ids],
            org_ids,
            tick_id,
            period_start,
            handler,
        )
        return True
