"""Planwire beside the fake Stripe: the API that gets its events, the adapters that ask it, and what became of it."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest

from domain.adapters.stripe import Stripe
from domain.adapters.wiring import Adapters, stripe_of
from domain.base.settings import Settings
from jobs.reactions import Reactions
from tests import client
from tests.events.live import served
from tests.factories import Person, Tenant, rows
from tests.jobs.crew import until
from tests.jobs.working import working
from tests.ports import http_client
from tests.stripe.objects import Json
from tests.stripe.server import FakeStripe, serving

URLS = {"success": "http://127.0.0.1:8000/paid?session={CHECKOUT_SESSION_ID}", "cancel": "http://127.0.0.1:8000"}
CHECKOUT = """
mutation ($org: ID!, $plan: PlanKey!, $success: String!, $cancel: String!) {
  billingCheckoutCreate(organizationId: $org, plan: $plan, successUrl: $success, cancelUrl: $cancel) {
    url errors { code path message }
  }
}
"""
PORTAL = """
mutation ($org: ID!, $return: String!) {
  billingPortalCreate(organizationId: $org, returnUrl: $return) { url errors { code path message } }
}
"""
CANCEL = "mutation ($org: ID!) { subscriptionCancel(organizationId: $org) { organization { id } errors { code } } }"
RESUME = "mutation ($org: ID!) { subscriptionResume(organizationId: $org) { organization { id } errors { code } } }"


@dataclass(frozen=True)
class Shop:
    """The fake, and Planwire as it is set up for it."""

    fake: FakeStripe
    settings: Settings
    adapters: Adapters
    address: str

    @property
    def stripe(self) -> Stripe:
        """The adapter."""
        assert self.adapters.stripe is not None
        return self.adapters.stripe

    async def checkout(self, tenant: Tenant, plan: str = "PRO", who: Person | None = None) -> str:
        """The address of a page where the plan can be bought."""
        buyer = (who or tenant.billing).client
        payload = await buyer.done(CHECKOUT, org=tenant.id, plan=plan, **URLS)
        return str(payload["url"])

    async def buy(self, tenant: Tenant, plan: str = "PRO") -> Json:
        """Buy the plan on the page; the subscription at the fake."""
        self.pay(await self.checkout(tenant, plan))
        return self.subscription(tenant)

    def pay(self, url: str) -> None:
        """Do what the button of the page does."""
        self.fake.account.pay_session(url.rpartition("/")[2])

    def subscription(self, tenant: Tenant) -> Json:
        """The newest subscription of the organization's customer at the fake."""
        customers = [each["id"] for each in self.customers(tenant)]
        return [each for each in self.fake.account.all("subscription") if each["customer"] in customers][-1]

    def customers(self, tenant: Tenant) -> list[Json]:
        """The organization's customers at the fake, who were not deleted."""
        wanted = {"organization_id": str(tenant.org_id)}
        return [each for each in self.fake.account.all("customer") if each.get("metadata") == wanted]

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Jobs are done inside the block."""
        async with working(self.settings, self.adapters, Reactions()):
            yield

    async def settled(self, tenant: Tenant) -> dict[str, Any]:
        """The organization's subscription, once Planwire has all events and has nothing left to do about them."""

        async def is_idle() -> bool:
            await self.fake.courier.settled()
            (row,) = await rows(
                "SELECT (SELECT seq FROM event_counter WHERE org_id = $1) IS NOT DISTINCT FROM "
                "(SELECT seq FROM relay_position WHERE org_id = $1) AND NOT EXISTS (SELECT FROM delivery "
                "WHERE state = 'PENDING' AND (org_id = $1 OR kind = 'INBOUND')) AS it",
                tenant.org_id,
            )
            return bool(row["it"])

        # What is done may have made the fake tell of more.
        while True:
            taken = len(self.fake.courier.attempts)
            await until(is_idle)
            if len(self.fake.courier.attempts) == taken:
                return await subscription_of(tenant.org_id)


@contextlib.asynccontextmanager
async def selling(settings: Settings, adapters: Adapters) -> AsyncIterator[tuple[FakeStripe, Settings, Adapters]]:
    """The fake for the block, and the settings and adapters that clients ask with. Nobody takes its events."""
    async with serving() as fake:
        told = fake.settings
        there = replace(
            settings,
            stripe_secret_key=told["STRIPE_SECRET_KEY"],
            stripe_webhook_secret=told["STRIPE_WEBHOOK_SECRET"],
            stripe_api_url=told["STRIPE_API_URL"],
            stripe_price_pro=told["STRIPE_PRICE_PRO"],
            stripe_price_business=told["STRIPE_PRICE_BUSINESS"],
        )
        stripe = stripe_of(there)
        assert stripe is not None
        bundle = replace(adapters, settings=there, stripe=stripe)
        client.use(there, bundle)
        try:
            yield fake, there, bundle
        finally:
            client.use(settings, adapters)
            await stripe.close()


# The mutations that ask Stripe.
ASKING = {"billingCheckoutCreate", "billingPortalCreate", "subscriptionCancel", "subscriptionResume"}


@contextlib.asynccontextmanager
async def selling_where_asked(
    request: pytest.FixtureRequest, settings: Settings, adapters: Adapters
) -> AsyncIterator[None]:
    """As `selling`, for a test of one mutation only when that one asks Stripe: a server for each test takes long."""
    spec = getattr(request.node, "callspec", None)
    if spec is not None and getattr(spec.params.get("field"), "name", None) not in ASKING:
        yield
        return
    async with selling(settings, adapters):
        yield


@contextlib.asynccontextmanager
async def shop(settings: Settings, adapters: Adapters) -> AsyncIterator[Shop]:
    """Planwire and the fake for the block, which sends it its events."""
    async with selling(settings, adapters) as (fake, there, bundle), served(there) as api:
        fake.courier.address = f"http://{api.address}/webhooks/stripe"
        yield Shop(fake, there, bundle, api.address)
        fake.courier.address = None


async def subscribe(who: Person, organization_id: str) -> None:
    """Buy PRO as a person does, with a click on the page, unless a plan is paid for already."""
    payload = (await who.client.ok(CHECKOUT, org=organization_id, plan="PRO", **URLS))["billingCheckoutCreate"]
    if [error["code"] for error in payload["errors"]] == ["CONFLICT"]:
        return
    async with http_client(trust_env=False) as browser:
        assert (await browser.post(payload["url"], data={"do": "pay"})).status_code == 303


async def subscription_of(org_id: UUID) -> dict[str, Any]:
    """The row."""
    (row,) = await rows("SELECT * FROM subscription WHERE org_id = $1", org_id)
    return row


async def standing(org_id: UUID) -> tuple[str, str]:
    """Plan and status."""
    row = await subscription_of(org_id)
    return row["plan"], row["status"]


async def changes_of(org_id: UUID) -> list[dict[str, Any]]:
    """What each SUBSCRIPTION_UPDATED of the organization says, in order."""
    found = await rows(
        "SELECT data FROM event WHERE org_id = $1 AND type = 'SUBSCRIPTION_UPDATED' ORDER BY seq", org_id
    )
    return [json.loads(row["data"]) for row in found]
