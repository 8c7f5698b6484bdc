"""One target for the attacks of a module, and an eye on the log."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from domain.adapters.wiring import Adapters
from domain.base.settings import Settings
from tests.attacks.raw import nothing_unhandled
from tests.attacks.target import Target, attacked


@pytest.fixture(scope="module")
async def target(settings: Settings, adapters: Adapters) -> AsyncIterator[Target]:
    """A server that stands alone."""
    async with attacked(settings) as found:
        yield found


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """What was logged, of which nothing is a warning."""
    with nothing_unhandled(caplog) as found:
        yield found
