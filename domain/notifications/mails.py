"""What of an inbox is mailed too. Only kinds that a switch of the preferences names are; all kinds reach the inbox."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.mailing import Mailing
from domain.base.sql import Row, sql
from domain.comments import mentions
from domain.comments import queries as comments
from domain.events.queries import EventRow
from domain.identity import queries as identity
from domain.notifications import titles
from domain.notifications.audience import Listener
from domain.notifications.models import NotificationKind
from domain.organizations import actors
from domain.tasks import queries as tasks

# Kind -> the column of preferences that says whether it is mailed.
SWITCHES: Mapping[NotificationKind, str] = {
    NotificationKind.TASK_ASSIGNED: "email_on_assignment",
    NotificationKind.MENTIONED: "email_on_mention",
    NotificationKind.INVITATION_ACCEPTED: "email_on_invitation",
}
# Of a comment, in characters: a mail says what it is about and leads to the rest.
LONGEST_EXCERPT = 500


def mailed_to(listeners: Iterable[Listener]) -> list[UUID]:
    """Those of the people who are told of it in a way that may be mailed, in the order of their ids."""
    return sorted(listener.user_id for listener in listeners if listener.kind in SWITCHES)


async def of(actor: Actor, event: EventRow, user_id: UUID) -> Mailing | None:
    """What is mailed to the person about the event, as things stand now; None when it is nothing, or nothing any more.

    The actor is the system at work in the event's organization. Nothing is mailed without an entry in the inbox, to
    an address that nobody has verified, to who has left the organization or switched the kind off, and of what is gone.
    `values` always has `user_id`, `organization_name` and `organization_slug`; of an accepted invitation
    `member_name`, else `task_identifier`, `task_title` and `actor_name`, which may be None; of a mention `excerpt`.
    """
    statement = sql(
        "SELECT notification.kind, notification.task_id, users.email, preferences.email_on_assignment, "
        "preferences.email_on_mention, preferences.email_on_invitation, organization.name, organization.slug "
        "FROM notification JOIN users ON users.id = notification.user_id "
        "JOIN preferences ON preferences.user_id = users.id "
        "JOIN organization ON organization.id = notification.org_id "
        "JOIN membership ON membership.org_id = notification.org_id AND membership.user_id = notification.user_id "
        "AND membership.ended_at IS NULL "
        # Whoever signs up with somebody else's address would have them mailed without end.
        "WHERE users.email_verified_at IS NOT NULL AND notification.event_id = {} AND notification.user_id = {} "
        "AND notification.org_id = ANY({}::uuid[])",
        event.id,
        user_id,
        list(actor.standings),
    )
    for row in await fetch(statement, Row):
        kind = NotificationKind(row["kind"])
        switch = SWITCHES.get(kind)
        if switch is None or not row[switch] or (told := await _told(actor, event, kind, row["task_id"])) is None:
            return None
        common = {"user_id": user_id, "organization_name": row["name"], "organization_slug": row["slug"]}
        return Mailing(kind.value.lower(), row["email"], str(event.id), {**common, **told})
    return None


async def _told(
    actor: Actor, event: EventRow, kind: NotificationKind, task_id: UUID | None
) -> dict[str, str | None] | None:
    """What is told of this kind alone; None when what it is about is gone."""
    name = await actors.name_of(actor, (event.actor_kind, event.actor_id))
    if kind is NotificationKind.INVITATION_ACCEPTED:
        return {"member_name": name or titles.SOMEBODY}
    task = (await tasks.by_ids(actor, [task_id], ("id", "identifier", "title"))).get(task_id)
    if task is None:
        return None
    told = {"task_identifier": task.identifier, "task_title": task.title, "actor_name": name}
    if kind is NotificationKind.MENTIONED:
        comment = (await comments.by_ids(actor, [event.subject_id], ("id", "body"))).get(event.subject_id)
        return None if comment is None else {**told, "excerpt": await _excerpt(actor, comment.body)}
    return told


async def _excerpt(actor: Actor, body: str) -> str:
    """The beginning of a comment, with names in place of ids."""
    people = await identity.by_ids(actor, mentions.mentioned(body), ("id", "name"))
    text = mentions.named(body, {user_id: person.name for user_id, person in people.items()})
    return text if len(text) <= LONGEST_EXCERPT else f"{text[: LONGEST_EXCERPT - 1]}…"
