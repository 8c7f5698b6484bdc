"""Planwire beside the fake of tests/openai: what clients ask of a language model goes there."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from domain.adapters.throttle import Limit
from domain.adapters.wiring import Adapters, language_model_of
from domain.ai import budget
from tests import client
from tests.factories import rows
from tests.openai.server import Asked, FakeOpenAi, Reply, serving


@dataclass(frozen=True)
class Service:
    """The fake, and the adapters that clients and jobs ask it with."""

    fake: FakeOpenAi
    adapters: Adapters

    @property
    def asked(self) -> list[Asked]:
        """What the language model was asked."""
        return [each for each in self.fake.asked if each.path.endswith(("completions", "generations"))]

    @property
    def prompt(self) -> str:
        """All that the model was told last."""
        return "\n".join(message["content"] for message in self.asked[-1].body["messages"])


@contextlib.asynccontextmanager
async def answering(adapters: Adapters) -> AsyncIterator[Service]:
    """A language model for the block, beside what clients have as it is; texts are embedded on this machine."""
    before = client.served()
    async with serving() as fake:
        told = fake.settings
        model = language_model_of(
            replace(adapters.settings, openai_api_key=told["OPENAI_API_KEY"], openai_base_url=told["OPENAI_BASE_URL"])
        )
        assert model is not None
        bundle = replace(before[1], language_model=model)
        client.use(before[0], bundle)
        try:
            yield Service(fake, bundle)
        finally:
            client.use(*before)
            await model.close()


# The mutations that ask a language model, or refuse without one.
ASKING = {"aiImageCreate", "aiMessageRetry", "aiMessageSend", "searchSummarize", "taskFilterSuggest"}


@contextlib.asynccontextmanager
async def answering_always(adapters: Adapters) -> AsyncIterator[None]:
    """As `answering`, for a sweep: as often as it likes, and what is said is JSON that says nothing."""
    async with answering(adapters) as service:
        service.fake.model = lambda _body: Reply(said({}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(budget, "TURNS", Limit(tries=1_000_000, window_s=1))
            yield


@contextlib.asynccontextmanager
async def answering_where_asked(request: pytest.FixtureRequest, adapters: Adapters) -> AsyncIterator[None]:
    """As `answering_always`, for a test of one mutation only when that one asks."""
    spec = getattr(request.node, "callspec", None)
    if spec is not None and getattr(spec.params.get("field"), "name", None) not in ASKING:
        yield
        return
    async with answering_always(adapters):
        yield


def said(value: object) -> str:
    """What a model says that answers with JSON."""
    return json.dumps(value)


async def used(org_id: UUID) -> int:
    """The tokens that the organization has been charged."""
    (row,) = await rows("SELECT coalesce(sum(tokens), 0)::bigint AS tokens FROM ai_usage WHERE org_id = $1", org_id)
    return int(row["tokens"])
