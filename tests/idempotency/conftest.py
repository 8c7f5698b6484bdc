"""A project to work on, and a look at who waits."""

import asyncio

import pytest

from domain.idempotency import service
from tests.factories import Tenant
from tests.tasks.board import Board, make_board


@pytest.fixture
async def board(acme: Tenant) -> Board:
    """A fresh project of acme with the default states."""
    return await make_board(acme)


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once somebody waits for another one's attempt."""
    waits, pause = asyncio.Event(), service._Waiting.pause

    async def note(self: service._Waiting) -> None:
        waits.set()
        await pause(self)

    monkeypatch.setattr(service._Waiting, "pause", note)
    return waits
