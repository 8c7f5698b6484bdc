"""Events arrive signed, and as late, as often and in such an order as a test says."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import stripe
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.events.live import until
from tests.ports import at_a_port
from tests.stripe.server import FakeStripe
from tests.stripe.webhooks import signature, written


@dataclass
class Taker:
    """Whoever takes events: checks them by Stripe's own means, and refuses as often as it is told to."""

    secret: str
    refusals: int = 0
    taken: list[stripe.Event] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One event."""
        request = Request(scope, receive)
        header = request.headers.get("stripe-signature")
        try:
            event = stripe.Webhook.construct_event(await request.body(), header, self.secret)
        except (stripe.SignatureVerificationError, ValueError):
            status = 400
        else:
            status = 200
            if self.refusals:
                self.refusals -= 1
                status = 503
            else:
                self.taken.append(event)
        await Response(status_code=status)(scope, receive, send)

    def ids(self) -> list[str]:
        """What was taken, in order."""
        return [event.id for event in self.taken]


@contextlib.asynccontextmanager
async def taking(fake: FakeStripe, refusals: int = 0) -> AsyncIterator[Taker]:
    """Somebody who takes the events of a fake."""
    taker = Taker(fake.courier.secret, refusals)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with at_a_port(taker, listener):
            fake.courier.address = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/stripe"
            yield taker
            fake.courier.address = None


def happen(fake: FakeStripe, count: int) -> list[str]:
    """Let customers come; the ids of the events, in order."""
    for number in range(count):
        fake.account.create_customer(email=f"{number}@acme.test")
    return [event["id"] for event in fake.account.events()]


async def test_events_arrive_and_are_tried_until_they_are_taken(fake: FakeStripe) -> None:
    before = happen(fake, 1)
    async with taking(fake, refusals=2) as taker:
        ids = happen(fake, 2)
        await fake.courier.settled()

    assert sorted(taker.ids()) == sorted(ids)
    assert ids[:1] == before
    assert [status for _, status in fake.courier.attempts if status is not None].count(503) == 2
    assert taker.taken[0].api_version == "2026-10-28.endive"


async def test_what_is_held_comes_in_an_order_of_ones_own(fake: FakeStripe) -> None:
    async with taking(fake) as taker:
        fake.courier.hold()
        ids = happen(fake, 3)
        held = list(fake.courier.held or [])
        await fake.courier.release(held[::-1])
        ids_after = happen(fake, 1)
        await fake.courier.settled()

    assert taker.ids() == [*ids[::-1], ids_after[-1]]


async def test_what_is_lost_never_comes_and_can_be_repeated(fake: FakeStripe) -> None:
    async with taking(fake) as taker:
        fake.courier.lose()
        lost, kept = happen(fake, 2)
        await fake.courier.settled()
        without = taker.ids()
        statuses = await fake.courier.repeat(fake.account.events()[0], 5)

    assert without == [kept]
    assert statuses == [200] * 5
    assert taker.ids() == [kept, *[lost] * 5]


async def test_a_delay_lets_a_later_event_pass(fake: FakeStripe) -> None:
    async with taking(fake) as taker:
        fake.courier.delay_s = 3600
        happen(fake, 1)
        fake.courier.delay_s = 0
        _late, soon = happen(fake, 1)
        await until(lambda: taker.taken)

        assert taker.ids() == [soon]


@pytest.mark.parametrize("wrong", ["forged", "cut", "old", "foreign", "none"])
async def test_wrong_signatures_are_wrong_to_the_official_check(fake: FakeStripe, wrong: str) -> None:
    async with taking(fake) as taker:
        fake.courier.hold()
        happen(fake, 1)
        body, secret = written(fake.account.events()[0]), fake.courier.secret
        right = signature(body, secret)
        headers = {
            "forged": signature(body.replace(b"0@acme", b"1@acme"), secret),
            "cut": right[:-1],
            "old": signature(body, secret, at=time.time() - 301),
            "foreign": signature(body, "whsec_of_somebody_else"),
            "none": "",
        }

        status = await fake.courier.post(body, headers[wrong])
        taken = len(taker.taken)
        assert await fake.courier.post(body, right) == 200

    assert (status, taken, len(taker.taken)) == (400, 0, 1)


async def test_an_event_waits_for_a_server_that_is_away(fake: FakeStripe) -> None:
    ids = happen(fake, 1)
    await until(lambda: fake.courier.attempts)
    assert set(fake.courier.attempts) == {(ids[0], None)}

    async with taking(fake) as taker:
        await fake.courier.settled()

    assert taker.ids() == ids
