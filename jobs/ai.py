"""Answers of a language model are written."""

from datetime import datetime
from uuid import UUID

import structlog

from domain.adapters.wiring import Adapters
from domain.ai import answering, chat, upkeep
from domain.ai.context import Search
from domain.base.actor import Actor
from domain.search import service
from domain.search.hits import Hit
from jobs.handlers import organization_tick, row_handler

_log = structlog.get_logger("ai")


@row_handler(chat.HANDLER, timeout_s=answering.LONGEST_S + 60, is_long=True)
async def answer(_actor: Actor, message_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """Write the answer, once."""
    await answering.answer(message_id, model=adapters.language_model, search=search_of(adapters), texts=adapters.texts)


@organization_tick("ai.end_abandoned")
async def end_abandoned(actor: Actor, _at: datetime) -> None:
    """End answers that nobody will write."""
    if ended := await upkeep.end_abandoned(actor):
        _log.error("answers were abandoned", count=ended)


def search_of(adapters: Adapters) -> Search:
    """The search that finds what an answer is written from."""

    async def search(actor: Actor, org_id: UUID, query: str, most: int) -> list[Hit]:
        found = await service.search(
            actor, org_id, query, cache=adapters.cache, embedder=adapters.embeddings_for, first=most
        )
        return found.hits

    return search
