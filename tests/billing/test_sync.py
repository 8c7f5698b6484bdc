"""A subscription ends as Stripe has it, in whatever order and however often Stripe tells of it."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from domain.adapters.stripe import Item, StripeRefused, Subscribed
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import acting_for
from domain.billing import syncing
from tests.billing.paying import Shop, changes_of, standing, subscription_of
from tests.factories import Tenant, execute, rows
from tests.jobs.crew import until
from tests.stripe.objects import Json

# Far enough for nothing to happen on its account.
TRIAL_ENDS = 2_000_000_000
Happen = Callable[[Shop, Tenant], Awaitable[None]]


async def _over(shop: Shop, tenant: Tenant) -> None:
    """Created, updated and deleted."""
    subscription = await shop.buy(tenant)
    shop.fake.account.cancel(subscription["id"])


async def _unpaid(shop: Shop, tenant: Tenant) -> None:
    """Paid, then not."""
    subscription = await shop.buy(tenant)
    shop.fake.account.failing.add(subscription["customer"])
    shop.fake.account.renew(subscription["id"])


async def _paid_after_all(shop: Shop, tenant: Tenant) -> None:
    """Paid, not paid, and paid."""
    await _unpaid(shop, tenant)
    subscription = shop.subscription(tenant)
    shop.fake.account.failing.clear()
    shop.fake.account.pay_invoice(subscription["latest_invoice"])


def _of(held: list[Json], *types: str) -> list[Json]:
    """The last event of each type."""
    return [[each for each in held if each["type"] == type_][-1] for type_ in types]


LIFE = tuple(f"customer.subscription.{word}" for word in ("created", "updated", "deleted"))
BILLS = ("invoice.paid", "invoice.payment_failed")


@pytest.mark.parametrize(
    ("happen", "types", "end"),
    [
        (_over, LIFE, ("PRO", "CANCELED")),
        (_unpaid, (*BILLS, "checkout.session.completed"), ("PRO", "PAST_DUE")),
        (_paid_after_all, (*BILLS, "customer.subscription.updated"), ("PRO", "ACTIVE")),
    ],
    ids=["over", "unpaid", "paid after all"],
)
async def test_every_order_of_events_ends_in_the_newest_state(
    shop: Shop, acme: Tenant, happen: Happen, types: tuple[str, ...], end: tuple[str, str]
) -> None:
    shop.fake.courier.hold()
    await happen(shop, acme)
    told = _of(shop.fake.courier.held or [], *types)
    await shop.fake.courier.release([])
    async with shop.working():
        for order in itertools.permutations(told):
            await _forget(acme)
            shop.fake.courier.hold()
            await shop.fake.courier.release(order)
            await shop.settled(acme)

            assert await standing(acme.org_id) == end
            # What the others told was known from the first on.
            assert len(await changes_of(acme.org_id)) == 1


async def _forget(tenant: Tenant) -> None:
    """Let nothing have been told yet."""
    await execute("DELETE FROM event WHERE org_id = $1 AND type = 'SUBSCRIPTION_UPDATED'", tenant.org_id)
    await execute("DELETE FROM stripe_event")
    await execute(
        "UPDATE subscription SET plan = 'FREE', status = 'ACTIVE', stripe_subscription_id = NULL, seats = 0, "
        "current_period_end = NULL, past_due_since = NULL, grace_ends_at = NULL WHERE org_id = $1",
        tenant.org_id,
    )


async def test_two_plans_that_are_paid_for_at_once_are_told(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.lose(1000)
    first = await shop.buy(acme)
    with acting_for([acme.org_id]), structlog.testing.capture_logs() as lines:
        await syncing.look(acme.org_id, first["customer"], shop.stripe)
        alone = [line["event"] for line in lines]
        second = shop.fake.account.subscribe(first["customer"], [("price_fake_pro", 1)])
        await syncing.look(acme.org_id, first["customer"], shop.stripe)

    assert alone == []
    assert [(line["event"], set(line["subscriptions"])) for line in lines] == [
        ("paid for twice", {first["id"], second["id"]})
    ]


async def test_what_was_seen_earlier_does_not_go_over_what_was_seen_later(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.lose(1000)
    subscription = await shop.buy(acme)
    actor = Actor.system(acme.org_id)
    with acting_for([acme.org_id]):
        early = await syncing.look(acme.org_id, subscription["customer"], shop.stripe)
        shop.fake.account.cancel(subscription["id"])
        late = await syncing.look(acme.org_id, subscription["customer"], shop.stripe)

        wrote = [await syncing.write(actor, seen, shop.settings) for seen in (late, early, late)]

    assert wrote == [True, False, False]
    assert await standing(acme.org_id) == ("PRO", "CANCELED")
    assert len(await changes_of(acme.org_id)) == 1
    row = await subscription_of(acme.org_id)
    assert (row["sync_begun"], row["sync_written"]) == (2, 2)


async def test_a_look_that_died_is_made_anew(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.lose(1000)
    subscription = await shop.buy(acme)
    actor = Actor.system(acme.org_id)
    with acting_for([acme.org_id]):
        await syncing.look(acme.org_id, subscription["customer"], shop.stripe)

        again = await syncing.look(acme.org_id, subscription["customer"], shop.stripe)
        await syncing.write(actor, again, shop.settings)

    assert await standing(acme.org_id) == ("PRO", "ACTIVE")


async def test_a_failed_job_is_done_later(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.hold()
    await shop.buy(acme)
    (completed,) = _of(shop.fake.courier.held or [], "checkout.session.completed")
    fault = shop.fake.fault("fail", method="GET", path="/v1/subscriptions", times=3)
    async with shop.working():
        await shop.fake.courier.release([completed])
        await fault.struck.wait()
        await until(lambda: rows("SELECT FROM delivery WHERE kind = 'INBOUND' AND last_error IS NOT NULL"))
        await execute(
            "UPDATE delivery SET available_at = now(), queue_at = now() WHERE state = 'PENDING' AND claim IS NULL"
        )
        await shop.settled(acme)

    assert await standing(acme.org_id) == ("PRO", "ACTIVE")


async def test_a_customer_that_is_not_stored_yet_says_whose_it_is(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.hold()
    subscription = await shop.buy(acme)
    await execute("UPDATE subscription SET stripe_customer_id = NULL WHERE org_id = $1", acme.org_id)

    async with shop.working():
        await shop.fake.courier.release()
        row = await shop.settled(acme)

    assert row["stripe_customer_id"] == subscription["customer"]
    assert (row["plan"], row["status"]) == ("PRO", "ACTIVE")


@pytest.mark.parametrize("whose", ["nobody", "no organization", "beside the one"])
async def test_a_customer_of_somebody_else_changes_nothing(shop: Shop, acme: Tenant, whose: str) -> None:
    metadata = {
        "nobody": {},
        "no organization": {"organization_id": "01a0c387-dc40-7080-8000-000000000079"},
        "beside the one": {"organization_id": str(acme.org_id)},
    }[whose]
    await shop.checkout(acme)
    before = await subscription_of(acme.org_id)
    with_stripe: Any = shop.stripe
    customer = await with_stripe._client.v1.customers.create_async({"metadata": metadata})
    async with shop.working():
        shop.fake.account.subscribe(customer.id, [["price_fake_pro", 1]])
        after = await shop.settled(acme)

    assert after == before
    assert await changes_of(acme.org_id) == []
    assert await rows("SELECT FROM delivery WHERE kind = 'INBOUND' AND state <> 'DONE'") == []


async def test_a_customer_who_is_deleted_ends_what_was_paid_for(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        subscription = await shop.buy(acme)
        await shop.settled(acme)
        shop.fake.account.delete_customer(subscription["customer"])
        row = await shop.settled(acme)

    assert (row["plan"], row["status"], row["stripe_customer_id"]) == ("PRO", "CANCELED", subscription["customer"])


async def test_a_new_subscription_counts_and_not_the_one_that_ended(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        old = await shop.buy(acme)
        shop.fake.account.cancel(old["id"])
        await shop.settled(acme)
        new = await shop.buy(acme, "BUSINESS")
        await shop.settled(acme)
        # A late word about the old one.
        shop.fake.account.emit("customer.subscription.deleted", old)
        row = await shop.settled(acme)

    assert (row["plan"], row["status"], row["stripe_subscription_id"]) == ("BUSINESS", "ACTIVE", new["id"])


async def test_a_grace_begins_once_and_ends_when_it_is_paid(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        subscription = await shop.buy(acme)
        shop.fake.account.failing.add(subscription["customer"])
        shop.fake.account.renew(subscription["id"])
        first = await shop.settled(acme)
        shop.fake.account.advance(days=7)
        second = await shop.settled(acme)
        shop.fake.account.failing.clear()
        shop.fake.account.pay_invoice(shop.subscription(acme)["latest_invoice"])
        paid = await shop.settled(acme)

    assert (first["status"], second["status"], paid["status"]) == ("PAST_DUE", "PAST_DUE", "ACTIVE")
    assert (first["grace_ends_at"] - first["past_due_since"]).days == 14
    assert second["grace_ends_at"] == first["grace_ends_at"]
    assert (paid["past_due_since"], paid["grace_ends_at"]) == (None, None)


async def test_a_price_that_is_no_plans_takes_nothing_away(shop: Shop, acme: Tenant) -> None:
    async with shop.working():
        subscription = await shop.buy(acme)
        await shop.settled(acme)
        with structlog.testing.capture_logs() as lines:
            old = {**shop.fake.account.objects["price_fake_pro"], "id": "price_of_last_year"}
            with shop.fake.account.changing(subscription):
                subscription["items"]["data"][0]["price"] = old
            row = await shop.settled(acme)

    assert (row["plan"], row["status"]) == ("PRO", "ACTIVE")
    assert "a price of Stripe's is no plan's" in [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("word", "status"),
    [("trialing", "TRIALING"), ("unpaid", "UNPAID"), ("paused", "UNPAID"), ("incomplete_expired", "CANCELED")],
)
async def test_stripes_words_are_states_of_ours(shop: Shop, acme: Tenant, word: str, status: str) -> None:
    async with shop.working():
        subscription = await shop.buy(acme)
        with shop.fake.account.changing(subscription):
            subscription |= {"status": word, "trial_end": TRIAL_ENDS}
        row = await shop.settled(acme)

    assert (row["plan"], row["status"]) == ("PRO", status)
    assert row["trial_ends_at"].timestamp() == TRIAL_ENDS


def test_a_state_that_nobody_knows_is_told_and_goes_over_nothing() -> None:
    known = Subscribed("sub_1", "canceled", (Item("si_1", "price_1", 1, None),), None, False, None, now())
    strange = replace(known, id="sub_2", status="asleep")
    empty = replace(known, id="sub_3", status="active", items=())

    assert syncing.best([]) is None
    assert syncing.best([strange, known, empty]) is known
    with pytest.raises(StripeRefused, match="sub_2 is asleep"):
        syncing.best([strange])
