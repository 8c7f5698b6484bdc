"""Planwire beside the fake Stripe."""

from collections.abc import AsyncIterator

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from tests.billing.paying import Shop
from tests.billing.paying import shop as opened
from tests.jobs.crew import leave_the_past


@pytest.fixture
async def shop(settings: Settings, adapters: Adapters) -> AsyncIterator[Shop]:
    """The fake and what talks to it; nothing of earlier tests is left to do."""
    await leave_the_past(settings)
    async with opened(settings, adapters) as found:
        yield found
