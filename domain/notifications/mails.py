"""What of an inbox is mailed too. Only kinds that a switch of the preferences names are; all kinds reach the inbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.base.actor import Actor, ActorKind
from domain.base.database import fetch
from domain.base.sql import Row, sql
from domain.events.queries import EventRow
from domain.notifications import titles
from domain.notifications.models import NotificationKind
from domain.organizations import actors
from domain.tasks import queries as tasks

# Kind -> the column of preferences that says whether it is mailed.
SWITCHES: Mapping[NotificationKind, str] = {
    NotificationKind.TASK_ASSIGNED: "email_on_assignment",
    NotificationKind.MENTIONED: "email_on_mention",
    NotificationKind.INVITATION_ACCEPTED: "email_on_invitation",
}

_TASK_COLUMNS = ("id", "identifier", "title")


@dataclass(frozen=True)
class Mailing:
    """One mail to one address. `key` is the same whenever it is asked for; `switch` is the preference that ends it."""

    kind: str
    to: str
    key: str
    switch: str
    values: Mapping[str, Any] = field(default_factory=dict)


async def recipients(actor: Actor, event: EventRow) -> list[UUID]:
    """Who has an entry of the event of a kind that may be mailed, in the order of their ids.

    The actor is the system at work in the event's organization, here and below.
    """
    statement = sql(
        "SELECT user_id FROM notification WHERE event_id = {} AND org_id = ANY({}::uuid[]) AND kind = ANY({}::text[]) "
        "ORDER BY user_id",
        event.id,
        list(actor.standings),
        [kind.value for kind in SWITCHES],
    )
    return [row["user_id"] for row in await fetch(statement, Row)]


async def of(actor: Actor, event: EventRow, user_id: UUID) -> Mailing | None:
    """What is mailed to the person about the event, as things stand now; None when it is nothing, or nothing any more.

    Nothing is mailed without an entry in the inbox, to who has left the organization or switched the kind off, and of
    a task that is gone. `values`: `name` of the recipient, `actor`, `title` (the entry's line), `organization`,
    `organization_slug`, `locale`, and of a task `task_id`, `identifier` and `task_title`, else None.
    """
    statement = sql(
        "SELECT notification.kind, notification.task_id, users.email, users.name, preferences.*, "
        "organization.name AS organization, organization.slug FROM notification "
        "JOIN users ON users.id = notification.user_id JOIN preferences ON preferences.user_id = users.id "
        "JOIN organization ON organization.id = notification.org_id "
        "JOIN membership ON membership.org_id = notification.org_id AND membership.user_id = notification.user_id "
        "AND membership.ended_at IS NULL "
        "WHERE notification.event_id = {} AND notification.user_id = {} AND notification.org_id = ANY({}::uuid[])",
        event.id,
        user_id,
        list(actor.standings),
    )
    for row in await fetch(statement, Row):
        kind = NotificationKind(row["kind"])
        switch, task_id = SWITCHES.get(kind), row["task_id"]
        task = None if task_id is None else (await tasks.by_ids(actor, [task_id], _TASK_COLUMNS)).get(task_id)
        if switch is None or not row[switch] or (task is None and task_id is not None):
            return None
        ref = (ActorKind(event.actor_kind).value, event.actor_id)
        doer = (await actors.by_refs(actor, [ref], ("id", "name"))).get(ref)
        name = None if doer is None else doer.name
        named = None if task is None else titles.of_task(task.identifier, task.title)
        values = {
            "name": row["name"],
            "actor": name,
            "title": titles.title(kind, doer=name, task=named),
            "organization": row["organization"],
            "organization_slug": row["slug"],
            "locale": row["locale"],
            "task_id": task_id,
            "identifier": None if task is None else task.identifier,
            "task_title": None if task is None else task.title,
        }
        return Mailing(kind.value.lower(), row["email"], f"{event.id}", switch, values)
    return None
