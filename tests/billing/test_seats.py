"""What is paid for is as many seats as there are members."""

import asyncio
from uuid import uuid4

from domain.base.clock import new_id
from domain.base.database import acting_for
from domain.base.permissions import Role
from domain.billing import seats
from domain.organizations import memberships
from tests.billing.paying import Shop, changes_of
from tests.factories import Tenant, make_member, rows


async def quantity(shop: Shop, tenant: Tenant) -> int:
    """How many seats Stripe bills."""
    return int(shop.subscription(tenant)["items"]["data"][0]["quantity"])


async def test_seats_follow_who_leaves(shop: Shop, acme: Tenant) -> None:
    (membership,) = await rows(
        "SELECT id FROM membership WHERE org_id = $1 AND user_id = $2", acme.org_id, acme.guest.user_id
    )
    async with shop.working():
        await shop.buy(acme)
        bought = await shop.settled(acme)
        async with acme.admin.acting() as actor:
            await memberships.delete(actor, membership["id"])
        left = await shop.settled(acme)

    assert (bought["seats"], left["seats"]) == (4, 3)
    assert await quantity(shop, acme) == 3
    assert [each["seats"] for each in await changes_of(acme.org_id)] == [{"was": 0, "now": 4}, {"was": 4, "now": 3}]


async def test_who_came_between_the_page_and_the_payment_has_a_seat(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        url = await shop.checkout(acme)
        await make_member(acme.org_id, Role.MEMBER)
        shop.pay(url)
        row = await shop.settled(acme)

    assert row["seats"] == 5
    assert await quantity(shop, acme) == 5


async def test_a_repeat_is_the_same_change(shop: Shop, acme: Tenant) -> None:
    await shop.buy(acme)
    await make_member(acme.org_id, Role.MEMBER)
    key = new_id()
    fault = shop.fake.fault("fail", when="after", path="/v1/subscriptions")

    with acting_for([acme.org_id]):
        changed = [await seats.follow(acme.org_id, shop.stripe, shop.settings, key=key) for _ in range(2)]

    assert fault.struck.is_set()
    assert changed == [True, False]
    assert await quantity(shop, acme) == 5
    assert len(shop.fake.account.events("customer.subscription.updated")) == 2


async def test_numbers_that_are_set_in_the_wrong_order_come_right(shop: Shop, acme: Tenant) -> None:
    await shop.buy(acme)
    await make_member(acme.org_id, Role.MEMBER)
    # The first has counted five, and its word is slow.
    slow = shop.fake.fault("hang", path="/v1/subscriptions")
    with acting_for([acme.org_id]):
        first = asyncio.create_task(seats.follow(acme.org_id, shop.stripe, shop.settings, key=uuid4()))
        await slow.struck.wait()
        await make_member(acme.org_id, Role.MEMBER)
        await seats.follow(acme.org_id, shop.stripe, shop.settings, key=uuid4())
        slow.let_go.set()
        await first

    assert await quantity(shop, acme) == 6


async def test_what_is_over_is_left_alone(shop: Shop, acme: Tenant) -> None:
    subscription = await shop.buy(acme)
    shop.fake.account.cancel(subscription["id"])
    await make_member(acme.org_id, Role.MEMBER)

    with acting_for([acme.org_id]):
        changed = await seats.follow(acme.org_id, shop.stripe, shop.settings, key=uuid4())

    assert changed is False
    assert await quantity(shop, acme) == 4
