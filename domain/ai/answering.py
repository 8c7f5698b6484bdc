"""Writing an answer: claimed once, written as it comes, and ended once, whatever happens to whoever writes it.

The claim names the one attempt that there is. What it has goes into the row a few times a second, and from there to
all who follow; what it writes holds only while the answer is STREAMING under its claim.
- the answer is canceled, or its thread deleted: found out at the next write or look; the request is closed.
- the process dies: the delivery comes to another worker, which finds the claim, and ends the answer FAILED with what
  had come. A model is never asked a second time for one answer: it costs, and would say something else.
- the worker is asked to end, and the answer takes longer than that may: FAILED, as above, at once.
- the model, the search or the budget fails, or the maker has left: FAILED with what had come.
- nobody comes to write it: the upkeep ends it.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

import orjson
import structlog

from domain.adapters.language_model import (
    End,
    LanguageModel,
    Message,
    Text,
    Tool,
    ToolCall,
    Usage,
    estimated_tokens,
    estimated_usage,
)
from domain.adapters.pubsub import PubSub
from domain.ai import budget, chat, context, prompts, streams
from domain.ai.context import Search, Sources
from domain.ai.guard import Guard
from domain.ai.models import AiMessageStatus
from domain.ai.queries import MESSAGES, MessageRow
from domain.ai.tools import Tools
from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.clock import new_id, now
from domain.base.database import fetch, tx
from domain.base.endless import heed_cancellation
from domain.base.errors import DomainError, RequestError, Timeout, Unavailable
from domain.base.permissions import Permission
from domain.base.sql import Row, Sql, sql
from domain.organizations import callers

# A model speaks about as often; a reader sees it flow.
WRITE_EVERY_S = 0.25
LONGEST_S = 600.0
LEAVE_WITHIN_S = 2.0
# Of one call of the model; an answer may take several, and in the last it gets no tools.
MOST_ANSWERED_TOKENS = 1_500
MOST_CALLS_OF_MODEL = 4
MOST_CALLS_OF_TOOLS = 4
# Of all that one call is asked with; once more is there, it gets no tools either.
MOST_ASKED_TOKENS = 16_000
LONGEST_ANSWER = 40_000

_log = structlog.get_logger("ai")


class _Gone(Exception):
    """The answer has ended, or is deleted."""


class _Empty(DomainError):
    """The model said nothing."""


class _Draft:
    """What there is of an answer."""

    def __init__(self) -> None:
        self.guard = Guard(prompts.SECRET)
        self.sources = Sources(self.guard)
        self.text = ""
        self.used: list[Usage] = []

    @property
    def kept_sources(self) -> str:
        """What was named, as JSON text."""
        return orjson.dumps(self.sources.kept()).decode()

    def take(self, text: str) -> None:
        self.text += self.sources.cited(self.guard.feed(text))

    def finish(self) -> None:
        self.text += self.sources.cited(self.guard.end())


async def answer(message_id: UUID, *, model: LanguageModel | None, search: Search, texts: PubSub) -> None:
    """Write the answer, as the system at work in its organization; nothing for one that has ended or is gone."""
    message = await _claim(message_id)
    if message is None:
        return
    draft = _Draft()
    status = AiMessageStatus.FAILED
    try:
        async with asyncio.timeout(LONGEST_S):
            await _while_ours(message, draft, texts, _write(message, draft, model, search))
        status = AiMessageStatus.DONE
    except _Gone:
        _log.info("an answer is not wanted any more")
        return
    except asyncio.CancelledError:
        with suppress(RequestError, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await _end(message, draft, status, texts)
        raise
    except (DomainError, TimeoutError) as fault:
        # Its words are of ours alone.
        _log.warning("an answer has failed", fault=str(fault) or type(fault).__name__)
    except Exception as fault:
        _log.error("an answer has failed", exc_info=fault)
    await _end(message, draft, status, texts)


async def _claim(message_id: UUID) -> MessageRow | None:
    """The answer, for the one attempt that there is; None when there is nothing to do."""
    async with tx():
        held = sql(
            "SELECT claim FROM ai_message WHERE id = {} AND status = {} FOR NO KEY UPDATE",
            *(message_id, AiMessageStatus.STREAMING.value),
        )
        found = await fetch(held, Row)
        if not found:
            return None
        if found[0]["claim"] is not None:
            await chat.end(sql("ai_message.id = {}", message_id), AiMessageStatus.FAILED)
            return None
        claimed = "UPDATE ai_message SET claim = {}, version = version + 1 WHERE id = {} RETURNING {}"
        (message,) = await fetch(sql(claimed, new_id(), message_id, MESSAGES.listed(MESSAGES.columns)), MessageRow)
        return message


async def _while_ours(message: MessageRow, draft: _Draft, texts: PubSub, write: Coroutine[Any, Any, None]) -> None:
    """Let it be written, and pass on what there is. Raises _Gone as soon as it is known; what the writing raises."""
    writing, told = asyncio.create_task(write), ""
    try:
        while not (await asyncio.wait((writing,), timeout=WRITE_EVERY_S))[0]:
            # Where the database is away for a moment, the next time has it all.
            with suppress(Unavailable, Timeout):
                told = await _tell(message, draft, told, texts)
            heed_cancellation()
        writing.result()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _tell(message: MessageRow, draft: _Draft, told: str, texts: PubSub) -> str:
    """Put into the row what is new, and tell the followers; what they have now. Raises _Gone; Unavailable; Timeout."""
    text = draft.text
    if text == told:
        found = await fetch(sql("SELECT FROM ai_message WHERE {}", _ours(message)), Row)
    else:
        written = "UPDATE ai_message SET content = {}, sources = {}, updated_at = {}, version = version + 1"
        values = (text, draft.kept_sources, now())
        found = await fetch(sql(f"{written} WHERE {{}} RETURNING id", *values, _ours(message)), Row)
    if not found:
        raise _Gone
    if text != told:
        await streams.tell(texts, message.id, streams.units(told), text[len(told) :])
    return text


async def _end(message: MessageRow, draft: _Draft, status: AiMessageStatus, texts: PubSub) -> None:
    """End the answer with all there is, unless it has ended already."""
    draft.finish()
    values: dict[str, Any] = {"content": draft.text, "sources": draft.kept_sources}
    if draft.used:
        values["input_tokens"] = sum(used.input_tokens for used in draft.used)
        values["output_tokens"] = sum(used.output_tokens for used in draft.used)
    async with tx():
        await chat.end(_ours(message), status, **values)


async def _write(message: MessageRow, draft: _Draft, model: LanguageModel | None, search: Search) -> None:
    """Ask the model until it calls no tools, as whoever has asked it."""
    if model is None:
        raise Unavailable("No language model is set up here.")
    ref, org_id = ActorRef(ActorKind.USER, message.user_id), message.org_id

    async def who() -> Actor:
        actor = await callers.of_ref(ref, org_id)
        actor.require(Permission.AI_USE, org_id=org_id)
        return actor

    question = await _question(message)
    messages = await context.gathered(await who(), question, search=search, sources=draft.sources, guard=draft.guard)
    tools = Tools(who, org_id, search=search, sources=draft.sources)
    said = ""
    for number in range(1, MOST_CALLS_OF_MODEL + 1):
        await budget.require(org_id)
        if said.strip():
            draft.take("\n\n")
        is_last = number == MOST_CALLS_OF_MODEL or _asked_tokens(messages) > MOST_ASKED_TOKENS
        said, calls = await _said(org_id, draft, model, messages, () if is_last else prompts.TOOLS)
        if is_last or not calls:
            break
        messages.append(Message("assistant", said, tool_calls=calls))
        messages += [Message("tool", await tools.call(call), tool_call_id=call.id) for call in calls]
    draft.finish()
    if not draft.text.strip():
        raise _Empty("the language model said nothing")


async def _said(
    org_id: UUID, draft: _Draft, model: LanguageModel, messages: Sequence[Message], tools: Sequence[Tool]
) -> tuple[str, tuple[ToolCall, ...]]:
    """What the model says, which goes into the draft as it comes, and the tools that it calls; charged in any case."""
    said: list[str] = []
    calls: list[ToolCall] = []
    usage: Usage | None = None
    is_charged = True
    try:
        async with aclosing(model.stream(messages, tools=tools, max_tokens=MOST_ANSWERED_TOKENS)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    said.append(piece.text)
                    draft.take(piece.text)
                elif isinstance(piece, ToolCall):
                    calls.append(piece)
                elif isinstance(piece, End):
                    usage = piece.usage
                if len(draft.text) > LONGEST_ANSWER:
                    break
    except DomainError:
        # A request that was refused costs nothing; one that was cut off, about what came of it.
        is_charged = bool(said)
        raise
    finally:
        if is_charged:
            used = usage or estimated_usage(messages, tools, said)
            draft.used.append(used)
            await budget.charge(org_id, used)
    return "".join(said), tuple(calls[:MOST_CALLS_OF_TOOLS])


async def _question(message: MessageRow) -> MessageRow:
    statement = sql("SELECT {} FROM ai_message WHERE id = {}", MESSAGES.listed(MESSAGES.columns), message.question_id)
    found = await fetch(statement, MessageRow)
    if not found:
        raise _Gone
    return found[0]


def _asked_tokens(messages: Sequence[Message]) -> int:
    return sum(estimated_tokens(message.content) for message in messages)


def _ours(message: MessageRow) -> Sql:
    return sql(
        "ai_message.id = {} AND ai_message.status = {} AND ai_message.claim = {}",
        *(message.id, AiMessageStatus.STREAMING.value, message.claim),
    )
