"""What the model may call: to search and to read a task, as whoever asks. Nothing here writes."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import orjson

from domain.adapters.language_model import ToolCall
from domain.ai import prompts
from domain.ai.context import Search, Sources
from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.errors import RequestError
from domain.base.sql import Row, sql
from domain.comments import queries as comments
from domain.organizations import queries as organizations
from domain.search.hits import Hit
from domain.search.models import Subject
from domain.search.service import QUERY_LENGTH_MAX
from domain.search.snippets import snippet
from domain.tasks import queries as tasks

MOST_FOUND = 5
MOST_COMMENTS = 5
LONGEST_DESCRIPTION, LONGEST_COMMENT = 2_000, 400
NOT_UNDERSTOOD = "There is no such tool, or its arguments are not as they are described."
NO_TASK = "There is no such task."


class Tools:
    """For one answer. `who` gives whoever asks, as they stand at the moment."""

    def __init__(self, who: Callable[[], Awaitable[Actor]], org_id: UUID, *, search: Search, sources: Sources) -> None:
        self._who = who
        self._org_id = org_id
        self._search = search
        self._sources = sources

    async def call(self, call: ToolCall) -> str:
        """What the tool gives, for the model to read; a refusal too. Raises NotFound once the caller has left."""
        actor = await self._who()
        given = _given(call)
        try:
            if call.name == prompts.SEARCH.name and (query := _text(given, "query")) is not None:
                return await self._found(actor, query)
            if call.name == prompts.READ_TASK.name and (identifier := _text(given, "identifier")) is not None:
                return await self._task(actor, identifier)
        except RequestError as refusal:
            return refusal.message
        return NOT_UNDERSTOOD

    async def _found(self, actor: Actor, query: str) -> str:
        hits = await self._search(actor, self._org_id, query[:QUERY_LENGTH_MAX], MOST_FOUND)
        return "\n".join(map(self._sources.give, hits)) or prompts.NOTHING_FOUND

    async def _task(self, actor: Actor, identifier: str) -> str:
        organization = await organizations.by_ids.get(actor, self._org_id)
        task_id = await tasks.id_of_identifier(actor, organization.slug, identifier.strip().upper())
        if task_id is None:
            return NO_TASK
        task = await tasks.by_ids.get(actor, task_id)
        said = sql(
            "SELECT body FROM comment WHERE comment.task_id = {} AND {} ORDER BY created_at DESC, id DESC LIMIT {}",
            *(task.id, comments.visible(actor), MOST_COMMENTS),
        )
        bodies = [row["body"][:LONGEST_COMMENT] for row in reversed(await fetch(said, Row))]
        described = (task.description or "")[:LONGEST_DESCRIPTION]
        text = "\n\n".join([f"{task.identifier} {task.title}", described, *bodies])
        begins = snippet(task.description or task.title, ())
        hit = Hit(Subject.TASK, task.id, score=0.0, snippet=begins, row=task, text=text)
        return self._sources.give(hit)


def _given(call: ToolCall) -> object:
    try:
        return orjson.loads(call.arguments)
    except ValueError:
        return None


def _text(given: object, name: str) -> str | None:
    """The argument, where it is a text that a database can hold."""
    value = given.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, str) and "\0" not in value else None
