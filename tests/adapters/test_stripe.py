"""Only what Stripe signed a moment ago is an event, and a Stripe that is away is Unavailable."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog

from domain.adapters.stripe import MISSING, SIGNATURE_HOLDS_S, NotFromStripe, Stripe, StripeRefused, WebhookEvent
from domain.base.errors import Unavailable
from tests.stripe.server import FakeStripe, serving

SECRET = "whsec_of_ours"  # noqa: S105  # no secret
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "livemode": False,
    "created": 1_794_000_000,
    "data": {"object": {"id": "in_1"}},
}


@pytest.fixture
async def stripe() -> AsyncIterator[Stripe]:
    """An adapter for a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        adapter = Stripe(secret_key="sk_1", webhook_secret=SECRET, url=f"http://127.0.0.1:{port}")  # noqa: S106
        yield adapter
        await adapter.close()


@pytest.fixture
async def there() -> AsyncIterator[tuple[FakeStripe, Stripe]]:
    """A fake Stripe, and an adapter for it."""
    async with serving() as fake:
        adapter = Stripe(secret_key=fake.secret_key, webhook_secret=fake.courier.secret, url=fake.origin)
        yield fake, adapter
        await adapter.close()


def _body(event: Any = EVENT) -> bytes:
    return json.dumps(event).encode()


def _signed(body: bytes, *, secret: str = SECRET, at: int | None = None, scheme: str = "v1") -> str:
    """Source: Stripe's documentation of webhooks, verifying signatures by hand."""
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},{scheme}={digest}"


async def test_what_stripe_signed_is_an_event(stripe: Stripe) -> None:
    body = _body()

    told = stripe.event(body, _signed(body))

    assert told == WebhookEvent("evt_1", "invoice.paid", "in_1", False, datetime.fromtimestamp(1_794_000_000, UTC))


async def test_one_of_two_signatures_is_enough(stripe: Stripe) -> None:
    # As Stripe signs while a secret is being replaced.
    body = _body()
    other = _signed(body, secret="whsec_new").replace("t=", "t=0,x=")  # noqa: S106

    assert stripe.event(body, f"{_signed(body)},{other.split(',')[-1]}").id == "evt_1"


def _own(body: bytes) -> tuple[bytes, str]:
    return body, _signed(body)


def _old() -> int:
    return int(time.time()) - SIGNATURE_HOLDS_S - 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(lambda: (_body(), None), id="unsigned"),
        pytest.param(lambda: (_body(), ""), id="empty"),
        pytest.param(lambda: (_body(), "t=1"), id="without a signature"),
        pytest.param(lambda: (_body(), f"t=x,{_signed(_body())}"), id="without a time"),
        pytest.param(lambda: (_body(), "t=9" * 3000), id="long"),
        pytest.param(lambda: (_body(), f"t={int(time.time())},v1=\xfc"), id="not of ASCII"),
        pytest.param(lambda: (_body(), _signed(_body(), secret="whsec_of_another")), id="foreign"),  # noqa: S106
        pytest.param(lambda: (_body(), _signed(_body(), scheme="v0")), id="another scheme"),
        pytest.param(lambda: (_body()[:-1], _signed(_body())), id="cut"),
        pytest.param(lambda: (_body() + b" ", _signed(_body())), id="grown"),
        pytest.param(lambda: (_body({**EVENT, "id": "evt_2"}), _signed(_body())), id="changed"),
        pytest.param(lambda: (_body(), _signed(_body(), at=_old())), id="old"),
        pytest.param(
            lambda: (_body(), _signed(_body(), at=_old()).replace(str(_old()), str(int(time.time())))), id="made young"
        ),
        pytest.param(lambda: _own(b""), id="nothing"),
        pytest.param(lambda: _own(b"\xff\xfe"), id="no text"),
        pytest.param(lambda: _own(b"[]"), id="a list"),
        pytest.param(lambda: _own(_body({"a": 1})), id="no event"),
        pytest.param(lambda: _own(_body({**EVENT, "object": "v2.core.event"})), id="another kind of event"),
        pytest.param(lambda: _own(_body({**EVENT, "data": []})), id="no object"),
        pytest.param(lambda: _own(_body({**EVENT, "created": 1e300})), id="no instant"),
    ],
)
async def test_what_stripe_did_not_sign_is_refused(
    stripe: Stripe, sent: Callable[[], tuple[bytes, str | None]]
) -> None:
    body, signature = sent()

    with pytest.raises(NotFromStripe) as raised:
        stripe.event(body, signature)

    assert "evt_" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(("status", "times"), [(500, 3), (503, 3), (429, 1)])
async def test_what_stripe_cannot_do_now_is_unavailable(
    there: tuple[FakeStripe, Stripe], status: int, times: int
) -> None:
    fake, stripe = there
    fake.fault("fail", status=status, times=times)

    with pytest.raises(Unavailable):
        await stripe.create_customer(uuid4(), key="once")

    assert len(fake.asked) == times
    assert fake.account.all("customer") == []


async def test_a_key_that_stripe_does_not_take_is_unavailable_and_told(there: tuple[FakeStripe, Stripe]) -> None:
    fake, _ = there
    stripe = Stripe(secret_key="sk_wrong", webhook_secret=SECRET, url=fake.origin)  # noqa: S106

    with structlog.testing.capture_logs() as lines, pytest.raises(Unavailable):
        await stripe.subscriptions("cus_1")
    await stripe.close()

    assert [line["event"] for line in lines] == ["Stripe does not take STRIPE_SECRET_KEY"]


async def test_what_stripe_will_not_do_is_refused_with_its_reason(there: tuple[FakeStripe, Stripe]) -> None:
    _, stripe = there

    with pytest.raises(StripeRefused, match="No such customer") as raised:
        await stripe.create_portal("cus_1", return_url="https://planwire.test", key="once")

    assert raised.value.code == MISSING


async def test_a_key_that_comes_with_something_else_is_refused(there: tuple[FakeStripe, Stripe]) -> None:
    fake, stripe = there
    await stripe.create_customer(uuid4(), key="once")

    with pytest.raises(StripeRefused, match="IdempotencyError"):
        await stripe.create_customer(uuid4(), key="once")

    assert len(fake.account.all("customer")) == 1


async def test_what_is_not_there_is_nothing(there: tuple[FakeStripe, Stripe]) -> None:
    _, stripe = there

    assert await stripe.customer("cus_1") is None
    assert await stripe.customer_of("invoice.paid", "in_1") is None
    assert await stripe.subscriptions("cus_1") == []


async def test_a_stripe_that_is_away_is_unavailable(stripe: Stripe) -> None:
    with pytest.raises(Unavailable):
        await stripe.subscriptions("cus_1")
