"""An event leaves one line, which names no person."""

from datetime import UTC, datetime
from uuid import UUID

import structlog

from domain.adapters import analytics


def test_an_event_is_one_line_without_anybody() -> None:
    org_id, at = UUID(int=1), datetime(2026, 11, 21, tzinfo=UTC)

    with structlog.testing.capture_logs() as lines:
        analytics.note("TASK_CREATED", org_id=org_id, seq=7, occurred_at=at, actor_kind="USER")

    assert lines == [
        {
            "event": "event happened",
            "log_level": "info",
            "event_type": "TASK_CREATED",
            "org_id": str(org_id),
            "seq": 7,
            "occurred_at": "2026-11-21T00:00:00+00:00",
            "actor_kind": "USER",
        }
    ]
