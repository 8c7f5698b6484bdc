"""Parents and subtasks. Whoever changes a parent holds the project's lock alone, so no two changes make a cycle."""

from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch, fetch_value
from domain.base.errors import Invalid
from domain.base.sql import sql
from domain.tasks import queries
from domain.tasks.queries import TaskRow

DEEPEST = 5


async def check_parent(actor: Actor, project_id: UUID, parent_id: UUID, task_id: UUID | None = None) -> None:
    """Raises Invalid (`parent_id`) unless the parent is in the project and not below the task, within 5 levels."""
    parent = (await queries.by_ids(actor, [parent_id], ("project_id",))).get(parent_id)
    if parent is None or parent.project_id != project_id:
        raise Invalid("Must be a task of the same project.", "parent_id")
    below = [] if task_id is None else await subtree(actor, task_id)
    if parent_id in {task.id for task in below}:
        raise Invalid("A task cannot be below itself.", "parent_id")
    # The last of a subtree is the deepest; a task that is still to be made is a level of its own.
    levels = await _level(parent_id) + (below[-1]["level"] if below else 1)
    if levels > DEEPEST:
        raise Invalid(f"Tasks nest at most {DEEPEST} levels deep.", "parent_id")


async def subtree(actor: Actor, task_id: UUID) -> list[TaskRow]:
    """The task and all below it, parents first; the column `level` is 1 for the task itself."""
    statement = sql(
        "WITH RECURSIVE tree AS (SELECT id, 1 AS level FROM task WHERE id = {} UNION ALL "
        "SELECT child.id, tree.level + 1 FROM task AS child JOIN tree ON child.parent_id = tree.id) "
        "SELECT {}, tree.level FROM task JOIN tree ON tree.id = task.id WHERE {} "
        "ORDER BY tree.level, task.rank, task.id",
        task_id,
        queries.TASKS.select(actor, queries.TASKS.columns),
        queries.visible(actor),
    )
    return await fetch(statement, TaskRow)


async def _level(task_id: UUID) -> int:
    """1 for a task without a parent."""
    level: int = await fetch_value(
        sql(
            "WITH RECURSIVE line AS (SELECT id, parent_id FROM task WHERE id = {} UNION ALL "
            "SELECT above.id, above.parent_id FROM task AS above JOIN line ON above.id = line.parent_id) "
            "SELECT count(*) FROM line",
            task_id,
        )
    )
    return level
