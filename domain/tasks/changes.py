"""Which events tell that the tasks of a project changed. What a task then is, the reads say."""

from dataclasses import dataclass
from uuid import UUID

import orjson

from domain.base.sql import Sql, sql
from domain.events.queries import EventRow
from domain.events.types import EventType


@dataclass(frozen=True)
class OfProject:
    """The events about tasks of a project, also those that leave it, and the one that ends the project itself."""

    project_id: UUID

    def condition(self) -> Sql:
        """Holds for these events."""
        return sql(
            "((event.subject_kind = 'task' AND (event.project_id = {}::uuid OR "
            "(event.type = 'TASK_TRANSFERRED' AND event.data::jsonb #>> '{project,was}' = {}::text))) "
            "OR (event.type = 'PROJECT_DELETED' AND event.subject_id = {}::uuid))",
            self.project_id,
            str(self.project_id),
            self.project_id,
        )

    def keeps(self, event: EventRow) -> bool:
        """Whether the condition holds for an event that is read already."""
        if event.subject_kind != "task":
            return self.ends_with(event)
        if event.project_id == self.project_id:
            return True
        return event.type == EventType.TASK_TRANSFERRED and _left(event) == str(self.project_id)

    def ends_with(self, event: EventRow) -> bool:
        """Whether the project is gone, and all its tasks with it."""
        return event.type == EventType.PROJECT_DELETED and event.subject_id == self.project_id


def _left(event: EventRow) -> str:
    """The project that the task was in before."""
    was: str = orjson.loads(event.data)["project"]["was"]
    return was
