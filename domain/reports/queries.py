"""Reads of tasks as they stand: what PROJECT_STATUS and WORKLOAD tell. Postgres counts; nothing of a task is kept here.

A task counts in the project that it is in today, and one that was deleted counts nowhere. Archived tasks are out of all
that stands open, and so are the projects that were archived, unless one is asked for; what was done in the period was
done, also where the task has been put away since.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.snapshots import in_steps
from domain.base.sql import Row, Sql, all_of, sql
from domain.identity import queries as identity
from domain.projects import queries as projects
from domain.projects.models import StateCategory
from domain.reports.definitions import Period
from domain.tasks import queries as tasks

AT_ONCE = 1000
_OPEN = "workflow_state.category NOT IN ('DONE', 'CANCELED')"
_THERE = "task.archived_at IS NULL"


@dataclass(frozen=True)
class Scope:
    """The tasks that a report is about: of one project, or of all that the reader sees in the organization."""

    actor: Actor
    org_id: UUID
    project_id: UUID | None
    period: Period
    today: date

    def projects(self) -> Sql:
        """Holds for the projects."""
        which = (
            sql("project.archived_at IS NULL") if self.project_id is None else sql("project.id = {}", self.project_id)
        )
        return all_of([sql("project.org_id = {}", self.org_id), which, projects.visible(self.actor)])

    def tasks(self) -> Sql:
        """Holds for the tasks, in the projects."""
        return all_of([sql("task.org_id = {}", self.org_id), tasks.visible(self.actor)])

    def overdue(self) -> Sql:
        """Holds for a task that should be done by now."""
        return sql(f"({_THERE} AND {_OPEN} AND coalesce(task.due_date < {{}}::date, false))", self.today)

    def done(self) -> Sql:
        """Holds for a task that was done in the period."""
        return sql(
            "(task.completed_at >= {}::timestamptz AND task.completed_at < {}::timestamptz)",
            self.period.begin,
            self.period.end,
        )

    def created(self) -> Sql:
        """Holds for a task that was made in the period."""
        return sql(
            "(task.created_at >= {}::timestamptz AND task.created_at < {}::timestamptz)",
            self.period.begin,
            self.period.end,
        )


class StateCountRow(Row):
    """A state of a project, and its tasks. `done` and `created` are those of the period."""

    project_id: UUID
    project_key: str
    project_name: str
    state_name: str
    category: str
    tasks: int
    overdue: int
    done: int
    created: int


class PersonCountRow(Row):
    """Somebody, or with None nobody in particular, and the tasks that are theirs. `done` are those of the period.

    The estimates are sums over those that have one. `name` is None also for one whom the reader may not see.
    """

    assignee_id: UUID | None
    name: str | None
    open: int
    started: int
    overdue: int
    open_estimate: int
    done: int
    done_estimate: int


class ListedTaskRow(Row):
    """A task of the list."""

    identifier: str
    title: str
    project_name: str
    state_name: str
    category: str
    priority: int
    assignee_id: UUID | None
    assignee_name: str | None
    due_date: date | None
    is_overdue: bool
    estimate: int | None
    created_at: datetime
    completed_at: datetime | None


async def counts_by_state(scope: Scope) -> list[StateCountRow]:
    """Each state of each project, by the projects' names and in the states' order; also those without tasks."""
    statement = sql(
        "SELECT project.id AS project_id, project.key AS project_key, project.name AS project_name, "
        "workflow_state.name AS state_name, workflow_state.category, "
        f"count(*) FILTER (WHERE {_THERE} AND task.id IS NOT NULL) AS tasks, "
        "count(*) FILTER (WHERE {}) AS overdue, count(*) FILTER (WHERE {}) AS done, "
        "count(*) FILTER (WHERE {}) AS created "
        "FROM project JOIN workflow_state ON workflow_state.project_id = project.id AND {} "
        "LEFT JOIN task ON task.state_id = workflow_state.id AND {} WHERE {} "
        "GROUP BY project.id, workflow_state.id "
        "ORDER BY lower(project.name), project.id, workflow_state.position",
        *(scope.overdue(), scope.done(), scope.created()),
        *(projects.visible_states(scope.actor), scope.tasks(), scope.projects()),
    )
    return await fetch(statement, StateCountRow)


def counts_by_person(scope: Scope, *, most: int | None = None) -> Sql:
    """Who has most open first, and what is nobody's last; only those with tasks that are open or were done."""
    return sql(
        "SELECT * FROM (SELECT task.assignee_id, users.name, "
        f"count(*) FILTER (WHERE {_THERE} AND {_OPEN}) AS open, "
        f"count(*) FILTER (WHERE {_THERE} AND workflow_state.category = 'IN_PROGRESS') AS started, "
        "count(*) FILTER (WHERE {}) AS overdue, "
        f"coalesce(sum(task.estimate) FILTER (WHERE {_THERE} AND {_OPEN}), 0) AS open_estimate, "
        "count(*) FILTER (WHERE {}) AS done, coalesce(sum(task.estimate) FILTER (WHERE {}), 0) AS done_estimate "
        "{} WHERE {} AND {} GROUP BY task.assignee_id, users.name) AS person WHERE open > 0 OR done > 0 "
        "ORDER BY assignee_id IS NULL, open DESC, done DESC, lower(name), assignee_id LIMIT {}",
        *(scope.overdue(), scope.done(), scope.done(), _sources(scope), scope.projects(), scope.tasks(), most),
    )


async def people(scope: Scope, *, most: int) -> list[PersonCountRow]:
    """The first of `counts_by_person`."""
    return await fetch(counts_by_person(scope, most=most), PersonCountRow)


def all_people(scope: Scope) -> AsyncIterator[list[PersonCountRow]]:
    """All of `counts_by_person`, in the open transaction."""
    return in_steps(counts_by_person(scope), PersonCountRow, most=AT_ONCE)


def all_tasks(scope: Scope) -> AsyncIterator[list[ListedTaskRow]]:
    """The tasks that are not archived, and those that were done in the period, by project and number."""
    order = sql("lower(project.name), project.id, task.number")
    return in_steps(_listed(scope, order, None), ListedTaskRow, most=AT_ONCE)


async def first_tasks(scope: Scope, *, most: int) -> list[ListedTaskRow]:
    """Those of `all_tasks` that matter most: overdue, started, to be done; then what was done last."""
    categories = [
        category.value
        for category in (
            StateCategory.IN_PROGRESS,
            StateCategory.TODO,
            StateCategory.BACKLOG,
            StateCategory.DONE,
            StateCategory.CANCELED,
        )
    ]
    order = sql(
        "{} DESC, array_position({}::text[], workflow_state.category::text), task.completed_at DESC, task.due_date, "
        "task.priority DESC, lower(project.name), project.id, task.number",
        scope.overdue(),
        categories,
    )
    return await fetch(_listed(scope, order, most), ListedTaskRow)


async def number_of_tasks(scope: Scope) -> int:
    """How many `all_tasks` are."""
    statement = sql(
        "SELECT count(*) AS total {} WHERE {} AND {} AND {}",
        *(_sources(scope), scope.projects(), scope.tasks(), _wanted(scope)),
    )
    total: int = (await fetch(statement, Row))[0]["total"]
    return total


def _wanted(scope: Scope) -> Sql:
    return sql(f"({_THERE} OR {{}})", scope.done())


def _listed(scope: Scope, order: Sql, most: int | None) -> Sql:
    return sql(
        "SELECT task.identifier, task.title, project.name AS project_name, workflow_state.name AS state_name, "
        "workflow_state.category, task.priority, task.assignee_id, users.name AS assignee_name, task.due_date, "
        "{} AS is_overdue, task.estimate, task.created_at, task.completed_at "
        "{} WHERE {} AND {} AND {} ORDER BY {} LIMIT {}",
        *(scope.overdue(), _sources(scope), scope.projects(), scope.tasks(), _wanted(scope), order, most),
    )


def _sources(scope: Scope) -> Sql:
    """Tasks with what they point at; a person whom the reader may not see is left out."""
    return sql(
        "FROM task JOIN project ON project.id = task.project_id "
        "JOIN workflow_state ON workflow_state.id = task.state_id "
        "LEFT JOIN users ON users.id = task.assignee_id AND {}",
        identity.visible(scope.actor),
    )
