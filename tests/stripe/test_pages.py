"""The checkout and the portal, as a browser sees them."""

import html
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import stripe

from tests.ports import http_client
from tests.stripe.objects import Json
from tests.stripe.server import FakeStripe

DONE, LEFT, BACK = "http://127.0.0.1/done?of={CHECKOUT_SESSION_ID}", "http://127.0.0.1/left", "http://127.0.0.1/<b>"


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """A browser that follows no redirection."""
    async with http_client() as client:
        yield client


async def checkout(client: stripe.StripeClient) -> stripe.checkout.Session:
    """A checkout of three seats."""
    customer = await client.v1.customers.create_async()
    return await client.v1.checkout.sessions.create_async(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": "price_fake_pro", "quantity": 3}],
            "success_url": DONE,
            "cancel_url": LEFT,
        }
    )


async def buttons(browser: httpx.AsyncClient, url: str) -> dict[str, str]:
    """What can be pressed on a page, and what that sends."""
    page = (await browser.get(url)).text
    found = re.findall(r'<button name="do" value="([^"]*)">([^<]*)</button>', page)
    return {html.unescape(text): html.unescape(value) for value, text in found}


async def press(browser: httpx.AsyncClient, url: str, text: str) -> httpx.Response:
    """Press a button."""
    return await browser.post(url, data={"do": (await buttons(browser, url))[text]})


async def test_the_checkouts_two_buttons_lead_back(
    client: stripe.StripeClient, fake: FakeStripe, browser: httpx.AsyncClient
) -> None:
    session = await checkout(client)
    url = str(session.url)

    shown = await browser.get(url)
    assert "Planwire Pro: 3 x $8.00 a month" in shown.text
    left = await press(browser, url, "Cancel")
    assert (left.status_code, left.headers["location"], fake.account.all("subscription")) == (303, LEFT, [])
    paid = await press(browser, url, "Pay")
    again = await browser.post(url, data={"do": "pay"})

    assert paid.headers["location"] == f"http://127.0.0.1/done?of={session.id}"
    assert (again.status_code, len(fake.account.all("subscription"))) == (400, 1)
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).status == "complete"
    assert await buttons(browser, url) == {}


async def test_a_declined_card_leaves_the_checkout_open(
    client: stripe.StripeClient, fake: FakeStripe, browser: httpx.AsyncClient
) -> None:
    session = await checkout(client)
    fake.account.failing.add(str(session.customer))

    answer = await press(browser, str(session.url), "Pay")

    assert (answer.status_code, fake.account.all("subscription")) == (402, [])
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).status == "open"


async def test_the_portal_does_what_its_buttons_say(
    client: stripe.StripeClient, fake: FakeStripe, browser: httpx.AsyncClient
) -> None:
    session = await checkout(client)
    subscription: Json = fake.account.objects[fake.account.pay_session(session.id)["subscription"]]
    portal = await client.v1.billing_portal.sessions.create_async(
        {"customer": subscription["customer"], "return_url": BACK}
    )
    assert '<a href="http://127.0.0.1/&lt;b&gt;">' in (await browser.get(portal.url)).text

    await press(browser, portal.url, "Cancel at the period's end")
    ends = (subscription["cancel_at"], subscription["cancel_at_period_end"])
    await press(browser, portal.url, "Resume")
    goes_on = subscription["cancel_at"]
    await press(browser, portal.url, "Change to Planwire Business")
    price = subscription["items"]["data"][0]["price"]["id"]
    await press(browser, portal.url, "Let the next payment fail")
    late = subscription["status"]
    await press(browser, portal.url, "Pay what is open")

    # In the flexible billing mode the portal sets the moment alone.
    assert ends == (fake.account.events("customer.subscription.updated")[1]["data"]["object"]["cancel_at"], False)
    assert (goes_on, price, late, subscription["status"]) == (None, "price_fake_business", "past_due", "active")


async def test_nobody_presses_a_button_for_somebody_else(
    client: stripe.StripeClient, fake: FakeStripe, browser: httpx.AsyncClient
) -> None:
    theirs = fake.account.pay_session((await checkout(client)).id)["subscription"]
    mine = fake.account.create_customer()["id"]
    portal = await client.v1.billing_portal.sessions.create_async({"customer": mine})

    answer = await browser.post(portal.url, data={"do": f"cancel {theirs}"})

    assert answer.status_code == 404
    assert fake.account.objects[theirs]["cancel_at"] is None
