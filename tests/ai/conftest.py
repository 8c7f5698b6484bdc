"""A model that says what a test wants, and workers as tests/jobs has them."""

from collections.abc import AsyncIterator

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from tests.ai.answering import Service, answering
from tests.ai.chatting import Talk, talking
from tests.jobs.conftest import quiet, workers

__all__ = ["quiet", "workers"]


@pytest.fixture
async def talk(settings: Settings, adapters: Adapters) -> AsyncIterator[Talk]:
    """A talk with the model."""
    async with talking(settings, adapters) as made:
        yield made


@pytest.fixture
async def service(adapters: Adapters) -> AsyncIterator[Service]:
    """The service that is asked for single answers and pictures."""
    async with answering(adapters) as running:
        yield running
