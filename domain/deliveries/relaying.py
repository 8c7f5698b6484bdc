"""From what was committed to what is to be done: a delivery for each event, or account's entry, and each handler.

Unsent is what a log's counter has beyond the log's relay position, and the account entries without `relayed_at`.
Position and deliveries move in one transaction, so a crash leaves both or neither, and nothing is relayed twice.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from uuid import UUID

from domain.base.clock import new_id
from domain.base.database import Door, system, system_fetch
from domain.base.sql import Row

LOGS_AT_ONCE = 50
EVENTS_AT_ONCE = 200
ENTRIES_AT_ONCE = 500


@dataclass(frozen=True)
class Relayed:
    """How many deliveries were made, and whether there may be more to relay."""

    deliveries: int
    is_more: bool


async def relay_logs(
    handlers: Mapping[str, Sequence[str]],
    org_ids: Collection[UUID] | None = None,
    *,
    delays: Mapping[str, timedelta] = MappingProxyType({}),
) -> Relayed:
    """Relay unsent events of these logs, or of any, as far as no other relay is at them; each log in its order.

    `handlers` are the names for each type of event; the deliveries of those with a delay are due that much later.
    Raises Unavailable; Timeout.
    """
    unsent = await system_fetch(
        Door.RELAY,
        "SELECT counter.org_id, position.org_id IS NULL AS is_new FROM event_counter AS counter "
        "LEFT JOIN relay_position AS position USING (org_id) WHERE counter.seq > coalesce(position.seq, 0) "
        "AND ($1::uuid[] IS NULL OR counter.org_id = ANY($1)) LIMIT $2",
        None if org_ids is None else list(org_ids),
        LOGS_AT_ONCE,
    )
    if not unsent:
        return Relayed(0, False)
    if new := [row["org_id"] for row in unsent if row["is_new"]]:
        # A transaction of its own: another relay that makes the same row is waited for no longer than that.
        await system_fetch(
            Door.RELAY,
            "INSERT INTO relay_position (org_id, seq) SELECT org_id, 0 FROM unnest($1::uuid[]) AS new(org_id) "
            "ORDER BY org_id ON CONFLICT DO NOTHING",
            new,
        )
    async with system(Door.RELAY) as connection:
        places = await connection.fetch(
            "SELECT org_id, seq FROM relay_position WHERE org_id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED",
            [row["org_id"] for row in unsent],
        )
        # A statement of its own: what was relayed by who had the lock before is behind the place by now.
        events = await connection.fetch(
            "SELECT event.id, event.org_id, event.seq, event.type "
            "FROM unnest($1::uuid[], $2::bigint[]) AS place(org_id, seq) CROSS JOIN LATERAL ("
            "SELECT * FROM event WHERE event.org_id = place.org_id AND event.seq > place.seq ORDER BY seq LIMIT $3"
            ") AS event ORDER BY event.org_id, event.seq",
            [place["org_id"] for place in places],
            [place["seq"] for place in places],
            EVENTS_AT_ONCE,
        )
        made = [
            (new_id(), event["org_id"], event["id"], event["seq"], handler, delays.get(handler, timedelta()))
            for event in events
            for handler in handlers.get(event["type"], ())
        ]
        if made:
            await connection.execute(
                "INSERT INTO delivery (id, org_id, kind, source_id, seq, handler, available_at, queue_at) "
                "SELECT id, org_id, 'EVENT', source_id, seq, handler, now() + delay, now() + delay "
                "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::interval[]) "
                "AS made(id, org_id, source_id, seq, handler, delay)",
                *map(list, zip(*made, strict=True)),
            )
        last = {event["org_id"]: event["seq"] for event in events}
        await connection.execute(
            "UPDATE relay_position SET seq = last.seq FROM unnest($1::uuid[], $2::bigint[]) AS last(org_id, seq) "
            "WHERE relay_position.org_id = last.org_id",
            list(last),
            list(last.values()),
        )
    # Logs that another relay is at are its own business.
    return Relayed(len(made), bool(events) and (len(unsent) == LOGS_AT_ONCE or len(events) >= EVENTS_AT_ONCE))


async def relay_accounts(handlers: Mapping[str, Sequence[str]]) -> Relayed:
    """Relay unsent entries of accounts' security logs. `handlers` are the names for each action.

    Raises Unavailable; Timeout.
    """
    async with system(Door.ACCOUNT_RELAY) as connection:
        entries: list[Row] = await connection.fetch(
            "SELECT id, user_id, action FROM security_entry WHERE relayed_at IS NULL ORDER BY id LIMIT $1 "
            "FOR NO KEY UPDATE SKIP LOCKED",
            ENTRIES_AT_ONCE,
            record_class=Row,
        )
        made = [
            (new_id(), entry["user_id"], entry["id"], handler)
            for entry in entries
            for handler in handlers.get(entry["action"], ())
        ]
        if made:
            await connection.execute(
                "INSERT INTO delivery (id, user_id, kind, source_id, handler) "
                "SELECT id, user_id, 'ACCOUNT', source_id, handler "
                "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) "
                "AS made(id, user_id, source_id, handler)",
                *map(list, zip(*made, strict=True)),
            )
        if entries:
            await connection.execute(
                "UPDATE security_entry SET relayed_at = now() WHERE id = ANY($1)", [entry["id"] for entry in entries]
            )
    return Relayed(len(made), len(entries) == ENTRIES_AT_ONCE)
