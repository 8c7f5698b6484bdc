"""The compiler against graphql-core: random operations, each run through both over the same rows.

500 queries and 60 mutations in the suite, the same ones each time; 5,000 and 500 others each night (`--long`).
"""

import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime
from random import Random
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from domain.adapters.wiring import Adapters
from domain.base import clock
from domain.base.settings import Settings
from graph.base.limits import LIMITS
from graph.execution import Engine
from tests.client import engine
from tests.compiler.operations import operation as made
from tests.compiler.referee import Outcome, Request, compare, judge
from tests.compiler.worlds import Scene, make_scenes
from tests.factories import execute
from tests.isolation.ledger import Ledger, open_ledger

# Graphql-core leaves coroutines unawaited where null is passed upwards past them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

CALLERS = ["admin", "admin", "admin", "guest", "guest", "key", "stranger", "nobody"]
NUMBERS = {"test_queries": (500, 5_000), "test_mutations": (60, 500)}
"""How many examples in the suite, and how many each night."""
# One seed an example, of which everything else is made: drawn one by one, hypothesis took the choices for flaky.
SEEDS = st.integers(0, 2**64 - 1)
# Behind every id that time gives.
FIRST_ID = 0x0FFFFFFFFFFF_7000_8000_000000000000


class Stage:
    """The worlds that are asked about, and what brings their rows back. Shown without them when a test fails."""

    def __init__(self, scenes: list[Scene], ledger: Ledger, now: datetime) -> None:
        self.scenes = scenes
        self.ledger = ledger
        self.now = now


@pytest.fixture(scope="module")
async def stage(settings: Settings, adapters: Adapters) -> AsyncIterator[Stage]:
    """One whole world and one broken one."""
    async with AsyncExitStack() as stack:
        scenes, now = await make_scenes(), clock.now()
        # The first use of each credential is written down; all others are at the same instant.
        with clock.frozen(now):
            for scene in scenes:
                for caller in scene.callers.values():
                    await caller.ok("{ __typename }")
        ledger = open_ledger(settings, *(scene.world.tenant.org_id for scene in scenes))
        yield Stage(scenes, await stack.enter_async_context(ledger), now)


def asked(stage: Stage, seed: int, kind: str) -> Request:
    """An operation and who asks it."""
    chance = Random(seed)  # noqa: S311
    scene = chance.choice(stage.scenes)
    caller = chance.choice(CALLERS)
    operation = made(chance, scene.material, kind, LIMITS.fields)
    return Request(scene.callers[caller], operation.document, operation.variables, operation.name)


@pytest.fixture(autouse=True)
def number_of_examples(request: pytest.FixtureRequest) -> None:
    """As many as the run has time for; a night's are new ones each time."""
    few, a_night = NUMBERS[request.function.__name__]
    night = bool(request.config.getoption("--long"))
    apply = with_settings(
        max_examples=a_night if night else few,
        derandomize=not night,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    apply(request.function)


@given(seed=SEEDS)
async def test_queries(stage: Stage, seed: int) -> None:
    with clock.frozen(stage.now):
        await compare(asked(stage, seed, "query"))


@given(seed=SEEDS)
async def test_mutations(stage: Stage, seed: int) -> None:
    request = asked(stage, seed, "mutation")

    async def afresh(by: Engine) -> Outcome:
        ids, numbers = (UUID(int=FIRST_ID + n) for n in itertools.count()), itertools.count()
        try:
            with (
                clock.frozen(stage.now),
                clock.ids_from(ids),
                patch.object(secrets, "token_urlsafe", lambda _: f"{next(numbers):043}"),
            ):
                return await request.through(by)
        finally:
            await stage.ledger.restore()
            # What belongs to no tenant.
            await execute("DELETE FROM idempotency")
            await execute("DELETE FROM security_entry WHERE id >= $1", UUID(int=FIRST_ID))

    await judge(await afresh(engine), request, afresh)
