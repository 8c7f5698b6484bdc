"""What happens to tasks."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar
from uuid import UUID

from domain.events.log import Change, Event, instant, private, reference


class _TaskEvent(Event):
    subject: ClassVar = "task"


@dataclass(frozen=True, kw_only=True)
class TaskCreated(_TaskEvent):
    """A task was added to a project."""

    type: ClassVar = "TASK_CREATED"
    identifier: str
    state_id: UUID = reference("workflow_state")
    parent_id: UUID | None = reference("task", default=None)
    title: str | None = private()


@dataclass(frozen=True, kw_only=True)
class TaskUpdated(_TaskEvent):
    """Fields of a task changed, other than its state and assignee."""

    type: ClassVar = "TASK_UPDATED"
    title: Change | None = private()
    description: Change | None = private()
    priority: Change | None = None
    due_date: Change | None = None
    estimate: Change | None = None
    parent_id: Change | None = reference("task", default=None)
    completed_at: Change | None = instant()
    labels: Change | None = reference("label", default=None)


@dataclass(frozen=True, kw_only=True)
class TaskAssigned(_TaskEvent):
    """A task was given to somebody, or to nobody."""

    type: ClassVar = "TASK_ASSIGNED"
    assignee_id: Change = reference("user")


@dataclass(frozen=True, kw_only=True)
class TaskTransitioned(_TaskEvent):
    """A task went to another state."""

    type: ClassVar = "TASK_TRANSITIONED"
    state_id: Change = reference("workflow_state")
    completed_at: Change | None = instant()


@dataclass(frozen=True, kw_only=True)
class TaskMoved(_TaskEvent):
    """A task went to another place in its state."""

    type: ClassVar = "TASK_MOVED"
    rank: Change


@dataclass(frozen=True, kw_only=True)
class TaskTransferred(_TaskEvent):
    """A task went to another project. `project_id` of the event is the new one."""

    type: ClassVar = "TASK_TRANSFERRED"
    project: Change = reference("project")
    identifier: Change
    state_id: Change = reference("workflow_state")
    parent_id: Change | None = reference("task", default=None)
    completed_at: Change | None = instant()


@dataclass(frozen=True, kw_only=True)
class TaskArchived(_TaskEvent):
    """A task was put away."""

    type: ClassVar = "TASK_ARCHIVED"


@dataclass(frozen=True, kw_only=True)
class TaskUnarchived(_TaskEvent):
    """A task was taken out again."""

    type: ClassVar = "TASK_UNARCHIVED"


@dataclass(frozen=True, kw_only=True)
class TaskDeleted(_TaskEvent):
    """A task is gone for good, its comments with it. Each of its subtasks has an event of its own."""

    type: ClassVar = "TASK_DELETED"
    identifier: str
    title: str | None = private()


@dataclass(frozen=True, kw_only=True)
class TaskDueSoon(_TaskEvent):
    """The day before a task's due date had come, where its assignee lives."""

    type: ClassVar = "TASK_DUE_SOON"
    due_date: date
    assignee_id: UUID = reference("user", after=True)


class _RelationEvent(Event):
    subject: ClassVar = "task_relation"


@dataclass(frozen=True, kw_only=True)
class TaskRelationCreated(_RelationEvent):
    """Two tasks were related. `project_id` of the event is that of the first."""

    type: ClassVar = "TASK_RELATION_CREATED"
    kind: str
    from_id: UUID = reference("task")
    to_id: UUID = reference("task")


@dataclass(frozen=True, kw_only=True)
class TaskRelationDeleted(_RelationEvent):
    """Two tasks are no longer related."""

    type: ClassVar = "TASK_RELATION_DELETED"
    kind: str
    from_id: UUID = reference("task")
    to_id: UUID = reference("task")
