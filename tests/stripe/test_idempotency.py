"""The same key gives the same answer, whatever is lost on the way."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import stripe

from tests.ports import http_client
from tests.stripe.server import FakeStripe

KEY = "org_1 customer"


@pytest.fixture
async def http(fake: FakeStripe) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who sees statuses and headers."""
    headers = {"authorization": f"Bearer {fake.secret_key}", "idempotency-key": KEY}
    async with http_client(base_url=fake.origin, headers=headers) as client:
        yield client


async def made(http: httpx.AsyncClient, path: str = "/v1/customers", **params: str) -> httpx.Response:
    """The answer to a request under the key."""
    return await http.post(path, data=params or {"email": "ann@acme.test"})


def told(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Status, type and code of an error."""
    error: Mapping[str, str] = answer.json()["error"]
    return answer.status_code, error["type"], error.get("code")


async def test_the_same_request_is_answered_from_memory(http: httpx.AsyncClient, fake: FakeStripe) -> None:
    first, second = await made(http), await made(http)

    assert first.content == second.content
    assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
    assert second.headers["original-request"] == first.headers["request-id"] != second.headers["request-id"]
    assert first.headers["stripe-version"] == "2026-10-28.endive"
    assert len(fake.account.all("customer")) == len(fake.account.events()) == 1
    by = {"id": first.headers["request-id"], "idempotency_key": KEY}
    assert fake.account.events()[0]["request"] == by


async def test_another_request_under_the_key_is_refused(http: httpx.AsyncClient, fake: FakeStripe) -> None:
    await made(http)

    assert told(await made(http, email="bob@acme.test")) == (400, "idempotency_error", None)
    assert told(await made(http, "/v1/billing_portal/sessions")) == (400, "idempotency_error", None)
    assert len(fake.account.all("customer")) == 1


async def test_a_key_that_is_in_use_is_a_conflict(http: httpx.AsyncClient, fake: FakeStripe) -> None:
    fault = fake.fault("hang")
    first = asyncio.create_task(made(http))
    await fault.struck.wait()

    meanwhile = await made(http)
    fault.let_go.set()

    assert told(meanwhile) == (409, "idempotency_error", "idempotency_key_in_use")
    assert (await first).json() == (await made(http)).json()
    assert len(fake.account.all("customer")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_official_client_tries_again_and_has_one_effect(
    client: stripe.StripeClient, fake: FakeStripe, when: str
) -> None:
    fake.fault("fail", when=when, status=500)

    customer = await client.v1.customers.create_async({"name": "Ann"}, {"max_network_retries": 2})

    assert [(path, status) for _, path, _, _, status in fake.asked] == [("/v1/customers", 500), ("/v1/customers", 200)]
    assert len({key for *_, key, _ in fake.asked}) == 1
    assert [each["id"] for each in fake.account.all("customer")] == [customer.id]


@pytest.mark.parametrize(("when", "made_then"), [("before", 0), ("after", 1)])
async def test_an_answer_that_is_cut_off_can_be_asked_for_again(
    http: httpx.AsyncClient, fake: FakeStripe, when: str, made_then: int
) -> None:
    fake.fault("cut", when=when)

    with pytest.raises(httpx.RemoteProtocolError):
        await made(http)
    count = len(fake.account.all("customer"))
    again = await made(http)

    assert count == made_then
    assert [each["id"] for each in fake.account.all("customer")] == [again.json()["id"]]


async def test_an_answer_that_comes_too_late_is_there_for_the_next_try(
    http: httpx.AsyncClient, fake: FakeStripe
) -> None:
    fault = fake.fault("hang", when="after")
    first = asyncio.create_task(made(http))
    await fault.struck.wait()
    first.cancel()

    again = await made(http)

    assert again.headers["idempotent-replayed"] == "true"
    assert [each["id"] for each in fake.account.all("customer")] == [again.json()["id"]]


async def test_what_was_refused_unread_can_be_asked_again(http: httpx.AsyncClient, fake: FakeStripe) -> None:
    assert told(await made(http, nmae="Ann")) == (400, "invalid_request_error", "parameter_unknown")
    assert (await made(http)).status_code == 200


async def test_a_key_is_forgotten_after_a_day(http: httpx.AsyncClient, fake: FakeStripe) -> None:
    first = await made(http)
    fake.account.advance(days=1.01)
    second = await made(http)

    assert first.json()["id"] != second.json()["id"]


async def test_a_search_does_not_see_what_is_too_new(client: stripe.StripeClient, fake: FakeStripe) -> None:
    fake.account.search_lag_s = 60
    customer = await client.v1.customers.create_async({"metadata": {"organization": "org_1"}})
    query = "metadata['organization']:'org_1'"

    early = await client.v1.customers.search_async({"query": query})
    fake.account.advance(days=0.01)
    late = await client.v1.customers.search_async({"query": query})

    assert ([each.id for each in early.data], [each.id for each in late.data]) == ([], [customer.id])
