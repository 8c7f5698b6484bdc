"""Parents and subtasks. Whoever changes a parent holds the project's lock alone, so no two changes make a cycle."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.errors import Invalid
from domain.base.sql import sql
from domain.tasks import queries
from domain.tasks.queries import TaskRow

DEEPEST = 5


class Trees:
    """What is above and below some tasks. Moves that are agreed are noted here before they are written."""

    def __init__(self, rows: Iterable[TaskRow]) -> None:
        self._projects: dict[UUID, UUID] = {}
        self._parents: dict[UUID, UUID | None] = {}
        self._children: dict[UUID | None, set[UUID]] = {}
        for row in rows:
            self._projects[row.id] = row.project_id
            self.put(row.id, row.parent_id)

    def put(self, task_id: UUID, parent_id: UUID | None) -> None:
        """Note that the task is below the parent, or below none."""
        self._children.setdefault(self._parents.get(task_id), set()).discard(task_id)
        self._parents[task_id] = parent_id
        self._children.setdefault(parent_id, set()).add(task_id)

    def check_parent(self, project_id: UUID, parent_id: UUID, task_id: UUID | None = None) -> None:
        """Raises Invalid (`parent_id`) unless the parent is in the project and not below the task, within 5 levels."""
        if self._projects.get(parent_id) != project_id:
            raise Invalid("Must be a task of the same project.", "parent_id")
        line = self._line(parent_id)
        if task_id in line:
            raise Invalid("A task cannot be below itself.", "parent_id")
        # A task that is still to be made is a level of its own.
        if len(line) + (1 if task_id is None else self._levels(task_id)) > DEEPEST:
            raise Invalid(f"Tasks nest at most {DEEPEST} levels deep.", "parent_id")

    def _line(self, task_id: UUID | None) -> list[UUID]:
        """The task and all above it."""
        line: list[UUID] = []
        while task_id is not None:
            line.append(task_id)
            task_id = self._parents.get(task_id)
        return line

    def _levels(self, task_id: UUID) -> int:
        """1 for a task without subtasks."""
        return 1 + max(map(self._levels, self._children.get(task_id, ())), default=0)


async def around(actor: Actor, parent_ids: Sequence[UUID], task_ids: Sequence[UUID] = ()) -> Trees:
    """The parents with all above them, and the tasks with all below them: what `check_parent` looks at."""
    statement = sql(
        "WITH RECURSIVE above AS (SELECT id, parent_id FROM task WHERE id = ANY({}::uuid[]) UNION "
        "SELECT parent.id, parent.parent_id FROM task AS parent JOIN above ON parent.id = above.parent_id), "
        "below AS (SELECT id FROM task WHERE id = ANY({}::uuid[]) UNION "
        "SELECT child.id FROM task AS child JOIN below ON child.parent_id = below.id) "
        "SELECT {} FROM task JOIN (SELECT id FROM above UNION SELECT id FROM below) AS near ON near.id = task.id "
        "WHERE {}",
        list(parent_ids),
        list(task_ids),
        queries.TASKS.select(actor, ("id", "project_id", "parent_id")),
        queries.visible(actor),
    )
    return Trees(await fetch(statement, TaskRow))


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
