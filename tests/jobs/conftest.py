"""Workers over this process's servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from tests.jobs.crew import Crew, crew, leave_the_past


@pytest.fixture
async def quiet(settings: Settings, adapters: Adapters) -> None:
    """Nothing of earlier tests is left to do."""
    await leave_the_past(settings)


@pytest.fixture
async def workers(settings: Settings, adapters: Adapters, tmp_path: Path) -> AsyncIterator[Crew]:
    """Starts workers, which are gone at the end of the test."""
    async with crew(settings, tmp_path) as found:
        yield found
