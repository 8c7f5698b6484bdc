"""The labels of a task: at most 50. The task's row lock guards them."""

from collections.abc import Sequence
from uuid import UUID

from domain.base.actor import Actor
from domain.base.clock import new_id
from domain.base.database import fetch
from domain.base.errors import Invalid, LimitReached
from domain.base.sql import Row, sql
from domain.events.log import Change
from domain.labels import queries as labels
from domain.tasks.models import TaskLabel
from domain.tasks.queries import TaskRow

MOST_LABELS = 50


async def check(actor: Actor, org_id: UUID, label_ids: Sequence[UUID], path: str) -> list[UUID]:
    """The ids without repetition. Raises Invalid unless all are labels of the organization; LimitReached."""
    wanted = list(dict.fromkeys(label_ids))
    if wanted and await _hold(actor, org_id, wanted) < len(wanted):
        raise Invalid("Must all be labels of the organization.", path)
    _limit(len(wanted), 0, path)
    return wanted


async def _hold(actor: Actor, org_id: UUID, label_ids: Sequence[UUID]) -> int:
    """How many of the ids are labels of the organization. Those are not deleted before the transaction ends."""
    held = sql(
        "SELECT id FROM label WHERE id = ANY({}::uuid[]) AND org_id = {} AND {} FOR KEY SHARE",
        list(label_ids),
        org_id,
        labels.visible(actor),
    )
    return len(await fetch(held, Row))


async def add(org_id: UUID, task_id: UUID, label_ids: Sequence[UUID]) -> None:
    """Put labels on a task that has none of them."""
    await TaskLabel.bulk_create(
        [TaskLabel(id=new_id(), org_id=org_id, task_id=task_id, label_id=label_id) for label_id in label_ids]
    )


async def change(actor: Actor, task: TaskRow, added: Sequence[UUID], removed: Sequence[UUID]) -> Change | None:
    """Add and remove labels of a locked task; the ids before and after, or None when that changes nothing."""
    if not added and not removed:
        return None
    wanted = await check(actor, task.org_id, added, "added_label_ids")
    rows = await TaskLabel.filter(task_id=task.id).order_by("id").values_list("label_id", flat=True)
    before = [UUID(str(label_id)) for label_id in rows]
    new = [label_id for label_id in wanted if label_id not in before]
    after = [label_id for label_id in before if label_id not in set(removed)] + new
    if set(wanted) & set(removed):
        raise Invalid("A label cannot be added and removed at once.", "removed_label_ids")
    if after == before:
        return None
    _limit(len(after), len(before), "added_label_ids")
    await TaskLabel.filter(task_id=task.id, label_id__in=list(removed)).delete()
    await add(task.org_id, task.id, new)
    return Change(before, after)


def _limit(count: int, used: int, path: str) -> None:
    if count > MOST_LABELS:
        raise LimitReached("task_labels", MOST_LABELS, used, path)
