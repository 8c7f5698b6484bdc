"""The shapes of the demo content: who did what to what, on which day of 2026 ("10-02").

Only data. Tasks of a project stand in the order of their numbers, which is the order in which they were opened.
"""

from dataclasses import KW_ONLY, dataclass
from datetime import date
from uuid import UUID

from domain.base.permissions import Role
from domain.tasks.models import Priority, RelationKind

BACKLOG, TODO, DOING, DONE, CANCELED = "Backlog", "Todo", "In progress", "Done", "Canceled"
LOW, MEDIUM, HIGH, URGENT = Priority.LOW, Priority.MEDIUM, Priority.HIGH, Priority.URGENT


def day(text: str) -> date:
    """The day that "10-02" names."""
    return date.fromisoformat(f"2026-{text}")


@dataclass(frozen=True)
class Person:
    """An account, and what it is in its organization. `key` is how a text mentions it: @(key)."""

    key: str
    id: UUID
    name: str
    email: str
    role: Role
    time_zone: str


@dataclass(frozen=True)
class Label:
    """A label of the organization."""

    name: str
    color: str
    description: str


@dataclass(frozen=True)
class Move:
    """The task went to another state; by its assignee when nobody is named."""

    day: str
    to: str
    by: Person | None = None


@dataclass(frozen=True)
class Edit:
    """What was given of the task changed."""

    day: str
    by: Person
    priority: Priority | None = None
    due: str | None = None


@dataclass(frozen=True)
class Say:
    """A comment, perhaps a reply to the comment that stands before it."""

    day: str
    by: Person
    body: str
    reply: bool = False


@dataclass(frozen=True)
class Archive:
    """The task was put away."""

    day: str
    by: Person


@dataclass(frozen=True)
class Task:
    """One piece of work: how it was opened, and in `then` what became of it, in order."""

    number: int
    title: str
    opened: str
    by: Person
    _: KW_ONLY
    state: str = TODO
    to: Person | None = None
    priority: Priority = Priority.NONE
    estimate: int | None = None
    due: str | None = None
    parent: int | None = None
    labels: tuple[str, ...] = ()
    text: str | None = None
    then: tuple[Move | Edit | Say | Archive, ...] = ()


@dataclass(frozen=True)
class Relation:
    """Two tasks, named by their identifiers, were related."""

    day: str
    by: Person
    source: str
    kind: RelationKind
    target: str


@dataclass(frozen=True)
class Project:
    """A project and its tasks."""

    key: str
    name: str
    description: str
    lead: Person
    opened: str
    target: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Tenant:
    """An organization with all that is in it. The first of its people founded it."""

    id: UUID
    slug: str
    name: str
    founded: str
    people: tuple[Person, ...]
    labels: tuple[Label, ...]
    projects: tuple[Project, ...]
    relations: tuple[Relation, ...] = ()
