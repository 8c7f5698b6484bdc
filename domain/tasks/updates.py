"""Changes of tasks: of one, or of many in one transaction by the same rules.

Asked: what somebody wants of a task. Plan: what that comes to when every rule agrees. All that the rules look at is
locked and read for all tasks at once; then they go through the tasks one after the other, and each sees what was agreed
before it. Nothing is written while plans are made.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import fetch
from domain.base.errors import Faults, Invalid, NotFound, UserError, UserErrors
from domain.base.models import check_version
from domain.base.permissions import Permission
from domain.base.sql import joined, sql
from domain.events.log import Change, changes, emit
from domain.organizations import memberships
from domain.tasks import labeling, opening, places, queries, trees, workflow
from domain.tasks.events import TaskAssigned, TaskMoved, TaskTransitioned, TaskUpdated
from domain.tasks.labeling import Labels, Wanted
from domain.tasks.models import Priority
from domain.tasks.opening import Opened
from domain.tasks.queries import TaskRow
from domain.tasks.trees import Trees
from domain.tasks.workflow import Workflows

T = TypeVar("T")

LARGEST_ESTIMATE = 1_000_000
_PLAIN = ("title", "description", "priority", "due_date", "estimate", "parent_id")
_TYPES = {
    "title": "text",
    "description": "text",
    "priority": "int",
    "due_date": "date",
    "estimate": "int",
    "parent_id": "uuid",
    "assignee_id": "uuid",
    "state_id": "uuid",
    "rank": "text",
    "completed_at": "timestamptz",
}

# Making room at the end of a state may have given a task another rank than it had when it was locked.
_COALESCED = {"rank": "coalesce(new.rank, task.rank)"}

NoPlan = UserError | UserErrors | NotFound
"""Why there is no plan."""


@dataclass(frozen=True)
class Asked:
    """New values for the fields of a task, by name, with `added_label_ids` and `removed_label_ids` for its labels."""

    task_id: UUID
    values: dict[str, Any]
    if_version: int | None = None


@dataclass(frozen=True)
class Plan:
    """A locked task with what is to change: columns by name, and the ids of its labels."""

    task: TaskRow
    found: dict[str, Change]
    labels: Change | None = None

    @property
    def changes_something(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.found) or self.labels is not None


@dataclass(frozen=True)
class _Draft:
    """A plan before the rules that look at other rows."""

    task: TaskRow
    found: dict[str, Change]
    labels: Wanted

    def target(self, name: str) -> UUID | None:
        """What the column is to point at from now on, where it is to change and is not cleared."""
        id: UUID | None = self.found[name].now if name in self.found else None
        return id


@dataclass(frozen=True)
class _Surroundings:
    """What the rules look at besides the tasks themselves."""

    trees: Trees
    members: set[tuple[UUID, UUID]]
    labels: Labels
    workflows: Workflows


def check_values(values: dict[str, Any]) -> None:
    """Raises UserErrors for values that no task may have."""
    faults = Faults()
    faults.required(values, "title", "state_id", "priority")
    faults.text(values.get("title"), "title", least=1, most=500)
    faults.text(values.get("description"), "description", least=0, most=100_000)
    faults.number(values.get("estimate"), "estimate", least=0, most=LARGEST_ESTIMATE)
    faults.check()


async def plan(actor: Actor, asked: Sequence[Asked]) -> list[Plan | NoPlan]:
    """A plan for each that was asked, as if those before it were done already, or why there is none.

    What is refused counts as not done for those behind it. Raises Forbidden (TASK_UPDATE) for one that the caller sees.
    """
    # Shared locks are enough for all but the shape of the tree.
    shapes = any(each.values.get("parent_id") is not None for each in asked)
    task_ids = {each.task_id for each in asked}
    opened = await opening.open_all(actor, task_ids, Permission.TASK_UPDATE, exclusive=shapes)
    drafts = [_answer(partial(_draft, opened, each, asked[:n])) for n, each in enumerate(asked)]
    around = await _look_around(actor, [draft for draft in drafts if isinstance(draft, _Draft)])
    return [_answer(partial(_agree, around, draft)) if isinstance(draft, _Draft) else draft for draft in drafts]


def _answer(rule: Callable[[], T]) -> T | NoPlan:
    """What comes of one task's rules: a refusal stays with its task, so that the others are looked at too."""
    try:
        return rule()
    except (UserError, UserErrors, NotFound) as refusal:
        return refusal


def _draft(opened: Opened, asked: Asked, before: Sequence[Asked]) -> _Draft:
    """What differs, by the rules that need no more than the task and the values."""
    task, values = opened.get(asked.task_id), asked.values
    if any(each.task_id == asked.task_id for each in before):
        raise Invalid("The task is named more than once.", "id")
    check_version(task, asked.if_version)
    check_values(values)
    names = (*_PLAIN, "assignee_id", "state_id")
    found = changes(task, {name: values[name] for name in names if name in values})
    return _Draft(task, found, Wanted(task, values.get("added_label_ids") or (), values.get("removed_label_ids") or ()))


async def _look_around(actor: Actor, drafts: Sequence[_Draft]) -> _Surroundings:
    """Read, and lock where it must stay, what the drafts refer to: a few statements, whatever their number."""
    climbing = [(parent_id, draft.task.id) for draft in drafts if (parent_id := draft.target("parent_id")) is not None]
    return _Surroundings(
        await trees.around(actor, *map(list, zip(*climbing, strict=True))) if climbing else Trees(()),
        await memberships.hold_all(
            {(draft.task.org_id, user_id) for draft in drafts if (user_id := draft.target("assignee_id")) is not None}
        ),
        await labeling.of_tasks(
            actor, [draft.labels for draft in drafts if draft.labels.added or draft.labels.removed]
        ),
        await workflow.of_tasks(actor, [draft.task for draft in drafts if "state_id" in draft.found]),
    )


def _agree(around: _Surroundings, draft: _Draft) -> Plan:
    """The plan, by the rules that look at other rows."""
    task, found = draft.task, dict(draft.found)
    if (parent_id := draft.target("parent_id")) is not None:
        around.trees.check_parent(task.project_id, parent_id, task.id)
    labels = around.labels.change(draft.labels)
    if (user_id := draft.target("assignee_id")) is not None:
        memberships.check_member(around.members, task.org_id, user_id, "assignee_id")
    if (state_id := draft.target("state_id")) is not None:
        found |= around.workflows.enter(task, state_id)
    if "parent_id" in found:
        around.trees.put(task.id, parent_id)
    return Plan(task, found, labels)


async def write(actor: Actor, plans: Sequence[Plan]) -> dict[UUID, TaskRow]:
    """Write the plans: task -> its row afterwards, also of one that changes nothing.

    Who goes to another state without a rank goes to its end, in the order of the plans. One fact for each task and kind
    of change, in that order too; each version goes up once.
    """
    rows = {each.task.id: each.task for each in plans}
    changing, spread = await _placed(actor, [each for each in plans if each.changes_something])
    if not changing:
        return rows
    labels = {each.task.id: each.labels for each in changing if each.labels is not None}
    await labeling.write({each.task.id: each.task.org_id for each in changing}, labels)
    rows |= await _save(actor, changing)
    for each in changing:
        _tell(actor, each)
    # To make room, these were given other ranks than they had when they were locked.
    respaced = [each.task.id for each in plans if not each.changes_something and each.task.state_id in spread]
    return rows | (await queries.by_ids(actor, respaced, queries.TASKS.columns) if respaced else {})


async def _placed(actor: Actor, plans: Sequence[Plan]) -> tuple[list[Plan], Collection[UUID]]:
    """The plans with their ranks, and the states whose tasks were given other ranks to make room."""
    newcomers = [each for each in plans if "state_id" in each.found and "rank" not in each.found]
    ends = await places.at_ends(actor, [each.found["state_id"].now for each in newcomers])
    placed = {
        each.task.id: replace(each, found=each.found | {"rank": Change(each.task.rank, rank)})
        for each, rank in zip(newcomers, ends.ranks, strict=True)
    }
    return [placed.get(each.task.id, each) for each in plans], ends.spread


async def _save(actor: Actor, plans: Sequence[Plan]) -> dict[UUID, TaskRow]:
    """All rows in one UPDATE of the columns in which any of them changes; the rows afterwards."""
    names = [name for name in _TYPES if any(name in each.found for each in plans)]
    columns = [[_value(each, name) for each in plans] for name in names]
    statement = sql(
        f"UPDATE task SET {{}}version = version + 1, updated_at = {{}} "
        f"FROM unnest({{}}) AS new({', '.join(('id', *names))}) WHERE task.id = new.id RETURNING {{}}",
        sql("".join(f"{name} = {_COALESCED.get(name, f'new.{name}')}, " for name in names)),
        now(),
        joined(
            ", ",
            [
                sql("{}::uuid[]", [each.task.id for each in plans]),
                *(sql(f"{{}}::{_TYPES[name]}[]", column) for name, column in zip(names, columns, strict=True)),
            ],
        ),
        queries.TASKS.select(actor, queries.TASKS.columns),
    )
    return {row.id: row for row in await fetch(statement, TaskRow)}


def _value(plan: Plan, name: str) -> Any:
    """What the column is to hold; None for a rank that stays."""
    if name in plan.found:
        return plan.found[name].now
    return None if name in _COALESCED else getattr(plan.task, name)


def _tell(actor: Actor, plan: Plan) -> None:
    """One fact for each kind of change."""
    task, found = plan.task, plan.found
    common: dict[str, Any] = {"subject_id": task.id, "project_id": task.project_id}
    if "state_id" in found:
        transition: dict[str, Any] = {name: found[name] for name in ("state_id", "completed_at") if name in found}
        emit(actor, task.org_id, TaskTransitioned(**common, **transition))
    elif "rank" in found:
        emit(actor, task.org_id, TaskMoved(**common, rank=found["rank"]))
    if "assignee_id" in found:
        emit(actor, task.org_id, TaskAssigned(**common, assignee_id=found["assignee_id"]))
    plain: dict[str, Any] = {name: found[name] for name in _PLAIN if name in found}
    if (priority := plain.get("priority")) is not None:
        # Stored by number, but clients know it by name.
        plain["priority"] = Change(Priority(priority.was).name, Priority(priority.now).name)
    if plain or plan.labels:
        emit(actor, task.org_id, TaskUpdated(**common, **plain, labels=plan.labels))
