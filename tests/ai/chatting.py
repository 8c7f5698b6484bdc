"""Conversations with a model that a test lets speak, answered in this process as a worker does it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from domain.adapters.language_model import LanguageModel
from domain.adapters.openai_wiring import language_model_of
from domain.adapters.wiring import Adapters
from domain.ai import answering, chat, threads
from domain.ai.chat import Exchange
from domain.ai.queries import ThreadRow
from domain.base.database import acting_for
from domain.base.settings import Settings, load
from graph.base.ids import global_id
from jobs.ai import search_of
from tests import client
from tests.factories import Person, Tenant, rows
from tests.openai.server import Asked, FakeOpenAi, serving

# Only a test that fails waits for so long.
PATIENCE_S = 30.0


class Talk:
    """A service of models, and adapters that have its model."""

    def __init__(self, fake: FakeOpenAi, adapters: Adapters, model: LanguageModel) -> None:
        self.fake = fake
        self.adapters = adapters
        self.model = model

    async def ask(self, person: Person, thread: ThreadRow, content: str = "What is late?") -> Exchange:
        """Ask something; nobody answers yet."""
        async with person.acting() as actor:
            return await chat.send(actor, thread.id, content=content, model=self.model, throttle=self.adapters.throttle)

    async def retry(self, person: Person, message_id: UUID) -> Exchange:
        """Ask again."""
        async with person.acting() as actor:
            return await chat.retry(actor, message_id, model=self.model, throttle=self.adapters.throttle)

    async def write(self, exchange: Exchange) -> dict[str, Any]:
        """Write the answer, as a worker does; the row, empty where it is gone."""
        answer = exchange.answer
        with acting_for([answer.org_id]):
            await answering.answer(
                answer.id, model=self.model, search=search_of(self.adapters), texts=self.adapters.texts
            )
        return await row_of(answer.id) if await rows("SELECT FROM ai_message WHERE id = $1", answer.id) else {}

    @contextlib.asynccontextmanager
    async def writing(self, exchange: Exchange) -> AsyncIterator["asyncio.Task[dict[str, Any]]"]:
        """Write the answer beside the block; behind it, it has ended."""
        task = asyncio.create_task(self.write(exchange))
        try:
            yield task
            async with asyncio.timeout(PATIENCE_S):
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def asked(self, number: int = -1) -> list[dict[str, Any]]:
        """The messages of one request to the model."""
        return list(self.chats[number].body["messages"])

    @property
    def chats(self) -> list[Asked]:
        """The requests to the model."""
        return [each for each in self.fake.asked if each.path.endswith("/chat/completions")]

    @property
    def everything(self) -> str:
        """All that the model was ever told."""
        return json.dumps([each.body for each in self.chats], ensure_ascii=False)


@contextlib.asynccontextmanager
async def talking(settings: Settings, adapters: Adapters) -> AsyncIterator[Talk]:
    """A talk; the clients of the tests have its model too."""
    before = client.served()
    async with serving() as fake:
        model = language_model_of(load(fake.settings, data_dir=settings.data_dir))
        with_model = replace(adapters, language_model=model)
        client.use(settings, with_model)
        try:
            yield Talk(fake, with_model, model)
        finally:
            client.use(*before)
            await model.close()


async def begin(person: Person, tenant: Tenant, title: str | None = None) -> ThreadRow:
    """A thread of the person's."""
    async with person.acting() as actor:
        return await threads.create(actor, tenant.org_id, title=title)


async def row_of(message_id: UUID) -> dict[str, Any]:
    """The message's row as it is now."""
    (found,) = await rows("SELECT * FROM ai_message WHERE id = $1", message_id)
    return found


def id_of(message: Any) -> str:
    """The global id of a message."""
    return global_id("ai_message", message.id)


async def tokens_of(tenant: Tenant) -> int:
    """What the organization has used."""
    (found,) = await rows(
        "SELECT coalesce(sum(tokens), 0)::bigint AS used FROM ai_usage WHERE org_id = $1", tenant.org_id
    )
    return int(found["used"])


def calling(name: str, **arguments: Any) -> tuple[str, str]:
    """A call of a tool, as the model makes it."""
    return name, json.dumps(arguments)
