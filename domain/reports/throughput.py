"""Reads of the log: how many tasks were made and done, how long they took, and how many stood where, day by day.

A task's history is the states that it came into, in the log's order: TASK_CREATED, TASK_TRANSITIONED, TASK_TRANSFERRED.
What a state means is what it means today, through all of its past; of a state that is gone, what the log last told of
it. The rules that follow from this:

- A task counts in the project that it is in today, with all of its history; archived ones count, deleted ones do not.
- It is done when it came into a DONE state from another, and has not left DONE before the end of the period. So one
  that was reopened is not done until it is done again, and each task is done once, at the last time.
- Lead time goes from its making to then, cycle time from the first time that it was started (IN_PROGRESS); the time in
  which it was thought to be done belongs to both. Without a start it has no cycle time.
- Nothing counts that happened behind the period, so a report of days gone by stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from domain.base.database import fetch
from domain.base.sql import Row, Sql, sql
from domain.projects.models import StateCategory
from domain.reports.queries import Scope

_COMES_INTO = ("TASK_CREATED", "TASK_TRANSITIONED", "TASK_TRANSFERRED")
_TELLS_OF_STATES = ("WORKFLOW_STATE_CREATED", "WORKFLOW_STATE_UPDATED")
_SECONDS_A_DAY = 86400


@dataclass(frozen=True)
class Times:
    """How long tasks took, in days, that are done by half and by 85 of a hundred; None where there are none."""

    lead_p50: float | None = None
    lead_p85: float | None = None
    cycle_p50: float | None = None
    cycle_p85: float | None = None


@dataclass(frozen=True)
class Week:
    """What happened in a week, as far as it lies in the period."""

    first: date
    last: date
    created: int = 0
    done: int = 0
    times: Times = field(default_factory=Times)


async def weeks(scope: Scope) -> tuple[list[Week], Week]:
    """Each week, and all of the period as one."""
    firsts = scope.period.weeks()
    bounds = [*map(scope.period.begin_of, firsts), scope.period.end]
    statement = sql(
        "WITH {}, "
        "life AS (SELECT task_id, min(at) FILTER (WHERE is_created) AS created_at, "
        "min(at) FILTER (WHERE category = 'IN_PROGRESS') AS started_at, "
        "max(at) FILTER (WHERE category = 'DONE' AND was IS DISTINCT FROM 'DONE') AS done_at, "
        "(array_agg(category ORDER BY seq DESC))[1] = 'DONE' AS is_done FROM moved GROUP BY task_id) "
        "SELECT 'created' AS what, width_bucket(created_at, {}::timestamptz[]) AS week, count(*) AS tasks, "
        "NULL::float8[] AS lead, NULL::float8[] AS cycle FROM life WHERE created_at >= {} "
        "GROUP BY GROUPING SETS ((2), ()) "
        "UNION ALL "
        "SELECT 'done', width_bucket(done_at, {}::timestamptz[]), count(*), {}, {} "
        "FROM life WHERE is_done AND done_at >= {} GROUP BY GROUPING SETS ((2), ())",
        _history(scope),
        *(bounds, scope.period.begin, bounds),
        *(_percentiles("done_at - created_at"), _percentiles("done_at - started_at"), scope.period.begin),
    )
    found = {(row["what"], row["week"]): row for row in await fetch(statement, Row)}
    lasts = [day - timedelta(days=1) for day in firsts[1:]] + [scope.period.last]
    listed = [
        _week(first, last, found.get(("created", number)), found.get(("done", number)))
        for number, (first, last) in enumerate(zip(firsts, lasts, strict=True), start=1)
    ]
    whole = _week(scope.period.first, scope.period.last, found.get(("created", None)), found.get(("done", None)))
    return listed, whole


def _week(first: date, last: date, created: Row | None, done: Row | None) -> Week:
    lead, cycle = (None, None) if done is None else (done["lead"], done["cycle"])
    return Week(
        first,
        last,
        created=0 if created is None else created["tasks"],
        done=0 if done is None else done["tasks"],
        times=Times(*(lead or (None, None)), *(cycle or (None, None))),
    )


def _percentiles(span: str) -> Sql:
    return sql(
        "percentile_cont(ARRAY[0.5, 0.85]) WITHIN GROUP "
        f"(ORDER BY (extract(epoch FROM {span}) / {_SECONDS_A_DAY})::float8)"
    )


async def flow(scope: Scope, until: date) -> dict[date, dict[str, int]]:
    """Day -> category -> how many tasks stood there at its end, for each day of the period up to `until`."""
    period = scope.period
    days = [day for day in period.days() if day <= until]
    if not days:
        return {}
    bounds = [period.begin_of(day) for day in days]
    statement = sql(
        "WITH {} SELECT width_bucket(at, {}::timestamptz[]) AS day, category, sum(step) AS step FROM ("
        "SELECT at, category, 1 AS step FROM moved UNION ALL "
        "SELECT at, was, -1 FROM moved WHERE was IS NOT NULL) AS steps GROUP BY 1, 2",
        _history(replace(scope, period=replace(period, last=days[-1]))),
        bounds,
    )
    steps: dict[int, dict[str, int]] = {}
    for row in await fetch(statement, Row):
        steps.setdefault(row["day"], {})[row["category"]] = row["step"]
    standing = {category.value: steps.get(0, {}).get(category, 0) for category in StateCategory}
    found: dict[date, dict[str, int]] = {}
    for number, day in enumerate(days, start=1):
        for category, step in steps.get(number, {}).items():
            standing[category] += step
        found[day] = dict(standing)
    return found


def _history(scope: Scope) -> Sql:
    """Parts of a WITH. `moved`: each time that a task came into a state before the period's end.

    With what the state means, and what the one before meant: `category`, `was`.
    """
    return sql(
        "chosen AS (SELECT task.id FROM task JOIN project ON project.id = task.project_id WHERE {} AND {}), "
        "told AS (SELECT DISTINCT ON (subject_id) subject_id AS state_id, category FROM ("
        "SELECT subject_id, seq, CASE type WHEN 'WORKFLOW_STATE_CREATED' THEN data::jsonb ->> 'category' "
        "ELSE data::jsonb -> 'category' ->> 'now' END AS category FROM event WHERE org_id = {} AND {}) AS telling "
        "WHERE category IS NOT NULL ORDER BY subject_id, seq DESC), "
        "came AS (SELECT event.subject_id AS task_id, event.seq, event.occurred_at AS at, "
        "event.type = 'TASK_CREATED' AS is_created, "
        "CASE event.type WHEN 'TASK_CREATED' THEN event.data::jsonb ->> 'state_id' "
        "ELSE event.data::jsonb -> 'state_id' ->> 'now' END::uuid AS state_id, "
        # A task that becomes completed by coming into a state shows that the state meant done.
        "event.data::jsonb -> 'completed_at' ->> 'now' IS NOT NULL AS completes "
        "FROM event JOIN chosen ON chosen.id = event.subject_id "
        "WHERE event.org_id = {} AND {} AND event.occurred_at < {}), "
        "meant AS (SELECT task_id, seq, at, is_created, coalesce(workflow_state.category, told.category, "
        "CASE WHEN completes THEN 'DONE' ELSE 'TODO' END) AS category "
        "FROM came LEFT JOIN workflow_state ON workflow_state.id = came.state_id "
        "LEFT JOIN told ON told.state_id = came.state_id), "
        "moved AS (SELECT *, lag(category) OVER (PARTITION BY task_id ORDER BY seq) AS was FROM meant)",
        *(scope.projects(), scope.tasks()),
        *(scope.org_id, _types(_TELLS_OF_STATES)),
        *(scope.org_id, _types(_COMES_INTO), scope.period.end),
    )


def _types(types: Sequence[str]) -> Sql:
    return sql("event.type = ANY({}::text[])", list(types))
