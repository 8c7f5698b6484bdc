"""Workers over this process's servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from tests.jobs.crew import Crew, crew


@pytest.fixture
async def workers(settings: Settings, adapters: Adapters, tmp_path: Path) -> AsyncIterator[Crew]:
    """Starts workers, which are gone at the end of the test."""
    async with crew(settings, tmp_path) as found:
        yield found
