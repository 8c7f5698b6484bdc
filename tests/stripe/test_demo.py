"""`planwire dev --fake-stripe` brings the fake along."""

import asyncio
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.events.live import until
from tests.processes import END_DEADLINE_S, started
from tests.stripe.account import Account
from tests.stripe.demo import Demo
from tests.stripe.objects import DAY_S, Json


async def lived(directory: Path, live: Callable[[Account], object]) -> Json:
    """What the account of a demo remembers after it did something and the demo was ended."""
    demo = Demo()
    running = asyncio.create_task(demo.run("http://127.0.0.1:9/webhooks/stripe", directory))
    await until(lambda: demo.fake.courier.address)
    live(demo.fake.account)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    return demo.fake.account.saved()


def subscribe_and_fail(account: Account) -> None:
    """Leave something in all that is remembered."""
    subscription = account.subscribe(account.create_customer()["id"], [("price_fake_pro", 1)], trial_days=5)
    account.failing.add(subscription["customer"])
    account.advance(days=40)


async def test_what_was_subscribed_to_is_there_after_a_restart(tmp_path: Path) -> None:
    before = await lived(tmp_path, subscribe_and_fail)
    after = await lived(tmp_path, lambda account: None)

    assert after == before
    assert before["offset_s"] > 39 * DAY_S
    assert (len(before["failing"]), len(before["told"])) == (1, 1)


def test_dev_starts_the_fake_and_ends_it(tmp_path: Path, fill: Callable[[Path], Path]) -> None:
    with started("dev", "--fake-stripe", "--port", "0", "--data", str(fill(tmp_path / "data"))) as dev:
        assert dev.process.stdout is not None
        origin = dev.process.stdout.readline().removeprefix("fake Stripe: ").strip()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{origin}/v1/prices", timeout=10)  # noqa: S310

        status, took_s = dev.end(signal.SIGTERM)

    assert (status, took_s < END_DEADLINE_S) == (0, True)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(origin.rpartition(":")[2])))
