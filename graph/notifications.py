"""The viewer's inbox: its entries, marking them, following them; and which tasks the viewer hears of."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import strawberry

from domain.events import queries as event_queries
from domain.notifications import cursors, queries, subscriptions, titles
from domain.notifications import service as inboxes
from domain.notifications.models import NotificationKind
from domain.notifications.queries import NotificationRow
from domain.organizations import actors
from domain.organizations import queries as organization_queries
from domain.tasks import queries as task_queries
from graph.base.context import Info
from graph.base.errors import UserError, mutation, no_errors
from graph.base.fields import column, computed, subscription, to_one
from graph.base.ids import parse_id
from graph.base.live import own_of
from graph.base.nodes import Node, node_of
from graph.events import Event
from graph.identity import Actor
from graph.organizations import Organization
from graph.tasks import Task, TaskPayload

strawberry.enum(NotificationKind, description="Why the viewer is told.")

_TASK_COLUMNS = ("id", "identifier", "title")


def _cursor(root: NotificationRow, info: Info) -> str:
    return cursors.write(info.context.settings, root.user_id, root.seq)


async def _subject(root: NotificationRow, info: Info) -> Any:
    return await node_of(info, root.subject_kind, root.subject_id)


async def _title(root: NotificationRow, info: Info) -> str:
    load = info.context.load
    doer = await load(actors.by_refs, (root.actor_kind, root.actor_id), ("id", "name"))
    task = None if root.task_id is None else await load(task_queries.by_ids, root.task_id, _TASK_COLUMNS)
    return titles.title(
        NotificationKind(root.kind),
        doer=None if doer is None else doer.name,
        task=None if task is None else titles.of_task(task.identifier, task.title),
    )


@strawberry.type
class Notification(Node):
    """An entry of the viewer's inbox."""

    row: ClassVar[type[Any]] = NotificationRow
    read: ClassVar = queries.by_ids

    kind: NotificationKind = column("Why the viewer is told.")
    organization: Organization = to_one(organization_queries.by_ids, key="org_id", description="Where it happened.")
    cursor: str = computed(
        _cursor,
        needs=("user_id", "seq"),
        description="Position in the viewer's own inbox, in the order in which entries were committed; pass it to "
        "`notificationAdded` as `after` to go on from here.",
    )
    actor: Actor | None = to_one(
        actors.by_refs, key=("actor_kind", "actor_id"), description="Who did it; null when that is unknown."
    )
    event: Event | None = to_one(
        event_queries.by_ids, key="event_id", description="What happened; null when the viewer may not see it any more."
    )
    subject: Node | None = computed(
        _subject,
        needs=("subject_kind", "subject_id"),
        description="What it is about; null once it is gone or hidden.",
    )
    title: str = computed(
        _title,
        needs=("kind", "actor_kind", "actor_id", "task_id"),
        description="It in one line, with the names of today.",
    )
    read_at: datetime | None = column("When it was marked as read.")
    created_at: datetime = column("When it came.")


@strawberry.type
class NotificationsReadPayload:
    """The viewer's inbox after marking."""

    unread_count: int = strawberry.field(default=0, description="How many are unread.")
    errors: list[UserError] = no_errors()


def _ids(ids: list[strawberry.ID]) -> list[UUID]:
    return [parse_id(id, "notification", "ids", str(index)) for index, id in enumerate(ids)]


Ids = Annotated[list[strawberry.ID], strawberry.argument(description="Which; at most 100.")]


@strawberry.type
class NotificationMutations:
    """Changes of the viewer's inbox. None of them takes an API key."""

    @mutation
    async def task_subscribe(self, info: Info, id: strawberry.ID) -> TaskPayload | None:
        """Hear of comments on a task, whatever the viewer's part in it becomes."""
        return TaskPayload(task=Task.of(await subscriptions.subscribe(info.context.actor, parse_id(id, "task"))))

    @mutation
    async def task_unsubscribe(self, info: Info, id: strawberry.ID) -> TaskPayload | None:
        """Hear of comments on a task no more, but for those that mention the viewer."""
        return TaskPayload(task=Task.of(await subscriptions.unsubscribe(info.context.actor, parse_id(id, "task"))))

    @mutation
    async def notifications_mark_read(self, info: Info, ids: Ids) -> NotificationsReadPayload | None:
        """Mark entries as read: all of them, or none when one is not the viewer's."""
        return NotificationsReadPayload(unread_count=await inboxes.mark_read(info.context.actor, _ids(ids)))

    @mutation
    async def notifications_mark_unread(self, info: Info, ids: Ids) -> NotificationsReadPayload | None:
        """Mark entries as unread: all of them, or none when one is not the viewer's."""
        return NotificationsReadPayload(unread_count=await inboxes.mark_unread(info.context.actor, _ids(ids)))

    @mutation
    async def notifications_mark_all_read(self, info: Info) -> NotificationsReadPayload | None:
        """Mark all entries as read that the viewer sees."""
        return NotificationsReadPayload(unread_count=await inboxes.mark_all_read(info.context.actor))


@strawberry.type
class NotificationSubscriptions:
    """The viewer's inbox as it changes. None of them takes an API key."""

    @subscription
    async def notification_added(
        self,
        info: Info,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="A notification's `cursor`: what came behind it comes first. Without it, what comes from "
                "now on."
            ),
        ] = None,
    ) -> AsyncIterator[Notification]:
        """Without `after` it begins now; with it, what came since is replayed first. Every entry once, in order.

        Entries of organizations joined later come too; those of organizations that the viewer has left do not.
        """
        user_id, followed = info.context.actor.require_person(), info.context.live.inboxes
        place = await followed.place(info.context.settings, user_id, after)
        found: Any = own_of(info, lambda actor, recheck: followed.entries(actor, place, recheck))
        return found  # type: ignore[no-any-return]

    @subscription
    async def unread_notification_count(self, info: Info) -> AsyncIterator[int]:
        """The current count at once, then every change; changes that follow each other fast may come as one."""
        info.context.actor.require_person()
        found: Any = own_of(info, info.context.live.inboxes.counts)
        return found  # type: ignore[no-any-return]
