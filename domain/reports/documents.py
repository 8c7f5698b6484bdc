"""What stands in each kind's PDF: the numbers of a scope as figures, charts and tables."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from itertools import groupby

from domain.projects.models import StateCategory
from domain.reports import queries, throughput
from domain.reports.definitions import CATEGORY_NAMES, TITLES, Period, ReportKind, week_of
from domain.reports.queries import ListedTaskRow, PersonCountRow, Scope, StateCountRow
from domain.reports.shapes import Chart, Column, Document, Series, Side, Table
from domain.reports.tables import name_of
from domain.reports.throughput import Times, Week

MOST_TASKS = 2000
"""More would be some forty pages; who wants them all takes the CSV."""
MOST_BARS = 25
_OVER = (StateCategory.DONE, StateCategory.CANCELED)
_FROM_DONE = (*tuple(reversed(StateCategory))[1:], StateCategory.CANCELED)
Parts = tuple[Sequence[tuple[str, str]], Sequence[Chart], Sequence[Table], Sequence[str]]


async def document(
    kind: ReportKind, scope: Scope, facts: Sequence[tuple[str, str]], *, organization: str, locale: str
) -> Document:
    """The report of the scope. `facts` are what it is about: lines of label and value."""
    figures, charts, tables, notes = await _PARTS[kind](scope)
    return {
        "title": TITLES[kind],
        "organization": organization,
        "locale": locale,
        "facts": facts,
        "figures": figures,
        "charts": [chart for chart in charts if chart["labels"]],
        "tables": tables,
        "notes": notes,
    }


def span(period: Period) -> str:
    """The days of the period, as people write them."""
    first, last = period.first, period.last
    if first == last:
        return _day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} \N{EN DASH} {_day(last)}"
    return f"{_day(first)} \N{EN DASH} {_day(last)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def _number(value: float | None, digits: int = 0) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,.{digits}f}"


def _share(part: int, whole: int) -> str:
    # Rounded down: only what is all done is 100 %.
    return f"{100 * part // whole} %" if whole else "\N{EN DASH}"


def _columns(*columns: tuple[str, float, Side]) -> list[Column]:
    return [{"title": title, "width_mm": width, "side": side} for title, width, side in columns]


def _series(name: str, values: Sequence[float | None]) -> Series:
    return {"name": name, "values": values}


async def _status(scope: Scope) -> Parts:
    states = await queries.counts_by_state(scope)
    by_category = Counter[str]()
    for row in states:
        by_category[row.category] += row.tasks
    open_ = sum(tasks for category, tasks in by_category.items() if category not in _OVER)
    done = by_category[StateCategory.DONE]
    figures = [
        ("Tasks", _number(by_category.total())),
        ("Progress", _share(done, done + open_)),
        ("Open", _number(open_)),
        ("Started", _number(by_category[StateCategory.IN_PROGRESS])),
        ("Overdue", _number(sum(row.overdue for row in states))),
        ("Done in the period", _number(sum(row.done for row in states))),
    ]
    if scope.project_id is None:
        names = [CATEGORY_NAMES[category] for category in StateCategory]
        counts = [by_category[category] for category in StateCategory]
    else:
        names, counts = [row.state_name for row in states], [row.tasks for row in states]
    chart: Chart = {
        "kind": "ranks",
        "title": "Tasks by state",
        "unit": "tasks",
        "labels": names,
        "series": [_series("Tasks", counts)],
    }
    tables = [] if scope.project_id is not None else [_projects(states)]
    listed = await queries.first_tasks(scope, most=MOST_TASKS)
    total = len(listed) if len(listed) < MOST_TASKS else await queries.number_of_tasks(scope)
    tables.append(_tasks(scope, listed, total))
    notes = [
        "Progress is the share of tasks that are done, of all but the canceled. Archived tasks are left out, unless "
        "they were done in the period. An exclamation mark stands at dates that have passed."
    ]
    return figures, [chart], tables, notes


def _projects(states: Sequence[StateCountRow]) -> Table:
    rows = []
    # They come project by project.
    for _, states_of_one in groupby(states, lambda row: row.project_id):
        own = list(states_of_one)
        open_ = sum(row.tasks for row in own if row.category not in _OVER)
        done = sum(row.tasks for row in own if row.category == StateCategory.DONE)
        rows.append(
            [
                f"{own[0].project_name} ({own[0].project_key})",
                _number(sum(row.tasks for row in own)),
                _number(open_),
                _number(sum(row.tasks for row in own if row.category == StateCategory.IN_PROGRESS)),
                _number(sum(row.overdue for row in own)),
                _number(sum(row.created for row in own)),
                _number(sum(row.done for row in own)),
                _share(done, done + open_),
            ]
        )
    return {
        "title": "Projects",
        "columns": _columns(
            *(("Project", 70, "left"), ("Tasks", 14, "right"), ("Open", 14, "right"), ("Started", 15, "right")),
            *(("Overdue", 17, "right"), ("Created", 17, "right"), ("Done", 15, "right"), ("Progress", 20, "right")),
        ),
        "rows": rows,
        "note": "",
    }


def _tasks(scope: Scope, listed: Sequence[ListedTaskRow], total: int) -> Table:
    rows = [
        [
            row.identifier,
            row.title,
            row.state_name,
            name_of(row.assignee_id, row.assignee_name),
            "" if row.due_date is None else f"{'! ' if row.is_overdue else ''}{row.due_date}",
            "" if row.completed_at is None else str(scope.period.local(row.completed_at).date()),
        ]
        for row in listed
    ]
    more = total - len(listed)
    return {
        "title": "Tasks",
        "columns": _columns(
            *(("Task", 20, "left"), ("Title", 68, "left"), ("State", 25, "left"), ("Assignee", 31, "left")),
            *(("Due", 20, "right"), ("Done", 18, "right")),
        ),
        "rows": rows,
        "note": f"{more:,} more tasks are not shown here. The same report as CSV has them all." if more else "",
    }


async def _throughput(scope: Scope) -> Parts:
    weeks, whole = await throughput.weeks(scope)
    standing = await throughput.flow(scope, scope.today)
    names = [week_of(week.first) for week in weeks]
    times = [week.times for week in weeks]
    figures = [
        ("Created", _number(whole.created)),
        ("Done", _number(whole.done)),
        *(
            (f"{label}, days", _number(value, 1))
            for (label, _), value in zip(_TIMES, _values(whole.times), strict=True)
        ),
    ]
    charts: list[Chart] = [
        {
            "kind": "bars",
            "title": "Created and done by week",
            "unit": "tasks",
            "labels": names,
            "series": [
                _series("Created", [week.created for week in weeks]),
                _series("Done", [week.done for week in weeks]),
            ],
        },
        {
            "kind": "lines",
            "title": "Lead and cycle time of the tasks done in a week",
            "unit": "days",
            "labels": names,
            "series": [_series(label, [getattr(each, name) for each in times]) for label, name in _TIMES],
        },
        {
            "kind": "areas",
            "title": "Cumulative flow",
            "unit": "tasks",
            "labels": [day.isoformat() for day in standing],
            "series": [
                _series(CATEGORY_NAMES[category], [stood[category] for stood in standing.values()])
                for category in _FROM_DONE
            ],
        },
    ]
    table: Table = {
        "title": "Weeks",
        "columns": _columns(
            *(("Week", 22, "left"), ("Days", 50, "left"), ("Created", 18, "right"), ("Done", 16, "right")),
            *((label, 19, "right") for label, _ in _TIMES),
        ),
        "rows": [_week_row(week_of(week.first), week) for week in weeks] + [_week_row("All", whole)],
        "note": "",
    }
    notes = [
        "A task counts in the project that it is in today, and deleted tasks do not count. Lead time goes from the "
        "creation of a task to the last time that it was done, cycle time from the first time that it was started. One "
        "that was reopened is not done until it is done again. p50: half of the tasks took no longer; p85: 85 of 100."
    ]
    return figures, charts, [table], notes


_TIMES = (("Lead p50", "lead_p50"), ("Lead p85", "lead_p85"), ("Cycle p50", "cycle_p50"), ("Cycle p85", "cycle_p85"))


def _values(times: Times) -> list[float | None]:
    return [getattr(times, name) for _, name in _TIMES]


def _week_row(name: str, week: Week) -> list[str]:
    return [
        name,
        f"{week.first} \N{EN DASH} {week.last}",
        _number(week.created),
        _number(week.done),
        *(_number(value, 1) for value in _values(week.times)),
    ]


async def _workload(scope: Scope) -> Parts:
    people = await queries.people(scope, most=MOST_TASKS + 1)
    shown, top = people[:MOST_TASKS], people[:MOST_BARS]
    states = await queries.counts_by_state(scope)
    open_ = sum(row.tasks for row in states if row.category not in _OVER)
    nobodys = sum(row.open for row in people if row.assignee_id is None)
    figures = [
        ("Open", _number(open_)),
        ("Started", _number(sum(row.tasks for row in states if row.category == StateCategory.IN_PROGRESS))),
        ("Overdue", _number(sum(row.overdue for row in states))),
        ("Unassigned", _number(nobodys)),
        ("Done in the period", _number(sum(row.done for row in states))),
        ("People", _number(sum(row.assignee_id is not None for row in people))),
    ]
    chart: Chart = {
        "kind": "ranks",
        "title": "Open tasks",
        "unit": "tasks",
        "labels": [name_of(row.assignee_id, row.name) for row in top],
        "series": [
            _series("Started", [row.started for row in top]),
            _series("Not started", [row.open - row.started for row in top]),
        ],
    }
    table: Table = {
        "title": "People",
        "columns": _columns(
            *(("Assignee", 62, "left"), ("Open", 16, "right"), ("Started", 18, "right"), ("Overdue", 18, "right")),
            *(("Open estimate", 25, "right"), ("Done", 16, "right"), ("Done estimate", 27, "right")),
        ),
        "rows": [_person(row) for row in shown],
        "note": "There are more people. The same report as CSV has them all." if len(people) > len(shown) else "",
    }
    notes = ["Estimates are sums over the tasks that have one. Archived tasks are not open; what was done stays done."]
    return figures, [chart], [table], notes


def _person(row: PersonCountRow) -> list[str]:
    numbers = (row.open, row.started, row.overdue, row.open_estimate, row.done, row.done_estimate)
    return [name_of(row.assignee_id, row.name), *map(_number, numbers)]


_PARTS: dict[ReportKind, Callable[[Scope], Awaitable[Parts]]] = {
    ReportKind.PROJECT_STATUS: _status,
    ReportKind.THROUGHPUT: _throughput,
    ReportKind.WORKLOAD: _workload,
}
