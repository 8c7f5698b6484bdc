"""The fake, and the official client of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.stripe.server import FakeStripe, serving


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    """A fake of one's own; nobody takes its events yet."""
    async with serving() as running:
        yield running


@pytest.fixture
async def client(fake: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[stripe.StripeClient]:
    """Stripe's own client."""
    # It would leave a file in the home directory, and send its name along.
    monkeypatch.setattr(stripe, "enable_telemetry", False)
    http: Any = stripe.AIOHTTPClient(timeout=20)
    yield stripe.StripeClient(fake.secret_key, base_addresses={"api": fake.origin}, http_client=http)
    await http.close_async()
