"""PROJECT_STATUS and WORKLOAD, beside a simple count of the rows."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.base.clock import frozen
from domain.base.snapshots import snapshot
from domain.projects import service as project_service
from domain.reports import queries
from domain.reports.queries import Scope
from domain.tasks import service as tasks
from tests import factories
from tests.factories import Tenant, execute, make_project, make_task, rows, states_of
from tests.reports.histories import made, scope

OVER = ("DONE", "CANCELED")


async def _scatter(tenant: Tenant, seed: int, around: date) -> None:
    """Give the tasks people, dates and estimates by chance."""
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    people = [tenant.admin.user_id, tenant.member.user_id, tenant.guest.user_id, None]
    for row in await rows("SELECT id FROM task WHERE org_id = $1", tenant.org_id):
        due = around + timedelta(days=chance.randint(-5, 5)) if chance.random() < 0.7 else None
        estimate = chance.randint(1, 13) if chance.random() < 0.6 else None
        await execute(
            "UPDATE task SET assignee_id = $2, due_date = $3, estimate = $4 WHERE id = $1",
            row["id"], chance.choice(people), due, estimate,
        )  # fmt: skip


async def _told(chosen: Scope) -> list[dict[str, Any]]:
    """The tasks of the scope, with what they count as."""
    found = await rows(
        "SELECT task.*, project.archived_at AS put_away_at, workflow_state.category FROM task "
        "JOIN project ON project.id = task.project_id JOIN workflow_state ON workflow_state.id = task.state_id "
        "WHERE task.org_id = $1 ORDER BY lower(project.name), project.id, task.number",
        chosen.org_id,
    )
    kept = []
    for task in found:
        if task["project_id"] != chosen.project_id if chosen.project_id else task["put_away_at"]:
            continue
        is_there = task["archived_at"] is None
        task["open"] = is_there and task["category"] not in OVER
        task["started"] = is_there and task["category"] == "IN_PROGRESS"
        task["overdue"] = task["open"] and task["due_date"] is not None and task["due_date"] < chosen.today
        done_at = task["completed_at"]
        task["done"] = done_at is not None and chosen.period.begin <= done_at < chosen.period.end
        kept.append(task)
    return kept


@pytest.mark.parametrize("seed", range(2))
async def test_numbers_are_those_of_a_simple_count(acme: Tenant, seed: int) -> None:
    history, projects = await made(acme, seed + 100, 150)
    today = history.end.date()
    await _scatter(acme, seed, today)
    async with acme.admin.acting() as actor:
        await project_service.archive(actor, projects[1].id)

    async with acme.member.acting() as actor:
        for project_id in (None, projects[0].id, projects[1].id):
            chosen = scope(
                actor, acme, today - timedelta(days=20), today - timedelta(days=1), "Asia/Tokyo",
                project_id=project_id, today=today,
            )  # fmt: skip
            told = await _told(chosen)

            states = await queries.counts_by_state(chosen)
            there = Counter(task["category"] for task in told if task["archived_at"] is None)
            assert {row.category: 0 for row in states} | there == _sum(states, "tasks")
            assert sum(row.overdue for row in states) == sum(task["overdue"] for task in told)
            assert sum(row.done for row in states) == sum(task["done"] for task in told)
            assert {row.project_id for row in states} == {project_id or projects[0].id}

            people = await queries.people(chosen, most=100)
            assert {person.assignee_id: _numbers(person) for person in people} == _by_person(told)
            assert [person.assignee_id is None for person in people] == sorted(p.assignee_id is None for p in people)

            async with snapshot():
                listed = [row.identifier async for page in queries.all_tasks(chosen) for row in page]
            wanted = [task for task in told if task["archived_at"] is None or task["done"]]
            assert listed == [task["identifier"] for task in wanted]
            assert await queries.number_of_tasks(chosen) == len(wanted)
            first = await queries.first_tasks(chosen, most=1000)
            assert sorted(row.identifier for row in first) == sorted(listed)
            assert [row.is_overdue for row in first] == sorted((row.is_overdue for row in first), reverse=True)
            assert listed


def _sum(states: list[queries.StateCountRow], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in states:
        found[row.category] = found.get(row.category, 0) + getattr(row, name)
    return found


def _numbers(person: queries.PersonCountRow) -> tuple[int, ...]:
    return (person.open, person.started, person.overdue, person.open_estimate, person.done, person.done_estimate)


def _by_person(told: list[dict[str, Any]]) -> dict[UUID | None, tuple[int, ...]]:
    found: dict[UUID | None, tuple[int, ...]] = {}
    for assignee_id in {task["assignee_id"] for task in told}:
        own = [task for task in told if task["assignee_id"] == assignee_id]
        numbers = (
            sum(task["open"] for task in own),
            sum(task["started"] for task in own),
            sum(task["overdue"] for task in own),
            sum(task["estimate"] or 0 for task in own if task["open"]),
            sum(task["done"] for task in own),
            sum(task["estimate"] or 0 for task in own if task["done"]),
        )
        if numbers[0] or numbers[4]:
            found[assignee_id] = numbers
    return found


async def test_done_counts_by_the_readers_days(acme: Tenant) -> None:
    """Half past eleven at night in UTC is the next day in Tokyo."""
    with frozen(datetime(2026, 6, 1, 9, tzinfo=UTC)):
        project = await make_project(acme.admin, acme)
        task = await make_task(acme.member, project)
    states = await states_of(project)
    async with acme.member.acting() as actor:
        with frozen(datetime(2026, 6, 2, 23, 30, tzinfo=UTC)):
            await tasks.move(actor, task.id, state_id=states["Done"])

        done = {}
        for zone in ("UTC", "Asia/Tokyo"):
            for day in (2, 3):
                chosen = scope(actor, acme, date(2026, 6, day), date(2026, 6, day), zone)
                done[zone, day] = sum(row.done for row in await queries.counts_by_state(chosen))

    assert done == {("UTC", 2): 1, ("UTC", 3): 0, ("Asia/Tokyo", 2): 0, ("Asia/Tokyo", 3): 1}


async def test_tasks_of_others_are_not_read(acme: Tenant, globex: Tenant) -> None:
    project = await make_project(globex.admin, globex)
    await make_task(globex.member, project, assignee_id=globex.member.user_id)
    day = date(2026, 6, 1)

    async with acme.member.acting() as actor:
        for org, project_id in ((acme, None), (globex, None), (acme, project.id), (globex, project.id)):
            chosen = scope(actor, org, day, day, project_id=project_id)

            assert await queries.counts_by_state(chosen) == []
            assert await queries.people(chosen, most=10) == []
            assert await queries.first_tasks(chosen, most=10) == []


async def test_rows_come_a_few_at_a_time_and_as_they_were(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "AT_ONCE", 2)
    project = await make_project(acme.admin, acme)
    for number in range(5):
        await make_task(acme.member, project, title=f"Task {number}")
    day = date(2026, 6, 1)

    async with acme.member.acting() as actor:
        sizes, titles = [], []
        async with snapshot():
            async for page in queries.all_tasks(scope(actor, acme, day, day)):
                sizes.append(len(page))
                titles += [row.title for row in page]
                # Committed by somebody else in the middle of it.
                await factories.execute("UPDATE task SET title = 'New' WHERE org_id = $1", acme.org_id)

    assert sizes == [2, 2, 1]
    assert titles == [f"Task {number}" for number in range(5)]
