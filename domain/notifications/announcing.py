"""What a channel that many read is told of an event, in one line. Few types are worth everybody's attention."""

from collections.abc import Mapping
from uuid import UUID

import orjson

from domain.base.actor import Actor
from domain.events.queries import EventRow
from domain.events.types import EventType
from domain.notifications import audience, titles
from domain.organizations import actors
from domain.organizations import queries as organizations
from domain.projects import queries as projects
from domain.tasks import queries as tasks

# `what` is the project or the task.
SENTENCES: Mapping[EventType, str] = {
    EventType.PROJECT_CREATED: "{who} created the project {what}",
    EventType.TASK_CREATED: "{who} created {what}",
    EventType.TASK_TRANSITIONED: "{who} moved {what} to {state}",
    EventType.COMMENT_CREATED: "{who} commented on {what}",
}


async def line(actor: Actor, event: EventRow) -> str | None:
    """The line, with the names of things as they are now; None when nothing is told, or what it is about is gone.

    The actor is the system at work in the event's organization.
    """
    sentence = SENTENCES.get(EventType(event.type))
    what = await _what(actor, event)
    organization = (await organizations.by_ids(actor, [event.org_id], ("id", "name"))).get(event.org_id)
    if sentence is None or what is None or organization is None:
        return None
    who = await actors.name_of(actor, (event.actor_kind, event.actor_id)) or titles.SOMEBODY
    return f"{organization.name}: {sentence.format(who=who, what=what, state=await _state(actor, event))}"


async def _what(actor: Actor, event: EventRow) -> str | None:
    if (task_id := audience.task_of(event)) is not None:
        task = (await tasks.by_ids(actor, [task_id], ("id", "identifier", "title"))).get(task_id)
        return None if task is None else titles.of_task(task.identifier, task.title)
    project = (await projects.by_ids(actor, [event.subject_id], ("id", "name"))).get(event.subject_id)
    return None if project is None else project.name


async def _state(actor: Actor, event: EventRow) -> str:
    """The state that the task went to, of an event that says so."""
    if event.type != EventType.TASK_TRANSITIONED:
        return ""
    state_id = UUID(orjson.loads(event.data)["state_id"]["now"])
    state = (await projects.states_by_ids(actor, [state_id], ("id", "name"))).get(state_id)
    return "another state" if state is None else state.name
