"""The official client talks to the fake unchanged."""

from typing import Any

import pytest
import stripe

from tests.stripe.server import FakeStripe


async def subscribed(client: stripe.StripeClient, fake: FakeStripe, **subscription_data: Any) -> stripe.Subscription:
    """A customer's subscription to three seats of Pro, through the checkout."""
    customer = await client.v1.customers.create_async({"email": "ann@acme.test"})
    wanted: Any = {
        "mode": "subscription",
        "customer": customer.id,
        "line_items": [{"price": "price_fake_pro", "quantity": 3}],
        "success_url": "http://127.0.0.1/done?of={CHECKOUT_SESSION_ID}",
        "subscription_data": subscription_data,
    }
    session = await client.v1.checkout.sessions.create_async(wanted)
    id = fake.account.pay_session(session.id)["subscription"]
    return await client.v1.subscriptions.retrieve_async(id)


async def test_a_customer_is_made_changed_found_and_deleted(client: stripe.StripeClient, fake: FakeStripe) -> None:
    made = await client.v1.customers.create_async({"email": "ann@acme.test", "metadata": {"organization": "org_1"}})
    await client.v1.customers.update_async(made.id, {"name": "Ann", "metadata": {"plan": "x"}})
    await client.v1.customers.create_async({"email": "bob@acme.test", "metadata": {"organization": "org_2"}})

    found = await client.v1.customers.search_async({"query": "metadata['organization']:'org_1'"})
    listed = await client.v1.customers.list_async({"email": "ann@acme.test"})
    deleted = await client.v1.customers.delete_async(made.id)
    again = await client.v1.customers.retrieve_async(made.id)

    assert [each.to_dict() for each in found.data] == [each.to_dict() for each in listed.data]
    assert [(each.id, each.name) for each in found.data] == [(made.id, "Ann")]
    assert found.data[0].to_dict()["metadata"] == {"organization": "org_1", "plan": "x"}
    assert deleted.deleted is again.to_dict()["deleted"] is True
    types = ["customer.created", "customer.updated", "customer.created", "customer.deleted"]
    assert [event["type"] for event in fake.account.events()] == types


async def test_a_checkout_that_is_paid_becomes_a_subscription(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = (await subscribed(client, fake, metadata={"organization": "org_1"})).to_dict()

    item = subscription["items"]["data"][0]
    assert (subscription["status"], item["quantity"], item["price"]["id"]) == ("active", 3, "price_fake_pro")
    assert subscription["metadata"] == {"organization": "org_1"}
    assert "current_period_end" not in subscription
    assert item["current_period_end"] - item["current_period_start"] == 30 * 86_400
    invoice = await client.v1.invoices.retrieve_async(subscription["latest_invoice"], {"expand": ["customer"]})
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 2400, 2400)
    assert invoice.to_dict()["parent"]["subscription_details"]["subscription"] == subscription["id"]
    assert invoice.to_dict()["customer"]["email"] == "ann@acme.test"
    assert [event["type"] for event in fake.account.events()] == [
        "customer.created",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]


async def test_seats_price_and_end_of_a_subscription_are_changed(client: stripe.StripeClient, fake: FakeStripe) -> None:
    subscription = await subscribed(client, fake)
    item = subscription.to_dict()["items"]["data"][0]["id"]
    update = client.v1.subscriptions.update_async

    await update(subscription.id, {"items": [{"id": item, "quantity": 5, "price": "price_fake_business"}]})
    ending = await update(subscription.id, {"cancel_at_period_end": True})
    going_on = await update(subscription.id, {"cancel_at_period_end": False})
    ended = await client.v1.subscriptions.cancel_async(subscription.id)

    changed = ended.to_dict()["items"]["data"]
    assert [(each["id"], each["quantity"], each["price"]["id"]) for each in changed] == [
        (item, 5, "price_fake_business")
    ]
    assert (ending.cancel_at_period_end, ending.cancel_at) == (True, changed[0]["current_period_end"])
    assert (going_on.cancel_at_period_end, going_on.cancel_at) == (False, None)
    assert ended.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        await client.v1.subscriptions.cancel_async(subscription.id)
    assert (await client.v1.subscriptions.list_async({"customer": str(ended.customer)})).data == []


async def test_refusals_are_told_as_stripe_tells_them(client: stripe.StripeClient, fake: FakeStripe) -> None:
    misspelt: Any = {"nmae": "Ann"}

    with pytest.raises(stripe.InvalidRequestError) as absent:
        await client.v1.customers.retrieve_async("cus_none")
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await client.v1.customers.create_async(misspelt)
    with pytest.raises(stripe.AuthenticationError):
        await client.v1.customers.create_async({}, {"api_key": "sk_test_other"})

    assert (absent.value.http_status, absent.value.code, absent.value.param) == (404, "resource_missing", "id")
    assert (unknown.value.http_status, unknown.value.code, unknown.value.param) == (400, "parameter_unknown", "nmae")
    assert str(absent.value.request_id).startswith("req_")
    assert fake.account.all("customer") == []
