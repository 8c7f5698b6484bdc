"""Models of their own: whatever a test registers is gone before and after it. And a project that is searched."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from domain.adapters.other_embeddings import OtherEmbeddings
from domain.adapters.wiring import Adapters, embeddings_of
from domain.base.settings import Settings
from domain.projects.queries import ProjectRow
from tests import factories
from tests.factories import Tenant, make_project
from tests.openai.server import DIMENSIONS, FakeOpenAi, serving


async def forget_models() -> None:
    """Let there be no model, and so no vector."""
    await factories.execute("DELETE FROM search_model")
    for row in await factories.rows("SELECT indexname FROM pg_indexes WHERE indexname LIKE 'search_vector_hnsw_%'"):
        await factories.execute(f"DROP INDEX {row['indexname']}")


@pytest.fixture
async def models(settings: Settings) -> AsyncIterator[None]:
    """None to begin with."""
    await forget_models()
    yield
    await forget_models()


@pytest.fixture
async def openai() -> AsyncIterator[FakeOpenAi]:
    """A service of models."""
    async with serving() as running:
        yield running
        running.let_go()


@pytest.fixture
async def remote(adapters: Adapters, settings: Settings, openai: FakeOpenAi) -> AsyncIterator[Adapters]:
    """The adapters of settings that name the service."""
    named = replace(
        settings,
        openai_api_key=openai.key,
        openai_base_url=f"{openai.origin}/v1",
        openai_embedding_model="fake-embedding",
        openai_embedding_dimensions=DIMENSIONS,
    )
    made = replace(adapters, settings=named, embeddings=embeddings_of(named), other_embeddings=OtherEmbeddings(named))
    yield made
    await made.embeddings.close()
    await made.other_embeddings.close()


@pytest.fixture
async def project(acme: Tenant) -> ProjectRow:
    """A project of acme, whose tasks begin with WEB."""
    return await make_project(acme.member, acme, name="Website", key="WEB")
