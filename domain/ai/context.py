"""What a model is given to answer from: passages, each with a number, and what was said before, within a budget."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from domain.adapters.language_model import Message, estimated_tokens
from domain.ai import prompts
from domain.ai.guard import Guard
from domain.ai.models import AiMessageStatus, AiRole
from domain.ai.queries import MessageRow
from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.sql import Row, sql
from domain.search.hits import Hit, kept
from domain.search.service import QUERY_LENGTH_MAX
from domain.tasks.queries import TaskRow

# Of all that one answer is asked for with at first; about 24,000 characters.
MOST_TOKENS = 6_000
MOST_PASSAGES = 8
MOST_MESSAGES = 20
# Of what one answer names of all that it was given to read, tools' finds among it.
MOST_NAMED = 20
# A number in brackets that belongs to no word, as code has them, and to no link.
_CITED = re.compile(r" ?(?<![A-Za-z0-9_])\[(\d{1,3})\](?!\()")

Search = Callable[[Actor, UUID, str, int], Awaitable[list[Hit]]]
"""The best of an organization for a query, at most so many, as the actor may see them."""


class Sources:
    """What one answer was given to read, and what of it it has named.

    The model names things by the numbers that they were given in; what is shown counts anew what was named.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._given: list[Hit] = []
        self._named: list[Hit] = []

    def give(self, hit: Hit) -> str:
        """The hit as a passage, with its number; what stands in it may be shown."""
        self._guard.allow(hit.text)
        number = next((n for n, given in enumerate(self._given, 1) if given.id == hit.id), len(self._given) + 1)
        if number > len(self._given):
            self._given.append(hit)
        name = hit.row.identifier if isinstance(hit.row, TaskRow) else hit.subject.value.lower()
        return prompts.passage(number, name, hit.text)

    def cited(self, text: str) -> str:
        """The text with the numbers that are shown; one that names nothing, or one thing too many, is left out."""
        return _CITED.sub(self._renumbered, text)

    def kept(self) -> list[dict[str, Any]]:
        """What was named, in the order of the numbers that are shown."""
        return [kept(hit) for hit in self._named]

    def _renumbered(self, found: re.Match[str]) -> str:
        number = int(found[1])
        if not 1 <= number <= len(self._given):
            return ""
        hit = self._given[number - 1]
        if hit not in self._named:
            if len(self._named) == MOST_NAMED:
                return ""
            self._named.append(hit)
        return f"{' ' * found[0].startswith(' ')}[{self._named.index(hit) + 1}]"


async def gathered(
    actor: Actor, question: MessageRow, *, search: Search, sources: Sources, guard: Guard
) -> list[Message]:
    """What the model is asked with: the system's text, what was said before, the question with what is found for it.

    Raises as `search` does.
    """
    guard.allow(question.content)
    # However long the question is, there is room for something to answer it from.
    left = MOST_TOKENS - estimated_tokens(prompts.SYSTEM) - min(estimated_tokens(question.content), MOST_TOKENS // 2)
    passages: list[str] = []
    query = " ".join(question.content.split())[:QUERY_LENGTH_MAX]
    for hit in await search(actor, question.org_id, query, MOST_PASSAGES):
        if (cost := estimated_tokens(hit.text)) > left:
            break
        left -= cost
        passages.append(sources.give(hit))
    said: list[Message] = []
    for row in await _said_before(question):
        if (cost := estimated_tokens(row["content"])) > left:
            break
        left -= cost
        guard.allow(row["content"])
        is_question = row["role"] == AiRole.USER
        # The numbers of an answer were of its own passages.
        content = row["content"] if is_question else _CITED.sub("", row["content"])
        said.insert(0, Message("user" if is_question else "assistant", content))
    shown = "\n".join(passages) or prompts.NOTHING_FOUND
    asked = Message("user", prompts.question(question.content, shown))
    return [Message("system", prompts.SYSTEM), *said, asked]


async def _said_before(question: MessageRow) -> list[Row]:
    """The last messages before the question, the newest first. The thread is that of whoever asks."""
    statement = sql(
        "SELECT role, content FROM ai_message WHERE thread_id = {} AND status = {} AND (created_at, id) < ({}, {}) "
        "ORDER BY created_at DESC, id DESC LIMIT {}",
        *(question.thread_id, AiMessageStatus.DONE.value, question.created_at, question.id, MOST_MESSAGES),
    )
    return await fetch(statement, Row)
