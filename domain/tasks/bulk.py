"""Many changes of tasks in one transaction, each with values of its own: done together, or without those that fail."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.base.actor import Actor
from domain.base.database import tx
from domain.base.errors import Invalid, NotFound, UserError, UserErrors
from domain.tasks import updates
from domain.tasks.queries import TaskRow
from domain.tasks.updates import Asked, NoPlan, Plan

MOST_ITEMS = 100


class ErrorPolicy(StrEnum):
    """What a refused item means for the others: that nothing is changed, or that it alone is left out."""

    REJECT_ALL = "REJECT_ALL"
    REJECT_FAILED = "REJECT_FAILED"


@dataclass(frozen=True)
class Result:
    """What came of one item: the task's row as it stands now, or why it was refused."""

    task: TaskRow | None
    errors: Sequence[UserError] = ()


@dataclass(frozen=True)
class Results:
    """What came of each item, and how many tasks changed, or would have without `dry_run`."""

    each: list[Result]
    changed_count: int


def check_count(count: int) -> None:
    """Raises Invalid (`items`) for more than 100."""
    if count > MOST_ITEMS:
        raise Invalid(f"At most {MOST_ITEMS} items; there are {count}.", "items")


async def update(actor: Actor, items: Sequence[Asked], *, policy: ErrorPolicy, dry_run: bool = False) -> Results:
    """Change the tasks as `service.update` does, one after the other in this order, in one transaction.

    A task that is not there is refused like any other item. `dry_run` goes by the same rules under the same locks, and
    writes nothing. Raises Invalid (`items`) for more than 100 of them; Forbidden (TASK_UPDATE) when one of the tasks is
    seen by the caller, who may not change it: nothing is changed then.
    """
    check_count(len(items))
    async with tx():
        found = await updates.plan(actor, items)
        plans = [each for each in found if isinstance(each, Plan)]
        doing = [] if policy is ErrorPolicy.REJECT_ALL and len(plans) < len(items) else plans
        rows = {} if dry_run else await updates.write(actor, doing)
        return Results(
            [
                Result(rows.get(each.task.id, each.task)) if isinstance(each, Plan) else Result(None, _errors(each))
                for each in found
            ],
            sum(each.changes_something for each in doing),
        )


def _errors(refusal: NoPlan) -> Sequence[UserError]:
    if isinstance(refusal, UserErrors):
        return refusal.errors
    # Of one task alone this would fail the whole field; here it must not take the others along.
    return [Invalid(refusal.message, "id")] if isinstance(refusal, NotFound) else [refusal]
