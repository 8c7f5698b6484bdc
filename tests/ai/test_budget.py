"""The budget: real use is charged to a month of UTC, and nothing is asked once it is spent; a person takes turns."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.adapters.language_model import Usage
from domain.adapters.wiring import Adapters
from domain.ai import budget
from domain.base.clock import frozen
from domain.base.database import acting_for
from domain.base.errors import LimitReached, NotFound, RateLimited
from domain.billing.plans import PLANS, Feature, Plan
from tests.factories import Tenant, rows, set_plan

ENTITLEMENTS = "query ($id: ID!) { organization(id: $id) { entitlements { feature enabled limit used } } }"
FREE = PLANS[Plan.FREE].limits[Feature.AI_TOKENS_MONTH] or 0


def used(tokens: int) -> Usage:
    return Usage(tokens - tokens // 4, tokens // 4, is_estimated=False)


async def shown(tenant: Tenant) -> int:
    """What is used, as a client sees it."""
    data = await tenant.member.client.ok(ENTITLEMENTS, id=tenant.id)
    (found,) = [each for each in data["organization"]["entitlements"] if each["feature"] == "ai_tokens_month"]
    return int(found["used"])


async def kept(org_id: UUID) -> list[tuple[str, int]]:
    """The months of the organization."""
    found = await rows("SELECT month, tokens FROM ai_usage WHERE org_id = $1 ORDER BY month", org_id)
    return [(str(row["month"]), row["tokens"]) for row in found]


async def test_what_is_charged_at_the_same_time_is_added(acme: Tenant, globex: Tenant) -> None:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    with acting_for([acme.org_id]), frozen(at):
        await asyncio.gather(*(budget.charge(acme.org_id, used(100 + number)) for number in range(10)))

    assert await kept(acme.org_id) == [("2026-11-01", 1045)]
    assert await kept(globex.org_id) == []


async def test_nothing_is_asked_once_the_month_is_spent_and_the_next_one_begins_anew(acme: Tenant) -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    with acting_for([acme.org_id]), frozen(last):
        await budget.charge(acme.org_id, used(FREE - 1))
        await budget.require(acme.org_id)
        await budget.charge(acme.org_id, used(8))

        with pytest.raises(LimitReached) as refused:
            await budget.require(acme.org_id)

        await set_plan(acme.org_id, Plan.PRO)
        await budget.require(acme.org_id)
    with acting_for([acme.org_id]), frozen(last + timedelta(seconds=1)):
        await set_plan(acme.org_id, Plan.FREE)
        await budget.require(acme.org_id)

    fault = refused.value
    assert (fault.feature, fault.limit, fault.used) == ("ai_tokens_month", FREE, FREE + 7)
    assert fault.message == "The plan has 50,000 AI tokens a month; 50,007 are used. The next month begins by UTC."


async def test_no_month_has_less_than_nothing(acme: Tenant) -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    with acting_for([acme.org_id]), frozen(last):
        await budget.charge(acme.org_id, used(100))
    with acting_for([acme.org_id]), frozen(last + timedelta(seconds=1)):
        await budget.give_back(acme.org_id, used(100))
        await budget.charge(acme.org_id, used(7))
        await budget.give_back(acme.org_id, used(8))

    assert await kept(acme.org_id) == [("2026-11-01", 100), ("2026-12-01", 0)]


async def test_what_is_used_shows_at_once_though_no_event_tells_of_it(acme: Tenant) -> None:
    before = await shown(acme)
    with acting_for([acme.org_id]):
        await budget.charge(acme.org_id, used(1_000))
    first = await shown(acme)
    with acting_for([acme.org_id]):
        await budget.charge(acme.org_id, used(500))

    assert (before, first, await shown(acme)) == (0, 1_000, 1_500)


async def test_nobody_charges_or_asks_for_a_stranger(acme: Tenant, globex: Tenant) -> None:
    with acting_for([acme.org_id]):
        with pytest.raises(NotFound):
            await budget.require(globex.org_id)
        with pytest.raises(Exception, match="row-level security"):
            await budget.charge(globex.org_id, used(5))

    assert await kept(globex.org_id) == []


async def test_a_person_takes_turns(acme: Tenant, adapters: Adapters) -> None:
    async with acme.member.acting() as actor, acme.admin.acting() as another:
        for _ in range(budget.TURNS.tries):
            await budget.require_turn(actor, adapters.throttle)

        with pytest.raises(RateLimited) as refused:
            await budget.require_turn(actor, adapters.throttle)
        await budget.require_turn(another, adapters.throttle)

    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= budget.TURNS.window_s
