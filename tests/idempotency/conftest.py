"""A project to work on."""

import pytest

from tests.factories import Tenant
from tests.tasks.board import Board, make_board


@pytest.fixture
async def board(acme: Tenant) -> Board:
    """A fresh project of acme with the default states."""
    return await make_board(acme)
