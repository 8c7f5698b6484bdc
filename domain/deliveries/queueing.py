"""What is due and not queued. A queue only carries the news of it and may lose it: the rows are the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from domain.base.database import Door, system_fetch

# What was queued and is not heard of is queued again. A job that runs puts it off, so this is for what the queue lost.
AGAIN_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class Due:
    """A delivery to queue, and the organization that it is done for, if it is one's."""

    id: UUID
    org_id: UUID | None


async def take_due(most: int) -> list[Due]:
    """Deliveries whose time has come, at most `most`, the oldest first. Nobody takes them again within AGAIN_AFTER.

    Raises Unavailable; Timeout.
    """
    rows = await system_fetch(
        Door.QUEUE,
        # One that is locked is being done at this moment.
        "UPDATE delivery SET queue_at = now() + $2 WHERE id = ANY(ARRAY(SELECT id FROM delivery "
        "WHERE state = 'PENDING' AND queue_at <= now() ORDER BY queue_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)) "
        "RETURNING id, org_id",
        most,
        AGAIN_AFTER,
    )
    # Ids follow the order in which they were made.
    return sorted((Due(row["id"], row["org_id"]) for row in rows), key=lambda due: due.id)


async def give_back(taken: Sequence[Due]) -> None:
    """Let what could not be queued be taken again at once. Raises Unavailable; Timeout."""
    await system_fetch(
        Door.QUEUE_AGAIN,
        "UPDATE delivery SET queue_at = available_at WHERE id = ANY($1) AND state = 'PENDING' AND claim IS NULL",
        [due.id for due in taken],
    )


async def forget_queued() -> None:
    """Let all be taken again that is due and nobody is at: the queue has lost everything.

    Raises Unavailable; Timeout.
    """
    await system_fetch(
        Door.QUEUE_ALL,
        "UPDATE delivery SET queue_at = available_at WHERE id = ANY(ARRAY(SELECT id FROM delivery "
        "WHERE state = 'PENDING' AND queue_at > available_at FOR UPDATE SKIP LOCKED))",
    )
