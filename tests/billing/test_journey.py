"""From FREE to PRO through Stripe's pages to a raised limit, seen live, and back."""

from typing import Any

from tests.billing.paying import PORTAL, URLS, Shop, subscribe
from tests.events.live import begun
from tests.factories import Tenant, rows
from tests.ports import http_client
from tests.sockets import Stream, opened

SEEN = """
subscription ($id: ID!) {
  events(organizationId: $id, filter: {types: [SUBSCRIPTION_UPDATED]}) {
    subjectId actor { __typename }
    organization {
      subscription { plan { key } status seats cancelAtPeriodEnd } entitlements { feature limit used }
    }
  }
}
"""
MAKE_KEY = """
mutation ($org: ID!) {
  apiKeyCreate(input: {organizationId: $org, name: "Key", permissions: [TASK_READ]}) {
    apiKey { id } errors { code ... on LimitError { feature limit used } }
  }
}
"""


async def seen(stream: Stream, **wanted: Any) -> tuple[int, int]:
    """Limit and use of API keys, as the dashboard shows them once its subscription is so."""
    while True:
        shown = (await stream.data())["organization"]
        if wanted.items() <= shown["subscription"].items():
            (keys,) = [each for each in shown["entitlements"] if each["feature"] == "api_keys"]
            return keys["limit"], keys["used"]


async def make_key(tenant: Tenant) -> list[dict[str, Any]]:
    """Make an API key; why that was refused."""
    payload: dict[str, Any] = (await tenant.admin.client.ok(MAKE_KEY, org=tenant.id))["apiKeyCreate"]
    return list(payload["errors"])


def full(limit: int, used: int) -> list[dict[str, Any]]:
    """The refusal of one key more."""
    return [{"code": "LIMIT_REACHED", "feature": "api_keys", "limit": limit, "used": used}]


async def press(shop: Shop, tenant: Tenant, button: str) -> None:
    """Press a button of the portal."""
    page = (await tenant.billing.client.done(PORTAL, **{"org": tenant.id, "return": URLS["cancel"]}))["url"]
    async with http_client(trust_env=False) as browser:
        pressed = {"do": f"{button} {shop.subscription(tenant)['id']}"}
        assert (await browser.post(page, data=pressed)).status_code == 303


async def test_from_free_to_pro_and_back_as_a_dashboard_sees_it(shop: Shop, acme: Tenant) -> None:
    async with shop.working(), opened(shop.address, acme.billing.token) as socket:
        dashboard = await begun(socket, SEEN, id=acme.id)
        on_free = [await make_key(acme) for _ in range(3)]

        await subscribe(acme.billing, acme.id)
        bought = await seen(dashboard, plan={"key": "PRO"}, status="ACTIVE", seats=4)
        on_pro = await make_key(acme)

        await press(shop, acme, "cancel")
        ending = await seen(dashboard, cancelAtPeriodEnd=True)
        shop.fake.account.advance(days=32)
        over = await seen(dashboard, status="CANCELED")
        after = await make_key(acme)

    assert on_free == [[], [], full(2, 2)]
    assert (bought, on_pro) == ((20, 2), [])
    assert (ending, over, after) == ((20, 3), (2, 3), full(2, 3))
    # Nothing was deleted.
    assert len(await rows("SELECT FROM api_key WHERE org_id = $1 AND revoked_at IS NULL", acme.org_id)) == 3


async def test_a_grace_keeps_the_plan_and_its_end_takes_it(shop: Shop, acme: Tenant) -> None:
    async with shop.working(), opened(shop.address, acme.billing.token) as socket:
        dashboard = await begun(socket, SEEN, id=acme.id)
        await subscribe(acme.billing, acme.id)
        await seen(dashboard, status="ACTIVE")

        await press(shop, acme, "fail")
        in_grace = await seen(dashboard, status="PAST_DUE")
        await press(shop, acme, "pay")
        paid = await seen(dashboard, status="ACTIVE")

    assert (in_grace, paid) == ((20, 0), (20, 0))
