"""Analytics: a line of the log for each event, for whatever collects the logs to count."""

from datetime import datetime
from uuid import UUID

import structlog


def note(event_type: str, *, org_id: UUID, seq: int, occurred_at: datetime, actor_kind: str) -> None:
    """Say that it happened, and to which organization. Who did it and what it was about are not told.

    `org_id` and `seq` name the event, so that who counts can leave out a line that was written twice.
    """
    structlog.get_logger("analytics").info(
        "event happened",
        event_type=event_type,
        org_id=str(org_id),
        seq=seq,
        occurred_at=occurred_at.isoformat(),
        actor_kind=actor_kind,
    )
