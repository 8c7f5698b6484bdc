"""Whether credentials still hold, and where whoever holds them stands today: for connections that stay open."""

from collections.abc import Collection
from uuid import UUID

from domain.base.actor import Standing
from domain.base.clock import now
from domain.base.database import Door, system_fetch
from domain.base.permissions import Role
from domain.base.sql import Row
from domain.organizations.api_keys import standing_of


async def present(session_ids: Collection[UUID], api_key_ids: Collection[UUID]) -> dict[UUID, dict[UUID, Standing]]:
    """Session or key -> organization -> standing. One that has ended is left out; this does not count as its use.

    Raises Unavailable; Timeout.
    """
    found: dict[UUID, dict[UUID, Standing]] = {}
    if session_ids:
        for row in await _ask(
            "SELECT session.id, membership.org_id, membership.role FROM session "
            "LEFT JOIN membership ON membership.user_id = session.user_id AND membership.ended_at IS NULL "
            "WHERE session.id = ANY($1::uuid[]) AND session.expires_at > $2 ORDER BY membership.id",
            session_ids,
        ):
            standings = found.setdefault(row["id"], {})
            if row["org_id"] is not None:
                standings[row["org_id"]] = Standing.of_role(Role(row["role"]))
    if api_key_ids:
        for row in await _ask(
            "SELECT api_key.id, api_key.org_id, api_key.permissions, membership.role FROM api_key "
            "JOIN membership ON membership.org_id = api_key.org_id AND membership.user_id = api_key.user_id "
            "AND membership.ended_at IS NULL WHERE api_key.id = ANY($1::uuid[]) AND api_key.revoked_at IS NULL "
            "AND (api_key.expires_at IS NULL OR api_key.expires_at > $2)",
            api_key_ids,
        ):
            found[row["id"]] = {row["org_id"]: standing_of(Role(row["role"]), row["permissions"])}
    return found


async def _ask(text: str, ids: Collection[UUID]) -> list[Row]:
    return await system_fetch(Door.OPEN_SOCKETS, text, list(ids), now())
