"""The log of an organization: what happened, to what, by whom, and what changed with it; read once, or followed."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import strawberry
from strawberry.utils.str_converters import to_camel_case

from domain.base.errors import NotFound
from domain.base.paging import PageRequest, request
from domain.base.permissions import Permission
from domain.base.reads import One
from domain.events import cursors, field_changes, queries
from domain.events.field_changes import FieldChange as Change
from domain.events.queries import EventRow, Wanted
from domain.events.types import EventType
from domain.organizations import actors
from domain.organizations import queries as organization_queries
from domain.projects import queries as project_queries
from graph.base.context import Info
from graph.base.fields import changes, column, computed, listed, optional, query, subscription, to_one
from graph.base.ids import global_id, parse_id, split_id
from graph.base.live import events_of
from graph.base.nodes import Node, node_of
from graph.base.paging import Connection
from graph.base.scalars import JSON
from graph.base.selection import columns
from graph.identity import Actor
from graph.organizations import Membership, Organization
from graph.projects import Project

strawberry.enum(EventType, description="What happened.")


def _name(root: Change) -> str:
    return to_camel_case(root.name)


def _before(root: Change) -> Any:
    return root.shown(root.before)


def _after(root: Change) -> Any:
    return root.shown(root.after)


async def _node(value: Any, root: Change, info: Info) -> Any:
    if root.reference is None or not isinstance(value, str):
        return None
    return await node_of(info, root.reference, UUID(value))


async def _before_node(root: Change, info: Info) -> Any:
    return await _node(root.before, root, info)


async def _after_node(root: Change, info: Info) -> Any:
    return await _node(root.after, root, info)


@strawberry.type
class FieldChange:
    """One field of the subject, or beside it, before and after. Both are null once the values were erased."""

    field: str = computed(_name, needs=(), description="Its name.")
    before: JSON | None = computed(_before, needs=(), description="Its value before; ids for a reference.", long=True)
    after: JSON | None = computed(_after, needs=(), description="Its value after; ids for a reference.", long=True)
    before_node: Node | None = computed(
        _before_node, needs=(), description="What `before` refers to; null when the viewer may not see it."
    )
    after_node: Node | None = computed(
        _after_node, needs=(), description="What `after` refers to; null when the viewer may not see it."
    )


def _cursor(root: EventRow, info: Info) -> str:
    return cursors.write(info.context.settings, root.org_id, root.seq)


def _subject_id(root: EventRow) -> strawberry.ID:
    return strawberry.ID(global_id(root.subject_kind, root.subject_id))


async def _subject(root: EventRow, info: Info) -> Any:
    return await node_of(info, root.subject_kind, root.subject_id)


def _changes(root: EventRow) -> Any:
    return field_changes.of_event(root)


@strawberry.type
class Event(Node):
    """Something that happened in an organization."""

    row: ClassVar = EventRow
    read: ClassVar = queries.by_ids

    cursor: str = computed(
        _cursor,
        needs=("org_id", "seq"),
        description="Opaque position in the organization's log; pass it as `after` to go on from here.",
    )
    type: EventType = column("What happened.")
    occurred_at: datetime = column("When.")
    actor: Actor | None = to_one(
        actors.by_refs, key=("actor_kind", "actor_id"), description="Who did it; null when that is unknown."
    )
    organization: Organization = to_one(organization_queries.by_ids, key="org_id", description="Where.")
    project: Project | None = to_one(
        project_queries.by_ids, key="project_id", description="The project that it is part of, while that is there."
    )
    subject_id: strawberry.ID = computed(
        _subject_id, needs=("subject_kind", "subject_id"), description="The id of what it is about."
    )
    subject: Node | None = computed(
        _subject,
        needs=("subject_kind", "subject_id"),
        description="Null once the subject is gone or the viewer may not see it.",
    )
    changes: list[FieldChange] = computed(
        _changes, needs=("type", "data", "erasable"), description="The fields that it set, changed or took along."
    )


def history_page(first: int | None = 20, after: str | None = None) -> PageRequest:
    """Events, the oldest first."""
    return request(queries.IN_ORDER, first=first, after=after, scope="history")


@strawberry.input
class EventFilter:
    """Which events to keep. Every given key must hold."""

    types: list[EventType] | None = optional("Of these types.")
    project_id: strawberry.ID | None = optional("Of this project.")
    subject_id: strawberry.ID | None = optional("About this subject.")


def wanted(filter: EventFilter | None) -> Wanted:
    """The filter as the domain has it. Raises BadInput for what is no id."""
    given = {} if filter is None else changes(filter)
    types, project_id, subject_id = (given.get(name) for name in ("types", "project_id", "subject_id"))
    return Wanted(
        types=None if types is None else tuple(types),
        project_id=None if project_id is None else parse_id(project_id, "project", "filter", "projectId"),
        subject=None if subject_id is None else split_id(subject_id, "filter", "subjectId"),
    )


After = Annotated[
    str | None,
    strawberry.argument(
        description="An event's `cursor` or an organization's `eventCursor`: what was committed behind it comes first. "
        "Without it, what is committed from now on."
    ),
]


@strawberry.type
class EventQueries:
    """Reads of the log."""

    @query
    async def changes(
        self,
        info: Info,
        organization_id: strawberry.ID,
        after: str | None = None,
        first: int | None = 100,
        filter: EventFilter | None = None,
    ) -> Connection[Event]:
        """The log after a cursor, oldest first, at most 100 a page; without `after` from the oldest.

        The delta read for offline clients. It has the events that the viewer may see. RESYNC_REQUIRED for a cursor that
        was given out too long ago.
        """
        org_id = parse_id(organization_id, "organization", "organizationId")
        if org_id not in info.context.actor.standings:
            raise NotFound("organization")
        settings, kept = info.context.settings, wanted(filter)
        found: Any = listed(
            info,
            queries.of_organizations,
            org_id,
            lambda: queries.asked(settings, org_id, first=first, after=after, wanted=kept),
        )
        return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Told:
    """The source of a change: its event, and how its subject is read."""

    event: EventRow
    read: One[Any]


async def subject_of(root: Told, info: Info) -> Any:
    """What a change is about, as it stands now; None where it cannot be read any more."""
    return await info.context.load(root.read, root.event.subject_id, columns(info))


@strawberry.type
class MembershipChange:
    """A membership that came, changed or went."""

    event: Event = strawberry.field(description="What happened.")
    membership: Membership | None = computed(
        subject_of, needs=(), description="The membership as it stands now; null once it has ended."
    )


_MEMBERSHIPS = Wanted(
    types=(EventType.MEMBERSHIP_CREATED, EventType.MEMBERSHIP_UPDATED, EventType.MEMBERSHIP_DELETED),
)


@strawberry.type
class EventSubscriptions:
    """The log as it grows."""

    @subscription
    async def events(
        self,
        info: Info,
        organization_id: strawberry.ID,
        after: After = None,
        filter: EventFilter | None = None,
    ) -> AsyncIterator[Event]:
        """Replays what was committed after `after`, then goes on live; every event exactly once, in order.

        Without `after` it begins now. It has the events that the viewer may see when they are sent. RESYNC_REQUIRED for
        a cursor that was given out too long ago.
        """
        org_id = parse_id(organization_id, "organization", "organizationId")
        found: Any = await events_of(info, org_id, Permission.ORG_READ, after=after, kept=wanted(filter))
        return found  # type: ignore[no-any-return]

    @subscription
    async def membership_changed(
        self, info: Info, organization_id: strawberry.ID, after: After = None
    ) -> AsyncIterator[MembershipChange]:
        """Memberships of one organization as they come, change and go. Needs MEMBERS_READ."""
        org_id = parse_id(organization_id, "organization", "organizationId")
        events = await events_of(info, org_id, Permission.MEMBERS_READ, after=after, kept=_MEMBERSHIPS)
        found: Any = told(events, organization_queries.memberships_by_ids)
        return found  # type: ignore[no-any-return]


async def told(events: AsyncGenerator[EventRow, None], read: One[Any]) -> AsyncIterator[Told]:
    """Each event as the source of a change. Closing it closes the events."""
    async with aclosing(events):
        async for event in events:
            yield Told(event, read)
