"""A project to work on."""

import pytest

from domain.billing.plans import Plan
from tests.factories import Tenant, set_plan
from tests.tasks.board import Board, make_board


@pytest.fixture
async def board(acme: Tenant) -> Board:
    """A fresh project of acme with the default states. Random tests make many more beside it."""
    await set_plan(acme.org_id, Plan.BUSINESS)
    return await make_board(acme)
