"""Random histories of tasks, made by the services on a clock of their own, and what a simple count makes of them."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import frozen
from domain.projects import workflow_states
from domain.projects.models import StateCategory
from domain.projects.queries import ProjectRow
from domain.reports.definitions import Period
from domain.reports.queries import Scope
from domain.tasks import columns, transfer
from domain.tasks import service as tasks
from tests.factories import Tenant, make_project, rows

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Told:
    """What a test did to one task: the states that it came into, and when."""

    project_id: UUID
    came: list[tuple[datetime, UUID]] = field(default_factory=list)
    is_archived: bool = False


@dataclass
class History:
    """What a test did, and the categories of all states that ever were."""

    tasks: dict[UUID, Told] = field(default_factory=dict)
    categories: dict[UUID, str] = field(default_factory=dict)
    end: datetime = START

    def of(self, project_id: UUID | None) -> list[Told]:
        """The tasks of a project, or all."""
        return [told for told in self.tasks.values() if project_id in (None, told.project_id)]

    def at(self, told: Told, until: datetime) -> list[tuple[datetime, str]]:
        """When the task came into states before the instant, and what those mean."""
        return [(at, self.categories[state_id]) for at, state_id in told.came if at < until]

    def standing(self, project_id: UUID | None, until: datetime) -> dict[str, int]:
        """Category -> how many tasks stood there right before the instant."""
        found = Counter({category.value: 0 for category in StateCategory})
        for told in self.of(project_id):
            if came := self.at(told, until):
                found[came[-1][1]] += 1
        return dict(found)

    def done(self, project_id: UUID | None, until: datetime) -> list[tuple[datetime, float, float | None]]:
        """When each task that is done before the instant was, and its lead and cycle time in days."""
        found = []
        for told in self.of(project_id):
            came = self.at(told, until)
            if not came or came[-1][1] != "DONE":
                continue
            number = len(came) - 1
            while number and came[number - 1][1] == "DONE":
                number -= 1
            done_at = came[number][0]
            started = [at for at, category in came if category == "IN_PROGRESS"]
            cycle = _days(done_at - started[0]) if started else None
            found.append((done_at, _days(done_at - came[0][0]), cycle))
        return found


def _days(span: timedelta) -> float:
    return span.total_seconds() / 86400


def percentile(values: list[float], share: float) -> float | None:
    """As PostgreSQL's percentile_cont: between two values in proportion."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def scope(actor: Actor, tenant: Tenant, first: date, last: date, zone: str = "UTC", **values: object) -> Scope:
    """The scope of all projects, unless told otherwise."""
    given = {"project_id": None, "today": last, **values}
    return Scope(actor, tenant.org_id, period=Period(first, last, zone), **given)  # type: ignore[arg-type]


async def _states(project: ProjectRow) -> dict[UUID, str]:
    found = await rows("SELECT id, category FROM workflow_state WHERE project_id = $1 ORDER BY position", project.id)
    return {row["id"]: row["category"] for row in found}


async def made(tenant: Tenant, seed: int, steps: int) -> tuple[History, list[ProjectRow]]:
    """A history of so many steps in two projects."""
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    history = History()
    at = START
    with frozen(at):
        projects = [await make_project(tenant.admin, tenant, name=name) for name in ("Website", "App")]
    async with tenant.admin.acting() as actor:
        for _ in range(steps):
            at += timedelta(minutes=chance.randint(1, 600))
            with frozen(at):
                await _step(actor, chance, history, projects, at)
    for project in projects:
        history.categories |= await _states(project)
    history.end = at
    return history, projects


async def _step(
    actor: Actor, chance: random.Random, history: History, projects: list[ProjectRow], at: datetime
) -> None:
    project = chance.choice(projects)
    states = await _states(project)
    history.categories |= states
    here = [id for id, told in history.tasks.items() if told.project_id == project.id]
    what = chance.choices(
        ["create", "move", "transfer", "archive", "delete", "recategorize", "state gone", "new state"],
        [25, 60, 5, 2, 2, 1, 1, 2],
    )[0]
    if what == "create" or not here:
        state_id = chance.choice(list(states)) if chance.random() < 0.3 else None
        task = await tasks.create(actor, project.id, title="Something", state_id=state_id)
        history.tasks[task.id] = Told(project.id, [(at, task.state_id)])
        return
    task_id = chance.choice(here)
    told = history.tasks[task_id]
    if what == "move":
        state_id = chance.choice(list(states))
        if state_id != told.came[-1][1]:
            await tasks.move(actor, task_id, state_id=state_id)
            told.came.append((at, state_id))
    elif what == "transfer":
        other = projects[0] if project is projects[1] else projects[1]
        row = await transfer.transfer(actor, task_id, project_id=other.id)
        history.categories |= await _states(other)
        told.project_id = other.id
        told.came.append((at, row.state_id))
    elif what == "archive":
        await tasks.archive(actor, task_id)
        told.is_archived = True
    elif what == "delete":
        await tasks.delete(actor, task_id)
        del history.tasks[task_id]
    elif what == "recategorize":
        category = chance.choice(list(StateCategory))
        await workflow_states.update(
            actor, chance.choice(list(states)), recategorize=columns.recategorize, category=category
        )
    elif what == "new state":
        name = f"State {len(history.categories)} {at:%j}"
        row_ = await workflow_states.create(actor, project.id, name=name, category=chance.choice(list(StateCategory)))
        history.categories[row_.id] = row_.category
    elif len(states) > 2:
        gone, target = chance.sample(list(states), 2)
        # What an own state meant is known from the log. One that came with its project is told by nothing.
        if await rows("SELECT FROM event WHERE subject_id = $1 AND type = 'WORKFLOW_STATE_CREATED'", gone):
            await workflow_states.delete(actor, gone, move_tasks_to_id=target, move_tasks=columns.move_all)
            for each in history.tasks.values():
                if each.came[-1][1] == gone:
                    each.came.append((at, target))
