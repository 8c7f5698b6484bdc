"""Each night what no event told of is found, mended and told."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import structlog

from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.database import acting_for
from domain.base.permissions import Role
from domain.billing.reconcile import reconcile
from domain.deliveries import ticks
from jobs.billing import nightly
from jobs.schedule import SCHEDULE
from tests.billing.paying import Shop, changes_of, standing
from tests.factories import Tenant, make_member, rows


def drift() -> float:
    """How often something was found so far."""
    return float(telemetry.SUBSCRIPTION_DRIFT._value.get())


async def look(shop: Shop, org_id: UUID) -> bool:
    """The nightly look at one subscription."""
    with acting_for([org_id]):
        return await reconcile(Actor.system(org_id), org_id, shop.stripe, shop.settings, key=uuid4())


@pytest.mark.parametrize("what", ["a state", "seats", "nothing"])
async def test_what_had_drifted_is_mended_and_told(shop: Shop, acme: Tenant, what: str) -> None:
    async with shop.working():
        subscription = await shop.buy(acme)
        await shop.settled(acme)
        shop.fake.courier.lose(1000)
        if what == "a state":
            shop.fake.account.cancel(subscription["id"])
        elif what == "seats":
            await make_member(acme.org_id, Role.MEMBER)
        before, told = drift(), len(await changes_of(acme.org_id))

        with structlog.testing.capture_logs() as lines:
            found = await look(shop, acme.org_id)

    warned = [line for line in lines if line["event"] == "a subscription had drifted"]
    assert found is (what != "nothing")
    assert drift() - before == len(warned) == (0 if what == "nothing" else 1)
    assert len(await changes_of(acme.org_id)) == told + (1 if what == "a state" else 0)
    assert await standing(acme.org_id) == ("PRO", "CANCELED" if what == "a state" else "ACTIVE")
    (item,) = shop.subscription(acme)["items"]["data"]
    assert item["quantity"] == (5 if what == "seats" else 4)


async def test_every_organization_that_has_a_customer_is_looked_at(shop: Shop, acme: Tenant, globex: Tenant) -> None:
    shop.fake.courier.lose(1000)
    await shop.buy(acme)
    (line,) = [each for each in SCHEDULE if each.handler is nightly]

    async with shop.working():
        await ticks.begin(f"test {uuid4()}", datetime.now(UTC), nightly.name, line.statement)
        await shop.settled(acme)

    assert await standing(acme.org_id) == ("PRO", "ACTIVE")
    assert await rows("SELECT FROM delivery WHERE org_id = $1 AND handler = $2", globex.org_id, nightly.name) == []
