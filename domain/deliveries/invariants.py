"""What must hold at any time, asked of the whole database: what is found broken is a fault of ours."""

from dataclasses import dataclass
from uuid import UUID

from domain.base.database import Door, system_fetch

# Examples in a line of the log; their number is counted in full up to FOUND_AT_MOST.
SHOWN = 10
FOUND_AT_MOST = 1000

# Name -> the statement whose rows break it. The first column names the row, mostly by its organization.
INVARIANTS: dict[str, str] = {
    "organization_has_admin": (
        "SELECT organization.id FROM organization WHERE NOT EXISTS (SELECT FROM membership "
        "WHERE org_id = organization.id AND role = 'ADMIN' AND ended_at IS NULL)"
    ),
    "events_are_sent": (
        # The first unsent one: with its number it is found in the index.
        "SELECT event.org_id FROM event_counter LEFT JOIN relay_position USING (org_id) JOIN event "
        "ON event.org_id = event_counter.org_id AND event.seq = coalesce(relay_position.seq, 0) + 1 "
        "WHERE event_counter.seq > coalesce(relay_position.seq, 0) AND event.occurred_at < now() - interval '5 minutes'"
    ),
    "account_entries_are_sent": (
        "SELECT id FROM security_entry WHERE relayed_at IS NULL AND at < now() - interval '5 minutes'"
    ),
    "position_is_in_log": (
        "SELECT org_id FROM relay_position LEFT JOIN event_counter USING (org_id) "
        "WHERE relay_position.seq > coalesce(event_counter.seq, 0)"
    ),
    "event_counter_counts": (
        "SELECT org_id FROM event_counter WHERE seq <> (SELECT coalesce(max(event.seq), 0) FROM event "
        "WHERE event.org_id = event_counter.org_id)"
    ),
    "inbox_counts": (
        "SELECT user_id FROM inbox WHERE seq < (SELECT max(notification.seq) FROM notification "
        "WHERE notification.user_id = inbox.user_id)"
    ),
    "chain_head_fits": (
        "SELECT event_counter.org_id FROM event_counter JOIN event "
        "ON event.org_id = event_counter.org_id AND event.seq = event_counter.seq "
        "WHERE event.digest <> event_counter.digest"
    ),
    "task_numbers_are_counted": (
        "SELECT project_counter.project_id FROM project_counter WHERE last_number < "
        "(SELECT max(number) FROM task WHERE task.project_id = project_counter.project_id)"
    ),
}


@dataclass(frozen=True)
class Broken:
    """An invariant that does not hold, how often (at most FOUND_AT_MOST), and the ids of a few that break it."""

    name: str
    count: int
    examples: list[UUID]


async def broken() -> list[Broken]:
    """The invariants that do not hold. Raises Unavailable; Timeout."""
    found = []
    for name, statement in INVARIANTS.items():
        rows = await system_fetch(Door.INVARIANTS, f"{statement} LIMIT {FOUND_AT_MOST}")
        if rows:
            found.append(Broken(name, len(rows), [row[0] for row in rows[:SHOWN]]))
    return found
