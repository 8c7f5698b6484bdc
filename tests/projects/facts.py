"""What the log holds, erasable values included."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from tests.factories import rows


@dataclass(frozen=True)
class Logged:
    """An event as it was written."""

    type: str
    subject_id: UUID
    project_id: UUID | None
    open: dict[str, Any]
    erasable: dict[str, Any]


async def logged(org_id: UUID, *, after: int = 0) -> list[Logged]:
    """The organization's events in order, without the first `after`."""
    found = await rows(
        "SELECT type, subject_id, project_id, event.data AS open, event_values.data AS erasable FROM event "
        "LEFT JOIN event_values ON event_values.event_id = event.id WHERE event.org_id = $1 AND seq > $2 ORDER BY seq",
        org_id,
        after,
    )
    return [
        Logged(
            row["type"],
            row["subject_id"],
            row["project_id"],
            {name: value for name, value in orjson.loads(row["open"]).items() if value is not None},
            orjson.loads(row["erasable"] or "{}"),
        )
        for row in found
    ]


def change(was: Any, now: Any) -> dict[str, Any]:
    """A value before and after, as the log writes it."""
    return {"was": was, "now": now}
