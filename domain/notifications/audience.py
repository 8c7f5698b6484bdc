"""Who hears what: the one place that decides it.

RULES has the types of events that anybody hears of. The first rule that names a person says why they are told, so
whoever is mentioned in a comment on a task that they follow hears of it once. What a rule says follows from the event
alone, except for followers of a task; whom it names is told only if they can see what it is about now.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import orjson

from domain.base.actor import Actor, ActorKind
from domain.base.database import fetch, require_transaction
from domain.base.permissions import GRANTS, Role
from domain.base.reads import One
from domain.base.sql import Row, sql
from domain.comments import queries as comments
from domain.events.queries import EventRow
from domain.events.types import NEEDED, OWN, EventType
from domain.notifications import subscriptions
from domain.notifications.models import NotificationKind
from domain.tasks import queries as tasks
from domain.work.models import JobKind
from domain.work.states import JobStatus

Data = Mapping[str, Any]
Rule = Callable[[Data], Awaitable[Iterable[UUID]] | Iterable[UUID]]


@dataclass(frozen=True)
class Listener:
    """Somebody who is told of an event, and why."""

    user_id: UUID
    kind: NotificationKind


def _ids(texts: Iterable[str | None] | None) -> list[UUID]:
    return [UUID(text) for text in texts or () if text is not None]


def _assignee(data: Data) -> list[UUID]:
    return _ids([data["assignee_id"]["now"]])


def _mentioned(data: Data) -> list[UUID]:
    return _ids(data.get("mentions"))


def _newly_mentioned(data: Data) -> list[UUID]:
    change = data.get("mentions") or {"was": (), "now": ()}
    return _ids(text for text in change["now"] if text not in change["was"])


async def _followers(data: Data) -> list[UUID]:
    return await subscriptions.subscribers_of(UUID(data["task_id"]))


def _inviter(data: Data) -> list[UUID]:
    return _ids([data.get("invited_by_id")])


def _reminded(data: Data) -> list[UUID]:
    return _ids([data.get("assignee_id")])


def _who_asked(data: Data) -> list[UUID]:
    is_ready = data["kind"] == JobKind.REPORT and data["status"]["now"] == JobStatus.SUCCEEDED
    return _ids([data.get("asked_by_id")]) if is_ready else []


K = NotificationKind

RULES: Mapping[str, tuple[tuple[NotificationKind, Rule], ...]] = {
    EventType.TASK_ASSIGNED: ((K.TASK_ASSIGNED, _assignee),),
    EventType.COMMENT_CREATED: ((K.MENTIONED, _mentioned), (K.COMMENTED, _followers)),
    EventType.COMMENT_UPDATED: ((K.MENTIONED, _newly_mentioned),),
    EventType.INVITATION_ACCEPTED: ((K.INVITATION_ACCEPTED, _inviter),),
    EventType.TASK_DUE_SOON: ((K.DUE_SOON, _reminded),),
    EventType.JOB_FINISHED: ((K.REPORT_READY, _who_asked),),
}

# What must still be there, by the kind of an event's subject. Of other kinds nothing can go.
_SUBJECTS: Mapping[str, One[Any]] = {"task": tasks.by_ids, "comment": comments.by_ids}


async def of(actor: Actor, event: EventRow) -> list[Listener]:
    """Who is told of the event, each once; whoever did it is not, but of an end of their own job.

    They stay members to the end of the open transaction. The actor is the system at work in the event's organization.
    Raises RuntimeError outside a transaction.
    """
    require_transaction()
    rules = RULES.get(event.type, ())
    if not rules or not await _is_there(actor, event):
        return []
    data = orjson.loads(event.data)
    found: dict[UUID, NotificationKind] = {}
    for kind, rule in rules:
        named = rule(data)
        for user_id in await named if isinstance(named, Awaitable) else named:
            found.setdefault(user_id, kind)
    # The end of somebody's own job is told as their deed, and they have waited for it.
    if event.type not in OWN and event.actor_kind == ActorKind.USER and event.actor_id is not None:
        found.pop(event.actor_id, None)
    present = await _who_see(event, list(found))
    return [Listener(user_id, kind) for user_id, kind in found.items() if user_id in present]


def task_of(event: EventRow) -> UUID | None:
    """The task that the event is about, or on which its subject stands."""
    if event.subject_kind == "task":
        return event.subject_id
    text = orjson.loads(event.data).get("task_id")
    return None if text is None else UUID(text)


async def _is_there(actor: Actor, event: EventRow) -> bool:
    read = _SUBJECTS.get(event.subject_kind)
    return read is None or bool(await read(actor, [event.subject_id], ("id",)))


async def _who_see(event: EventRow, user_ids: list[UUID]) -> set[UUID]:
    """Those of the people who are members and may see the event, held as members."""
    needed = NEEDED.get(cast(EventType, event.type))
    if not user_ids or needed is None:
        return set()
    held = sql(
        "SELECT user_id, role FROM membership WHERE org_id = {} AND user_id = ANY({}::uuid[]) AND ended_at IS NULL "
        "ORDER BY id FOR SHARE OF membership",
        event.org_id,
        user_ids,
    )
    return {row["user_id"] for row in await fetch(held, Row) if needed in GRANTS[Role(row["role"])]}
