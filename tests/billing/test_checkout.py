"""Pages of Stripe's: one customer for an organization whatever happens, and only ways back to pages of ours."""

import asyncio
from typing import Any, Literal

import pytest

from domain.adapters import stripe as adapter
from domain.base.database import acting_for
from domain.billing import customers
from tests.billing.paying import CANCEL, CHECKOUT, PORTAL, RESUME, URLS, Shop, standing, subscription_of
from tests.client import GraphQL
from tests.factories import Tenant, rows
from tests.stripe.account import Refused

CHANGES: list[tuple[str, dict[str, Any]]] = [
    (CHECKOUT, {"plan": "PRO", **URLS}),
    (PORTAL, {"return": URLS["cancel"]}),
    (CANCEL, {}),
    (RESUME, {}),
]
# With a key, the same again is the same.
KEYED = CHECKOUT.replace("cancelUrl: $cancel)", "cancelUrl: $cancel) @idempotent(key: $key)").replace(
    "$cancel: String!)", "$cancel: String!, $key: String!)"
)


def asked(shop: Shop, path: str, method: str = "POST") -> list[dict[str, Any]]:
    """The parameters of the requests that Stripe has answered well."""
    return [given for how, where, given, _, status in shop.fake.asked if (how, where, status) == (method, path, 200)]


async def test_a_page_has_a_seat_for_each_member(shop: Shop, acme: Tenant) -> None:
    url = await shop.checkout(acme, "BUSINESS")

    (customer,) = shop.customers(acme)
    (given,) = asked(shop, "/v1/checkout/sessions")
    assert url.startswith(f"{shop.fake.origin}/c/pay/cs_")
    assert given["customer"] == customer["id"]
    assert given["line_items"] == [{"price": "price_fake_business", "quantity": "4"}]
    assert (given["success_url"], given["cancel_url"]) == (URLS["success"], URLS["cancel"])
    assert (await subscription_of(acme.org_id))["stripe_customer_id"] == customer["id"]
    assert await standing(acme.org_id) == ("FREE", "ACTIVE")


async def test_twenty_who_begin_at_once_share_one_customer(shop: Shop, acme: Tenant) -> None:
    shop.fake.latency_s = 0.05

    answers = await asyncio.gather(
        *(acme.billing.client.run(CHECKOUT, org=acme.id, plan="PRO", **URLS) for _ in range(20))
    )

    (customer,) = shop.customers(acme)
    assert (await subscription_of(acme.org_id))["stripe_customer_id"] == customer["id"]
    # Who comes while the first is being made may be told to come again; nobody gets another customer.
    assert {given["customer"] for given in asked(shop, "/v1/checkout/sessions")} == {customer["id"]}
    assert [code for answer in answers for code in answer.codes if code != "UNAVAILABLE"] == []
    assert any(answer.errors == [] for answer in answers)
    # Nor can several pay.
    assert [each["status"] for each in shop.fake.account.all("checkout.session")].count("open") == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_customer_whose_making_was_cut_off_is_made_once(
    shop: Shop, acme: Tenant, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "RETRIES", 0)
    shop.fake.fault("fail", when=when, path="/v1/customers")
    answer = await acme.billing.client.run(CHECKOUT, org=acme.id, plan="PRO", **URLS)
    left = len(shop.customers(acme))

    await shop.checkout(acme)

    (customer,) = shop.customers(acme)
    assert answer.codes == ["UNAVAILABLE"]
    assert left == (1 if when == "after" else 0)
    assert (await subscription_of(acme.org_id))["stripe_customer_id"] == customer["id"]


@pytest.mark.parametrize("how", ["fail", "hang"])
async def test_an_answer_that_was_lost_is_asked_for_again(
    shop: Shop, acme: Tenant, how: Literal["fail", "hang"]
) -> None:
    shop.fake.fault(how, when="after", path="/v1/checkout/sessions")

    url = await shop.checkout(acme)

    (session,) = shop.fake.account.all("checkout.session")
    assert url == session["url"]


@pytest.mark.parametrize("days", [0, 2])
async def test_a_crash_between_stripes_answer_and_our_commit_makes_no_second_customer(
    shop: Shop, acme: Tenant, days: int
) -> None:
    with acting_for([acme.org_id]):
        first = await customers.ensure(acme.org_id, shop.stripe)
    await rows("UPDATE subscription SET stripe_customer_id = NULL WHERE org_id = $1 RETURNING id", acme.org_id)
    # A search finds what is a minute old, a key is known for a day.
    shop.fake.account.search_lag_s = 60
    shop.fake.account.advance(days=days)

    await shop.checkout(acme)

    assert [each["id"] for each in shop.customers(acme)] == [first]
    assert (await subscription_of(acme.org_id))["stripe_customer_id"] == first


async def test_a_customer_who_was_deleted_at_stripe_is_replaced(shop: Shop, acme: Tenant) -> None:
    await shop.checkout(acme)
    (gone,) = shop.customers(acme)
    shop.fake.account.delete_customer(gone["id"])

    await shop.checkout(acme)

    (customer,) = shop.customers(acme)
    assert customer["id"] != gone["id"]
    assert (await subscription_of(acme.org_id))["stripe_customer_id"] == customer["id"]


async def test_the_same_wish_again_gives_the_same_page(shop: Shop, acme: Tenant) -> None:
    first, again = [
        await acme.billing.client.done(KEYED, org=acme.id, plan="PRO", key="once", **URLS) for _ in range(2)
    ]

    assert first == again
    assert len(asked(shop, "/v1/checkout/sessions")) == 1


async def test_a_page_whose_answer_was_lost_is_the_same_when_it_is_asked_for_again(
    shop: Shop, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "RETRIES", 0)
    shop.fake.fault("fail", when="after", path="/v1/checkout/sessions")
    lost = await acme.billing.client.run(KEYED, org=acme.id, plan="PRO", key="once", **URLS)

    found = await acme.billing.client.done(KEYED, org=acme.id, plan="PRO", key="once", **URLS)

    (session,) = shop.fake.account.all("checkout.session")
    assert lost.codes == ["UNAVAILABLE"]
    assert found["url"] == session["url"]


async def test_a_second_plan_beside_the_first_is_refused_whatever_we_know_of_it(shop: Shop, acme: Tenant) -> None:
    shop.fake.courier.lose(100)
    await shop.buy(acme)
    sessions = len(shop.fake.account.all("checkout.session"))

    (error,) = await acme.billing.client.refused(CHECKOUT, org=acme.id, plan="BUSINESS", **URLS)

    assert (error["code"], error["path"]) == ("CONFLICT", [])
    assert len(shop.fake.account.all("checkout.session")) == sessions
    assert await standing(acme.org_id) == ("FREE", "ACTIVE")


async def test_of_the_pages_of_an_organization_the_last_alone_can_be_paid(
    shop: Shop, acme: Tenant, globex: Tenant
) -> None:
    shop.fake.courier.lose(100)
    theirs, first = await shop.checkout(globex), await shop.checkout(acme)

    last = await shop.checkout(acme, "BUSINESS", acme.admin)

    with pytest.raises(Refused, match="expired"):
        shop.pay(first)
    shop.pay(last)
    shop.pay(theirs)
    (bought,) = [each for each in shop.fake.account.all("subscription") if each["customer"] in _ids(shop, acme)]
    assert bought["items"]["data"][0]["price"]["id"] == "price_fake_business"


async def test_a_page_that_is_closed_already_is_not_in_the_way_of_the_next(shop: Shop, acme: Tenant) -> None:
    first = await shop.checkout(acme)
    shop.fake.fault("fail", when="after", path=f"/v1/checkout/sessions/{first.rpartition('/')[2]}/expire")

    last = await shop.checkout(acme)

    (open_,) = [each for each in shop.fake.account.all("checkout.session") if each["status"] == "open"]
    assert open_["url"] == last


def _ids(shop: Shop, tenant: Tenant) -> list[str]:
    return [each["id"] for each in shop.customers(tenant)]


async def test_free_cannot_be_bought(shop: Shop, acme: Tenant) -> None:
    (error,) = await acme.billing.client.refused(CHECKOUT, org=acme.id, plan="FREE", **URLS)

    assert (error["code"], error["path"]) == ("INVALID", ["plan"])
    assert shop.fake.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "http://127.0.0.1:8000.evil.example/",
        "http://127.0.0.1:8000@evil.example/",
        "http://127.0.0.1:80001/",
        "http://127.0.0.1:8000\\@evil.example/",
        "http://127.0.0.1:8000\t.evil.example/",
        "//127.0.0.1:8000/",
        "/paid",
        "javascript:alert(1)//http://127.0.0.1:8000/",
        " http://127.0.0.1:8000/",
        "HTTPS://127.0.0.1:8000/",
        "http://127.0.0.1:8000/ü",
        "http://127.0.0.1:8000/" + "a" * 2000,
        "",
    ],
)
async def test_nobody_is_sent_back_to_a_page_of_somebody_else(shop: Shop, acme: Tenant, address: str) -> None:
    both = await acme.billing.client.refused(CHECKOUT, org=acme.id, plan="PRO", success=address, cancel=address)
    (of_portal,) = await acme.billing.client.refused(PORTAL, **{"org": acme.id, "return": address})

    assert [(error["code"], error["path"]) for error in both] == [
        ("INVALID", ["successUrl"]),
        ("INVALID", ["cancelUrl"]),
    ]
    assert (of_portal["code"], of_portal["path"]) == ("INVALID", ["returnUrl"])
    assert shop.fake.asked == []


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:8000", "http://127.0.0.1:8000/a?b=c#d", "http://127.0.0.1:8000?x={CHECKOUT_SESSION_ID}"],
)
async def test_people_are_sent_back_to_a_page_of_ours(shop: Shop, acme: Tenant, address: str) -> None:
    await acme.billing.client.done(CHECKOUT, org=acme.id, plan="PRO", success=address, cancel=address)
    payload = await acme.billing.client.done(PORTAL, **{"org": acme.id, "return": address})

    assert payload["url"].startswith(f"{shop.fake.origin}/p/session/")
    assert [given["return_url"] for given in asked(shop, "/v1/billing_portal/sessions")] == [address]


async def test_the_portal_needs_a_customer(shop: Shop, acme: Tenant) -> None:
    (before,) = await acme.billing.client.refused(PORTAL, **{"org": acme.id, "return": URLS["cancel"]})
    await shop.checkout(acme)
    (customer,) = shop.customers(acme)
    shop.fake.account.delete_customer(customer["id"])

    (after,) = await acme.billing.client.refused(PORTAL, **{"org": acme.id, "return": URLS["cancel"]})

    assert (before["code"], after["code"]) == ("CONFLICT", "CONFLICT")
    assert shop.fake.account.all("billing_portal.session") == []


@pytest.mark.parametrize("document", [CANCEL, RESUME])
async def test_what_nobody_pays_for_neither_ends_nor_goes_on(shop: Shop, acme: Tenant, document: str) -> None:
    (free,) = await acme.billing.client.refused(document, org=acme.id)
    subscription = await shop.buy(acme)
    shop.fake.account.cancel(subscription["id"])
    (over,) = await acme.billing.client.refused(document, org=acme.id)

    assert (free["code"], over["code"]) == ("CONFLICT", "CONFLICT")
    assert asked(shop, f"/v1/subscriptions/{subscription['id']}") == []


async def test_an_end_that_was_wished_for_in_the_portal_is_taken_back(shop: Shop, acme: Tenant) -> None:
    subscription = await shop.buy(acme)
    # As the portal does it: an instant, and no flag.
    shop.fake.account.get("subscription", subscription["id"])["cancel_at"] = 2_000_000_000

    await acme.billing.client.done(CANCEL, org=acme.id)
    ending = await subscription_of(acme.org_id)
    await acme.billing.client.done(RESUME, org=acme.id)
    going_on = await subscription_of(acme.org_id)

    assert (ending["cancel_at_period_end"], going_on["cancel_at_period_end"]) == (True, False)
    assert asked(shop, f"/v1/subscriptions/{subscription['id']}") == [{"cancel_at": ""}]


@pytest.mark.parametrize(("document", "arguments"), CHANGES)
async def test_who_does_not_manage_billing_changes_nothing(
    shop: Shop, acme: Tenant, globex: Tenant, document: str, arguments: dict[str, Any]
) -> None:
    codes = [
        (await who.run(document, org=acme.id, **arguments)).codes
        for who in (acme.member.client, acme.guest.client, globex.admin.client, GraphQL())
    ]

    assert codes == [["FORBIDDEN"], ["FORBIDDEN"], ["NOT_FOUND"], ["UNAUTHENTICATED"]]
    assert shop.fake.asked == []
    assert (await subscription_of(acme.org_id))["sync_begun"] == 0


@pytest.mark.parametrize(("document", "arguments"), CHANGES)
async def test_without_stripe_nothing_can_be_paid_for(acme: Tenant, document: str, arguments: dict[str, Any]) -> None:
    (error,) = await acme.admin.client.refused(document, org=acme.id, **arguments)
    stranger = await acme.member.client.run(document, org=acme.id, **arguments)

    assert error["code"] == "FEATURE_DISABLED"
    assert stranger.codes == ["FORBIDDEN"]
    assert await standing(acme.org_id) == ("FREE", "ACTIVE")
