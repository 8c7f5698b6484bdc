"""What stands in each kind's CSV: a table of columns, and where its rows come from."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from domain.projects.models import StateCategory
from domain.reports import queries, throughput
from domain.reports.csv import Value
from domain.reports.definitions import CATEGORY_NAMES, Period, ReportKind, week_of
from domain.reports.queries import ListedTaskRow, PersonCountRow, Scope
from domain.tasks.models import Priority

UNASSIGNED, UNKNOWN = "Unassigned", "Unknown"

Page = list[Sequence[Value]]


def name_of(id: object, name: str | None) -> str:
    """Whose tasks they are."""
    return UNASSIGNED if id is None else name or UNKNOWN


def instant(period: Period, at: datetime | None) -> str | None:
    """The instant as the clocks of the period's time zone showed it."""
    return None if at is None else f"{period.local(at):%Y-%m-%d %H:%M:%S}"


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 2)


def headings(kind: ReportKind, period: Period) -> Sequence[str]:
    """The first line."""
    return _HEADINGS[kind](period)


def pages(kind: ReportKind, scope: Scope) -> AsyncIterator[Page]:
    """The other lines, some at a time, in the open transaction."""
    return _PAGES[kind](scope)


def _of_tasks(period: Period) -> Sequence[str]:
    at = f"({period.time_zone})"
    return (
        *("Task", "Title", "Project", "State", "Category", "Priority", "Assignee", "Due", "Overdue", "Estimate"),
        *(f"Created {at}", f"Done {at}"),
    )


def _of_weeks(_period: Period) -> Sequence[str]:
    return (
        *("Week", "From", "To", "Created", "Done", "Lead time p50 (days)", "Lead time p85 (days)"),
        *("Cycle time p50 (days)", "Cycle time p85 (days)"),
        *(f"{CATEGORY_NAMES[category]} at the end" for category in StateCategory),
    )


def _of_people(_period: Period) -> Sequence[str]:
    return ("Assignee", "Open", "Started", "Overdue", "Open estimate", "Done in the period", "Done estimate")


async def _tasks(scope: Scope) -> AsyncIterator[Page]:
    async for rows in queries.all_tasks(scope):
        yield [_task(scope.period, row) for row in rows]


def _task(period: Period, row: ListedTaskRow) -> Sequence[Value]:
    return (
        row.identifier,
        row.title,
        row.project_name,
        row.state_name,
        CATEGORY_NAMES[row.category],
        Priority(row.priority).name.capitalize(),
        name_of(row.assignee_id, row.assignee_name),
        None if row.due_date is None else row.due_date.isoformat(),
        "yes" if row.is_overdue else "no",
        row.estimate,
        instant(period, row.created_at),
        instant(period, row.completed_at),
    )


async def _weeks(scope: Scope) -> AsyncIterator[Page]:
    listed, _ = await throughput.weeks(scope)
    standing = await throughput.flow(scope, scope.today)
    page: Page = []
    for week in listed:
        # Of the week that we are in, its last day so far.
        stood = standing.get(min(week.last, scope.today), {})
        page.append(
            (
                week_of(week.first),
                week.first.isoformat(),
                week.last.isoformat(),
                week.created,
                week.done,
                *map(_rounded, (week.times.lead_p50, week.times.lead_p85, week.times.cycle_p50, week.times.cycle_p85)),
                *(stood.get(category) for category in StateCategory),
            )
        )
    yield page


async def _people(scope: Scope) -> AsyncIterator[Page]:
    async for rows in queries.all_people(scope):
        yield [_person(row) for row in rows]


def _person(row: PersonCountRow) -> Sequence[Value]:
    return (
        name_of(row.assignee_id, row.name),
        *(row.open, row.started, row.overdue, row.open_estimate, row.done, row.done_estimate),
    )


_HEADINGS: dict[ReportKind, Callable[[Period], Sequence[str]]] = {
    ReportKind.PROJECT_STATUS: _of_tasks,
    ReportKind.THROUGHPUT: _of_weeks,
    ReportKind.WORKLOAD: _of_people,
}
_PAGES: dict[ReportKind, Callable[[Scope], AsyncIterator[Page]]] = {
    ReportKind.PROJECT_STATUS: _tasks,
    ReportKind.THROUGHPUT: _weeks,
    ReportKind.WORKLOAD: _people,
}
