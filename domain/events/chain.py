"""The digest chain of an organization's log, followed from its beginning."""

import hashlib
from uuid import UUID

from domain.base.database import fetch
from domain.base.sql import Row, Sql, sql
from domain.events.log import chained

# Rows in memory at a time; a log may have millions.
_BATCH = 1000


async def verify(org_id: UUID) -> int | None:
    """The number of the first event at which the log does not hold together; None when it is whole.

    It is whole when the numbers have no gap up to the counter's and do not go on behind it, each digest follows from
    the one before and the row, the last one is the counter's, and erasable values, where they are still there, are
    those that the row was written with. Events that are written meanwhile are not looked at.
    """
    # In one statement: the counter and the row that it counts are committed together.
    counted = sql(
        "SELECT coalesce(seq, 0) AS seq, coalesce(digest, ''::bytea) AS digest, coalesce(last, 0) AS last "
        "FROM (SELECT max(seq) AS last FROM event WHERE org_id = {}) AS written "
        "LEFT JOIN event_counter ON org_id = {}",
        org_id,
        org_id,
    )
    ((last, head, written),) = await fetch(counted, Row)
    seq, digest = 0, b""
    while seq < last:
        rows = await fetch(_after(org_id, seq, last), Row)
        for row in rows:
            seq += 1
            follows = row["digest"] == chained(digest, org_id, seq, tuple(row)[:10])
            if row["seq"] != seq or not follows or not _values_fit(row):
                return seq
            digest = row["digest"]
        if not rows:
            return seq + 1
    if digest != head:
        return seq
    return None if written == last else last + 1


def _after(org_id: UUID, seq: int, last: int) -> Sql:
    # The first ten columns are those that the digest covers beside the number, in its order.
    return sql(
        "SELECT event.id, event.type, event.occurred_at, event.actor_kind, event.actor_id, "
        "event.project_id, event.subject_kind, event.subject_id, event.data, event.values_digest, "
        "event.seq, event.digest, event_values.salt, event_values.data AS erasable "
        "FROM event LEFT JOIN event_values ON event_values.org_id = event.org_id AND event_values.event_id = event.id "
        "WHERE event.org_id = {} AND event.seq > {} AND event.seq <= {} ORDER BY event.seq LIMIT {}",
        org_id,
        seq,
        last,
        _BATCH,
    )


def _values_fit(row: Row) -> bool:
    """Whether the erasable values are gone, or those that the event was written with."""
    if row["salt"] is None:
        return True
    return bool(hashlib.sha256(row["salt"] + row["erasable"].encode()).digest() == row["values_digest"])
