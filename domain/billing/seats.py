"""Seats follow members: what is paid for is as many as there are."""

from uuid import UUID

from domain.base.database import fetch_value
from domain.base.sql import sql


async def members(org_id: UUID) -> int:
    """How many are members now. Raises Unavailable; Timeout."""
    count: int = await fetch_value(
        sql("SELECT count(*) FROM membership WHERE org_id = {} AND ended_at IS NULL", org_id)
    )
    return count
