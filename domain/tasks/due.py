"""Reminders of due dates, as facts of the log: who hears of them is not decided here.

A task's assignee is reminded at 09:00 of the day before, where they live; later, when the reminder was late or the date
was set that late, until the day is over there. Each task is reminded of each date once, whoever its assignee becomes.
"""

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import fetch, tx
from domain.base.sql import Row, sql
from domain.events.log import emit
from domain.projects.models import StateCategory
from domain.tasks.events import TaskDueSoon

AT = time(9)
_DAY = timedelta(days=1)
# No place on earth is further from UTC: what is due there lies within a day of what is due here.
_WIDEST = timedelta(days=2)
_AT_ONCE = 200
# About so many in one transaction: its tasks are held to the end, and people who change them wait.
_AT_MOST = 1000
# For cron: where there may be something to do. $1 is the present.
ORGANIZATIONS = (
    "SELECT DISTINCT task.org_id AS id FROM task "
    "WHERE task.due_date BETWEEN ($1::timestamptz AT TIME ZONE 'UTC')::date - 2 "
    "AND ($1::timestamptz AT TIME ZONE 'UTC')::date + 2 AND task.archived_at IS NULL AND task.assignee_id IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM due_reminder "
    "WHERE due_reminder.task_id = task.id AND due_reminder.due_date = task.due_date)"
)
_OVER = (StateCategory.DONE.value, StateCategory.CANCELED.value)


def window(due: date, zone: str) -> tuple[datetime, datetime]:
    """From when until when a reminder of the date is given to somebody in the time zone; UTC for an unknown one."""
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        place = ZoneInfo("UTC")
    begin = datetime.combine(due - _DAY, AT, place)
    end = datetime.combine(due + _DAY, time(), place)
    return begin.astimezone(UTC), end.astimezone(UTC)


async def remind(actor: Actor, now: datetime) -> int:
    """Write a TASK_DUE_SOON for each task whose time has come, about 1,000 of them at most; how many. Safe to repeat.

    Tasks that are done, canceled or archived, also with their project, have no reminder, nor has one whose assignee is
    no member. The actor is the system at work in the organizations that are looked through.
    """
    total, last = 0, UUID(int=0)
    while True:
        async with tx():
            found = await _candidates(actor, now, last)
            due = [row for row in found if _is_time(row, now)]
            noted = await _note(due)
            for row in due:
                if row["id"] in noted:
                    event = TaskDueSoon(
                        subject_id=row["id"],
                        project_id=row["project_id"],
                        due_date=row["due_date"],
                        assignee_id=row["assignee_id"],
                    )
                    emit(actor, row["org_id"], event)
        total += len(noted)
        if len(found) < _AT_ONCE or total >= _AT_MOST:
            return total
        last = found[-1]["id"]


def _is_time(row: Row, now: datetime) -> bool:
    begin, end = window(row["due_date"], row["time_zone"])
    return begin <= now < end


async def _candidates(actor: Actor, now: datetime, last: UUID) -> list[Row]:
    """The next tasks that may have to be reminded of, held as they are. Who holds one will be found the next time."""
    statement = sql(
        "SELECT task.id, task.org_id, task.project_id, task.due_date, task.assignee_id, preferences.time_zone "
        "FROM task JOIN project ON project.id = task.project_id AND project.archived_at IS NULL "
        "JOIN workflow_state ON workflow_state.id = task.state_id AND NOT workflow_state.category = ANY({}::text[]) "
        "JOIN membership ON membership.org_id = task.org_id AND membership.user_id = task.assignee_id "
        "AND membership.ended_at IS NULL JOIN preferences ON preferences.user_id = task.assignee_id "
        "WHERE task.org_id = ANY({}::uuid[]) AND task.id > {} AND task.due_date BETWEEN {} AND {} "
        "AND task.archived_at IS NULL AND NOT EXISTS (SELECT FROM due_reminder "
        "WHERE due_reminder.task_id = task.id AND due_reminder.due_date = task.due_date) "
        "ORDER BY task.id LIMIT {} FOR SHARE OF task SKIP LOCKED",
        list(_OVER),
        list(actor.standings),
        last,
        (now - _WIDEST).date(),
        (now + _WIDEST).date(),
        _AT_ONCE,
    )
    return await fetch(statement, Row)


async def _note(due: list[Row]) -> set[UUID]:
    """Those of the tasks of which nobody noted the reminder before."""
    if not due:
        return set()
    statement = sql(
        "INSERT INTO due_reminder (id, org_id, task_id, due_date) "
        "SELECT * FROM unnest({}::uuid[], {}::uuid[], {}::uuid[], {}::date[]) "
        "ON CONFLICT (task_id, due_date) DO NOTHING RETURNING task_id",
        [new_id() for _ in due],
        [row["org_id"] for row in due],
        [row["id"] for row in due],
        [row["due_date"] for row in due],
    )
    return {row["task_id"] for row in await fetch(statement, Row)}
