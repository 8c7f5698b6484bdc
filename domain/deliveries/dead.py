"""Deliveries that failed for the last time: shown to the operator, and tried again when the operator says so."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.base.database import Door, system_fetch

LISTED_AT_MOST = 1000


@dataclass(frozen=True)
class Dead:
    """A delivery that nobody tries any more. `organization` is a slug; None for what is no organization's."""

    id: UUID
    handler: str
    organization: str | None
    attempts: int
    last_error: str | None
    created_at: datetime


async def listed() -> list[Dead]:
    """The dead, the oldest first, at most LISTED_AT_MOST. Raises Unavailable; Timeout."""
    rows = await system_fetch(
        Door.DEAD_JOBS,
        "SELECT delivery.id, handler, organization.slug AS organization, attempts, last_error, delivery.created_at "
        "FROM delivery LEFT JOIN organization ON organization.id = delivery.org_id WHERE state = 'DEAD' "
        "ORDER BY delivery.id LIMIT $1",
        LISTED_AT_MOST,
    )
    return [Dead(*row) for row in rows]


async def retry(delivery_id: UUID | None) -> int:
    """Let one dead delivery, or all, be tried anew from the first attempt; how many. Raises Unavailable; Timeout."""
    rows = await system_fetch(
        Door.JOBS_RETRIED,
        "UPDATE delivery SET state = 'PENDING', attempts = 0, available_at = now(), queue_at = now(), ended_at = NULL "
        "WHERE state = 'DEAD' AND ($1::uuid IS NULL OR id = $1) RETURNING id",
        delivery_id,
    )
    return len(rows)
