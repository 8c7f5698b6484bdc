"""The labels of tasks: at most 50 each. The task's row lock guards them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import execute, fetch
from domain.base.errors import Invalid, LimitReached
from domain.base.sql import Row, sql
from domain.events.log import Change
from domain.labels import queries as labels
from domain.tasks.queries import TaskRow

MOST_LABELS = 50


@dataclass(frozen=True)
class Wanted:
    """Labels to put on a locked task and to take off it."""

    task: TaskRow
    added: Sequence[UUID]
    removed: Sequence[UUID]


@dataclass(frozen=True)
class Labels:
    """The labels that some tasks have, and which of those that were asked for are there: organization and label."""

    on: dict[UUID, list[UUID]]
    held: Collection[tuple[UUID, UUID]]

    def change(self, wanted: Wanted) -> Change | None:
        """The ids before and after, or None when that changes nothing. Raises Invalid; LimitReached."""
        task, added = wanted.task, list(dict.fromkeys(wanted.added))
        _check(self.held, task.org_id, added, "added_label_ids")
        before = self.on.get(task.id, [])
        new = [label_id for label_id in added if label_id not in before]
        after = [label_id for label_id in before if label_id not in set(wanted.removed)] + new
        if set(added) & set(wanted.removed):
            raise Invalid("A label cannot be added and removed at once.", "removed_label_ids")
        if after == before:
            return None
        _limit(len(after), len(before), "added_label_ids")
        return Change(before, after)


async def check(actor: Actor, org_id: UUID, label_ids: Sequence[UUID], path: str) -> list[UUID]:
    """The ids without repetition. Raises Invalid unless all are labels of the organization; LimitReached."""
    wanted = list(dict.fromkeys(label_ids))
    _check(await _hold(actor, wanted), org_id, wanted, path)
    return wanted


async def of_tasks(actor: Actor, wanted: Sequence[Wanted]) -> Labels:
    """What the changes need to know. The labels that they touch are not deleted before the transaction ends.

    Those that are to be taken off are held as well: a deletion takes its label off all tasks, in an order of its own,
    and could wait for one of these tasks while that waits for it.
    """
    on: dict[UUID, list[UUID]] = {}
    if wanted:
        listed = sql(
            "SELECT task_id, label_id FROM task_label WHERE task_id = ANY({}::uuid[]) ORDER BY id",
            [each.task.id for each in wanted],
        )
        for row in await fetch(listed, Row):
            on.setdefault(row["task_id"], []).append(row["label_id"])
    touched = {
        label_id
        for each in wanted
        for label_id in (*each.added, *set(each.removed).intersection(on.get(each.task.id, ())))
    }
    held = await _hold(actor, touched)
    gone = touched - {label_id for _, label_id in held}
    return Labels({task_id: [id for id in there if id not in gone] for task_id, there in on.items()}, held)


async def write(org_of: dict[UUID, UUID], changes: dict[UUID, Change]) -> None:
    """Give each task the labels of its change, in one statement. `org_of` names each task's organization."""
    added = [
        (new_id(), org_of[task_id], task_id, label_id)
        for task_id, change in changes.items()
        for label_id in change.now
        if label_id not in change.was
    ]
    removed = [
        (task_id, label_id)
        for task_id, change in changes.items()
        for label_id in change.was
        if label_id not in change.now
    ]
    if not added and not removed:
        return
    await execute(
        sql(
            "WITH gone AS (DELETE FROM task_label USING unnest({}::uuid[], {}::uuid[]) AS off(task_id, label_id) "
            "WHERE task_label.task_id = off.task_id AND task_label.label_id = off.label_id) "
            "INSERT INTO task_label (id, org_id, task_id, label_id) "
            "SELECT * FROM unnest({}::uuid[], {}::uuid[], {}::uuid[], {}::uuid[])",
            *_columns(removed, 2),
            *_columns(added, 4),
        )
    )


def _columns(rows: Sequence[tuple[UUID, ...]], count: int) -> list[list[UUID]]:
    return [[row[n] for row in rows] for n in range(count)]


async def _hold(actor: Actor, label_ids: Collection[UUID]) -> set[tuple[UUID, UUID]]:
    """Organization and id of those that the caller sees. They are not deleted before the transaction ends."""
    if not label_ids:
        return set()
    held = sql(
        "SELECT org_id, id FROM label WHERE id = ANY({}::uuid[]) AND {} ORDER BY id FOR KEY SHARE",
        list(label_ids),
        labels.visible(actor),
    )
    return {(row["org_id"], row["id"]) for row in await fetch(held, Row)}


def _check(held: Collection[tuple[UUID, UUID]], org_id: UUID, label_ids: Sequence[UUID], path: str) -> None:
    if any((org_id, label_id) not in held for label_id in label_ids):
        raise Invalid("Must all be labels of the organization.", path)
    _limit(len(label_ids), 0, path)


def _limit(count: int, used: int, path: str) -> None:
    if count > MOST_LABELS:
        raise LimitReached("task_labels", MOST_LABELS, used, path)
