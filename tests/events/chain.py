"""The log of an organization checked from its rows alone, as an auditor would."""

import hashlib
import json
from typing import Any
from uuid import UUID

from tests.factories import rows

# What the digest of an event covers beside the digest before it, in this order.
_COVERED = (
    "org_id",
    "id",
    "seq",
    "type",
    "occurred_at",
    "actor_kind",
    "actor_id",
    "project_id",
    "subject_kind",
    "subject_id",
    "data",
    "values_digest",
)


async def first_fault(org_id: UUID) -> int | None:
    """The number of the first event at which the log does not hold together, or None."""
    digest, number = b"", 0
    for row in await rows("SELECT * FROM event WHERE org_id = $1 ORDER BY seq", org_id):
        number += 1
        text = json.dumps([_plain(row[name]) for name in _COVERED], separators=(",", ":"), ensure_ascii=False)
        digest = hashlib.sha256(digest + text.encode()).digest()
        kept = await rows("SELECT salt, data FROM event_values WHERE event_id = $1", row["id"])
        erasable = [hashlib.sha256(each["salt"] + each["data"].encode()).digest() for each in kept]
        if row["seq"] != number or row["digest"] != digest or erasable not in ([], [row["values_digest"]]):
            return number
    head = await rows("SELECT seq, digest FROM event_counter WHERE org_id = $1", org_id)
    return None if head == [{"seq": number, "digest": digest}] else number + 1


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if value is None or isinstance(value, int) else str(value)
