"""Changes of many tasks at once."""

from typing import Annotated

import strawberry

from domain.tasks import bulk
from domain.tasks.bulk import ErrorPolicy
from domain.tasks.updates import Asked
from graph.base.context import Info
from graph.base.errors import UserError, mutation, shown
from graph.base.fields import changes, optional, required
from graph.base.ids import parse_id
from graph.base.prices import priced
from graph.tasks import IDS, Task, TaskUpdateInput

strawberry.enum(
    ErrorPolicy,
    name="BulkErrorPolicy",
    description="What a refused item means for the others: REJECT_ALL changes nothing, REJECT_FAILED does the others.",
)


@strawberry.input
class TaskBulkUpdateItem:
    """Changes of one of the tasks."""

    id: strawberry.ID = required("The task; each at most once.")
    input: TaskUpdateInput = required("The values.")
    if_version: int | None = optional("Refuse with STALE_VERSION when the row's version is another one by now.")


@strawberry.type
class TaskBulkResult:
    """What came of one item. With dryRun `task` is the unchanged row and `changedCount` what would change."""

    id: strawberry.ID = strawberry.field(description="The id of the item.")
    task: Task | None = strawberry.field(
        description="The task as it stands now, unchanged where nothing was done; null when the item was refused."
    )
    errors: list[UserError] = strawberry.field(
        description="Why the item was refused, as taskUpdate tells it; paths begin with `items` and its number from 0."
    )


@strawberry.type
class TaskBulkPayload:
    """What came of all items."""

    results: list[TaskBulkResult] = strawberry.field(
        default_factory=list,
        description="One for each item, in their order; none when the request was refused.",
        metadata=priced(as_asked=True),
    )
    changed_count: int = strawberry.field(
        default=0, description="How many tasks changed, or with dryRun would. One that has the values already does not."
    )
    errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="Why the request as a whole was refused. What is wrong with an item stands in its result.",
    )


@strawberry.type
class TaskBulkMutations:
    """Changes of many tasks at once."""

    @mutation(per="items")
    async def task_bulk_update(
        self,
        info: Info,
        items: Annotated[list[TaskBulkUpdateItem], strawberry.argument(description="At most 100.")],
        error_policy: Annotated[
            ErrorPolicy, strawberry.argument(description="What a refused item means for the others.")
        ] = ErrorPolicy.REJECT_ALL,
        dry_run: Annotated[
            bool, strawberry.argument(description="Change nothing, and tell what would happen at this moment.")
        ] = False,
    ) -> TaskBulkPayload | None:
        """Change up to 100 tasks in one transaction, as taskUpdate would one after the other. Needs TASK_UPDATE."""
        bulk.check_count(len(items))
        asked = [_asked(item, "items", str(n)) for n, item in enumerate(items)]
        found = await bulk.update(info.context.actor, asked, policy=error_policy, dry_run=dry_run)
        results = [
            TaskBulkResult(
                id=item.id,
                task=None if each.task is None else Task.of(each.task),
                errors=[shown(error, ("id", "input", "if_version"), "items", str(n)) for error in each.errors],
            )
            for n, (item, each) in enumerate(zip(items, found.each, strict=True))
        ]
        return TaskBulkPayload(results=results, changed_count=found.changed_count)


def _asked(item: TaskBulkUpdateItem, *path: str) -> Asked:
    return Asked(
        parse_id(item.id, "task", *path, "id"),
        changes(item.input, ids=IDS, path=(*path, "input")),
        None if item.if_version is strawberry.UNSET else item.if_version,
    )
