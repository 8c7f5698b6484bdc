"""A task to attach files to, and a client that sends their bytes."""

from collections.abc import AsyncIterator

import pytest

from domain.adapters.storage import Storage
from domain.adapters.wiring import Adapters
from tests.attachments.uploading import Desk
from tests.factories import Tenant
from tests.ports import http_client
from tests.tasks.board import make_board


@pytest.fixture
def storage(adapters: Adapters) -> Storage:
    """The store of the application under test."""
    return adapters.storage


@pytest.fixture
async def desk(acme: Tenant, storage: Storage, address: str) -> AsyncIterator[Desk]:
    """A fresh project of acme with a task."""
    board = await make_board(acme)
    async with http_client(base_url=f"http://{address}") as http:
        yield Desk(board, await board.task(), storage, http)
