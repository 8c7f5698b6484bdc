"""What happens to projects and their workflow states."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from domain.events.log import Change, Event, private, reference


class _ProjectEvent(Event):
    subject: ClassVar = "project"


class _StateEvent(Event):
    subject: ClassVar = "workflow_state"


@dataclass(frozen=True, kw_only=True)
class ProjectCreated(_ProjectEvent):
    """A project was added to the organization, with the default states."""

    type: ClassVar = "PROJECT_CREATED"
    key: str
    name: str | None = private()
    lead_id: UUID | None = reference("user", default=None)


@dataclass(frozen=True, kw_only=True)
class ProjectUpdated(_ProjectEvent):
    """A project was described anew, given to somebody else, or came to stand elsewhere."""

    type: ClassVar = "PROJECT_UPDATED"
    name: Change | None = private()
    description: Change | None = private()
    status: Change | None = None
    lead_id: Change | None = reference("user", default=None)
    start_date: Change | None = None
    target_date: Change | None = None


@dataclass(frozen=True, kw_only=True)
class ProjectArchived(_ProjectEvent):
    """A project was put away; nothing in it changes any more."""

    type: ClassVar = "PROJECT_ARCHIVED"


@dataclass(frozen=True, kw_only=True)
class ProjectUnarchived(_ProjectEvent):
    """A project was taken out again."""

    type: ClassVar = "PROJECT_UNARCHIVED"


@dataclass(frozen=True, kw_only=True)
class ProjectDeleted(_ProjectEvent):
    """A project was deleted, with its states, tasks and comments."""

    type: ClassVar = "PROJECT_DELETED"
    key: str
    name: str | None = private()


@dataclass(frozen=True, kw_only=True)
class WorkflowStateCreated(_StateEvent):
    """A state was added; those at and behind its position went one further."""

    type: ClassVar = "WORKFLOW_STATE_CREATED"
    name: str | None = private()
    category: str
    color: str
    position: int


@dataclass(frozen=True, kw_only=True)
class WorkflowStateUpdated(_StateEvent):
    """A state was renamed, recolored, moved, came to mean something else, or others may follow it.

    `allowed_next_ids` are lists of state ids by position; null is every state.
    """

    type: ClassVar = "WORKFLOW_STATE_UPDATED"
    name: Change | None = private()
    category: Change | None = None
    color: Change | None = None
    position: Change | None = None
    allowed_next_ids: Change | None = reference("workflow_state", default=None)


@dataclass(frozen=True, kw_only=True)
class WorkflowStateDeleted(_StateEvent):
    """A state was deleted; its tasks went to another one, those behind it went one nearer."""

    type: ClassVar = "WORKFLOW_STATE_DELETED"
    name: str | None = private()
    tasks_moved_to_id: UUID = reference("workflow_state", after=True)
