"""Events on their way to us: signed, over HTTP, again until they are taken; and what a network does to them."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from tests.ports import http_client
from tests.stripe.objects import Json

TIMEOUT_S = 20.0
# Stripe goes on for three days, from minutes to hours apart.
RETRY_FIRST_S, RETRY_MOST_S = 0.05, 2.0


def signature(body: bytes, secret: str, *, at: float | None = None) -> str:
    """The value of Stripe-Signature for a body. Source: Stripe's page on checking signatures by hand."""
    told = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), told.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={told},v1={digest}"


def written(event: Json) -> bytes:
    """An event as it is sent."""
    return json.dumps(event, indent=2).encode()


@dataclass
class Courier:
    """Takes events to `address`, each for itself, so that they can arrive in any order."""

    secret: str
    address: str | None = None
    # Each event waits this long first.
    delay_s: float = 0.0
    # Each attempt: the event's id, and the status of the answer or None.
    attempts: list[tuple[str, int | None]] = field(default_factory=list)
    held: list[Json] | None = None
    _to_lose: int = 0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _client: httpx.AsyncClient = field(default_factory=lambda: http_client(timeout=TIMEOUT_S, trust_env=False))

    def take(self, event: Json) -> None:
        """Send an event, as the controls say."""
        if self._to_lose:
            self._to_lose -= 1
        elif self.held is not None:
            self.held.append(event)
        else:
            task = asyncio.get_running_loop().create_task(self._bring(event, self.delay_s))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def hold(self) -> None:
        """Keep what happens from now on, in `held`, until `release`."""
        self.held = [] if self.held is None else self.held

    async def release(self, order: Sequence[Json] | None = None) -> None:
        """Bring what was held, one after another, in an order of one's own; what is not in it stays lost."""
        held, self.held = self.held or [], None
        for event in held if order is None else order:
            await self._bring(event)

    def lose(self, count: int = 1) -> None:
        """Never send the next events."""
        self._to_lose += count

    async def repeat(self, event: Json, times: int) -> list[int]:
        """Send an event many times at once; the statuses of the answers."""
        return await asyncio.gather(*(self.post(written(event)) for _ in range(times)))

    async def post(self, body: bytes, header: str | None = None) -> int:
        """Send any body once, with any signature; the right one where none is given. The status of the answer."""
        if self.address is None:
            raise httpx.ConnectError("nobody said where webhooks go to")
        headers = {"content-type": "application/json; charset=utf-8", "user-agent": "Stripe/1.0 (the fake)"}
        headers["stripe-signature"] = signature(body, self.secret) if header is None else header
        return (await self._client.post(self.address, content=body, headers=headers)).status_code

    async def settled(self) -> None:
        """Wait until everything that is under way was taken."""
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()

    async def _bring(self, event: Json, delay_s: float = 0.0) -> None:
        await asyncio.sleep(delay_s)
        wait_s = RETRY_FIRST_S
        while True:
            status = None
            with contextlib.suppress(httpx.HTTPError):
                status = await self.post(written(event))
            self.attempts.append((event["id"], status))
            if status is not None and 200 <= status < 300:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MOST_S)
