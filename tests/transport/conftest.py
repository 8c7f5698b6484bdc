"""The store of the application under test, and a client of its routes."""

from collections.abc import AsyncIterator

import httpx
import pytest

from domain.adapters.storage_local import LocalStorage
from domain.adapters.wiring import Adapters
from tests.ports import http_client


@pytest.fixture
def storage(adapters: Adapters) -> LocalStorage:
    """The store of the application under test; its URLs name another origin."""
    assert isinstance(adapters.storage, LocalStorage)
    return adapters.storage


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with http_client(base_url=f"http://{address}") as client:
        yield client
