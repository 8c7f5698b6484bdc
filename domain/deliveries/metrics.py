"""One row an organization and hour: how many members, projects, tasks and events it has."""

from datetime import datetime

from domain.base.database import Door, system_fetch

_MEASURE = """
INSERT INTO organization_metrics (id, org_id, at, members, projects, tasks_open, tasks_done, events)
SELECT gen_random_uuid(), organization.id, $1, coalesce(members.count, 0), coalesce(projects.count, 0),
    coalesce(tasks.open, 0), coalesce(tasks.done, 0), coalesce(event_counter.seq, 0)
FROM organization
LEFT JOIN (SELECT org_id, count(*) FROM membership WHERE ended_at IS NULL GROUP BY org_id) AS members
    ON members.org_id = organization.id
LEFT JOIN (SELECT org_id, count(*) FROM project WHERE archived_at IS NULL GROUP BY org_id) AS projects
    ON projects.org_id = organization.id
LEFT JOIN (
    SELECT org_id, count(*) FILTER (WHERE completed_at IS NULL) AS open,
        count(*) FILTER (WHERE completed_at IS NOT NULL) AS done
    FROM task WHERE archived_at IS NULL GROUP BY org_id
) AS tasks ON tasks.org_id = organization.id
LEFT JOIN event_counter ON event_counter.org_id = organization.id
ON CONFLICT (org_id, at) DO NOTHING RETURNING id
"""


async def measure(at: datetime) -> int:
    """Write the rows of the hour that begins then, where they are missing; how many. Archived things do not count.

    Raises Unavailable; Timeout.
    """
    return len(await system_fetch(Door.METRICS, _MEASURE, at))
