"""What has served its time: ended sessions, outcomes under a key, records of what was done or told, old ticks."""

from datetime import datetime, timedelta

from domain.base.database import Door, system_fetch

# Kept for questions about what was done; nothing is relayed twice, so no decision hangs on it.
RECORDS_KEPT_FOR = timedelta(days=30)
OUTCOMES_KEPT_FOR = timedelta(hours=24)
# A statement must not run for long, nor hold many rows.
AT_ONCE = 5000

# The rows that go: the table, and the condition under which a row has served its time. $1 is the present.
ENDED: tuple[tuple[str, str, timedelta], ...] = (
    ("session", "expires_at <= $1", timedelta(0)),
    ("idempotency", "created_at <= $1 AND coalesce(lease_until <= $1, true)", OUTCOMES_KEPT_FOR),
    ("delivery", "state = 'DONE' AND ended_at <= $1", RECORDS_KEPT_FOR),
    ("tick", "begun_at <= $1", RECORDS_KEPT_FOR),
    ("notification", "read_at <= $1", RECORDS_KEPT_FOR),
    (
        "stripe_event",
        "received_at <= $1 AND NOT EXISTS (SELECT FROM delivery WHERE source_id = stripe_event.id AND state <> 'DONE')",
        RECORDS_KEPT_FOR,
    ),
    ("account_token", "expires_at <= $1", RECORDS_KEPT_FOR),
)


async def clean(at: datetime) -> dict[str, int]:
    """Delete what has served its time by then; table -> how many rows. Raises Unavailable; Timeout."""
    gone: dict[str, int] = {}
    for table, condition, kept_for in ENDED:
        gone[table] = 0
        while True:
            rows = await system_fetch(
                Door.CLEAN_UP,
                f"DELETE FROM {table} WHERE id = ANY(ARRAY(SELECT id FROM {table} WHERE {condition} LIMIT $2 "
                "FOR UPDATE SKIP LOCKED)) RETURNING id",
                at - kept_for,
                AT_ONCE,
            )
            gone[table] += len(rows)
            if len(rows) < AT_ONCE:
                break
    return gone
