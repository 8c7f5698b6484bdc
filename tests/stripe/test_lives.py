"""The lives of subscriptions, as the clock goes on."""

from typing import Any

import pytest
import stripe

from tests.stripe.account import Refused
from tests.stripe.objects import Json
from tests.stripe.server import FakeStripe

PRO = [("price_fake_pro", 2)]


def begun(fake: FakeStripe, **how: Any) -> Json:
    """A new customer's subscription."""
    return fake.account.subscribe(fake.account.create_customer()["id"], PRO, **how)


def types_since(fake: FakeStripe, count: int) -> list[str]:
    """What happened after the first events."""
    return [event["type"] for event in fake.account.events()[count:]]


async def test_a_period_follows_another_and_is_paid(fake: FakeStripe) -> None:
    subscription = begun(fake)
    end = subscription["items"]["data"][0]["current_period_end"]
    before = len(fake.account.events())

    fake.account.advance(days=31)

    item = subscription["items"]["data"][0]
    assert (item["current_period_start"], subscription["status"]) == (end, "active")
    assert types_since(fake, before) == [
        "customer.subscription.updated",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    changed = fake.account.events()[before]["data"]["previous_attributes"]
    assert set(changed) == {"items", "latest_invoice"}


@pytest.mark.parametrize("last", ["canceled", "unpaid", "past_due"])
async def test_a_payment_that_fails_is_tried_again_until_the_last(fake: FakeStripe, last: str) -> None:
    subscription = begun(fake)
    fake.account.after_retries = last
    fake.account.failing.add(subscription["customer"])

    fake.account.advance(days=31)
    late = subscription["status"]
    fake.account.advance(days=22)

    assert (late, subscription["status"]) == ("past_due", last)
    invoice = fake.account.all("invoice")[-1]
    assert (invoice["attempt_count"], invoice["status"], invoice["next_payment_attempt"]) == (4, "open", None)
    assert len(fake.account.events("invoice.payment_failed")) == 4
    assert len(fake.account.events("customer.subscription.deleted")) == (last == "canceled")


async def test_who_pays_late_is_active_again(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = begun(fake)
    fake.account.failing.add(subscription["customer"])
    fake.account.advance(days=31)
    with pytest.raises(stripe.CardError):
        await client.v1.invoices.pay_async(subscription["latest_invoice"])
    fake.account.failing.clear()

    invoice = await client.v1.invoices.pay_async(subscription["latest_invoice"])

    assert (invoice.status, invoice.amount_remaining, subscription["status"]) == ("paid", 0, "active")
    assert len(fake.account.events("invoice.paid")) == 2


async def test_a_trial_is_told_of_and_then_paid(fake: FakeStripe) -> None:
    subscription = begun(fake, trial_days=14)
    states = [subscription["status"]]

    fake.account.advance(days=12)
    assert len(fake.account.events("customer.subscription.trial_will_end")) == 1
    states.append(subscription["status"])
    fake.account.advance(days=3)

    assert [*states, subscription["status"]] == ["trialing", "trialing", "active"]
    assert len(fake.account.events("customer.subscription.trial_will_end")) == 1
    assert [invoice["total"] for invoice in fake.account.all("invoice")] == [0, 1600]


async def test_a_first_payment_that_nobody_makes_expires(fake: FakeStripe) -> None:
    customer = fake.account.create_customer()["id"]
    fake.account.failing.add(customer)

    subscription = fake.account.subscribe(customer, PRO)
    first = subscription["status"]
    fake.account.advance(days=1)

    assert (first, subscription["status"]) == ("incomplete", "incomplete_expired")


async def test_an_end_that_was_asked_for_comes_with_the_period(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = begun(fake)
    await client.v1.subscriptions.update_async(subscription["id"], {"cancel_at_period_end": True})

    fake.account.advance(days=29)
    still = subscription["status"]
    fake.account.advance(days=2)

    assert (still, subscription["status"]) == ("active", "canceled")
    assert subscription["ended_at"] == subscription["cancel_at"]
    assert len(fake.account.all("invoice")) == 1


async def test_a_customer_takes_the_subscriptions_along(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = begun(fake)
    before = len(fake.account.events())

    await client.v1.customers.delete_async(subscription["customer"])

    assert subscription["status"] == "canceled"
    assert types_since(fake, before) == ["customer.subscription.deleted", "customer.deleted"]
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        await client.v1.billing_portal.sessions.create_async({"customer": subscription["customer"]})


async def test_a_checkout_can_be_left_until_it_expires(client: stripe.StripeClient, fake: FakeStripe) -> None:
    session = await client.v1.checkout.sessions.create_async(
        {
            "mode": "subscription",
            "line_items": [{"price": "price_fake_pro", "quantity": 1}],
            "success_url": "http://127.0.0.1/done",
        }
    )

    fake.account.advance(days=2)

    after = await client.v1.checkout.sessions.retrieve_async(session.id)
    assert (session.status, after.status, after.url) == ("open", "expired", None)
    with pytest.raises(Refused):
        fake.account.pay_session(session.id)
    assert fake.account.all("subscription") == []


async def test_who_forgets_the_items_id_subscribes_twice(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = begun(fake)
    update = client.v1.subscriptions.update_async

    await update(subscription["id"], {"items": [{"price": "price_fake_business"}]})
    with pytest.raises(stripe.InvalidRequestError, match="Another item"):
        await update(subscription["id"], {"items": [{"price": "price_fake_pro", "quantity": 9}]})
    with pytest.raises(stripe.InvalidRequestError, match="exclude each other"):
        await update(subscription["id"], {"cancel_at_period_end": True, "cancel_at": ""})

    items = [(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]]
    assert items == [("price_fake_pro", 2), ("price_fake_business", 1)]
    assert subscription["cancel_at"] is None
