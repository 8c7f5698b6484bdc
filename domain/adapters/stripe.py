"""Stripe, in a few words of ours: customers, checkouts, the portal, subscriptions, and which events are Stripe's own.

What changes something carries an idempotency key that its caller derives from ids of ours. Sent again, by the client
after a time-out or by a job after a crash, it is done once. Stripe keeps a key for a day or longer, and refuses one
that comes with other parameters than before, so a key has to name whatever of them may change.
"""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar, cast
from uuid import UUID

import aiohttp
import orjson
import stripe
import structlog
from stripe import StripeClient

from domain.base.errors import DomainError, Unavailable

# Of each try, of which there are three; a mutation that calls is cut off sooner, a job later.
TIMEOUT_S = 4.0
RETRIES = 2
# Source: Stripe's documentation of webhooks, preventing replay attacks.
SIGNATURE_HOLDS_S = 300
SUBSCRIPTIONS_AT_MOST = 100
CHECKOUTS_AT_MOST = 100
# Where a customer of ours says whose it is.
ORGANIZATION = "organization_id"
# Stripe's code for what is not there, and for what names it.
MISSING = "resource_missing"

# It would keep a file in the home directory, and tell Stripe of it.
stripe.enable_telemetry = False
# Raised while an answer is read, which the client leaves to others.
_CUT_OFF = (aiohttp.ClientError, TimeoutError, OSError)
T = TypeVar("T")
_log = structlog.get_logger("billing")


class StripeRefused(DomainError):
    """Stripe will not do this, however often it is asked. `code` is Stripe's."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class NotFromStripe(DomainError):
    """What arrived was not signed by Stripe within the last minutes, or is no event."""


@dataclass(frozen=True)
class WebhookEvent:
    """What an event says for itself. What it is about is read from Stripe when it is looked at."""

    id: str
    type: str
    object_id: str | None
    livemode: bool
    created_at: datetime


@dataclass(frozen=True)
class Customer:
    """A customer. Stripe still shows one that was deleted, but without whose it was."""

    id: str
    org_id: UUID | None
    is_deleted: bool


@dataclass(frozen=True)
class CheckoutPage:
    """A page where a customer subscribes."""

    id: str
    url: str


@dataclass(frozen=True)
class Item:
    """What is paid for, and how often."""

    id: str
    price_id: str
    quantity: int
    current_period_end: datetime | None


@dataclass(frozen=True)
class Subscribed:
    """A subscription as it stands; `status` is Stripe's word."""

    id: str
    status: str
    items: tuple[Item, ...]
    trial_ends_at: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    created_at: datetime

    @property
    def is_to_end(self) -> bool:
        """Whether it ends by itself. The portal may set an instant in place of the flag."""
        return self.cancel_at_period_end or self.cancel_at is not None


class Stripe:
    """Stripe's API. Every call raises Unavailable when Stripe cannot be asked now, StripeRefused when it says no."""

    def __init__(self, *, secret_key: str, webhook_secret: str, url: str) -> None:
        self._secret_key = secret_key
        self._webhook_secret = webhook_secret
        self._url = url

    async def close(self) -> None:
        """Close the connections."""
        if "_http" in self.__dict__:
            await cast(Any, self._http).close_async()

    def event(self, body: bytes, signature: str | None) -> WebhookEvent:
        """The event that the bytes are, held to the header `Stripe-Signature`. Raises NotFromStripe."""
        try:
            stripe.WebhookSignature.verify_header(body, signature, self._webhook_secret, SIGNATURE_HOLDS_S)
            told = orjson.loads(body)
            if told["object"] != "event":
                raise NotFromStripe("it is no event")
            about = told["data"]["object"].get("id")
            return WebhookEvent(
                id=str(told["id"]),
                type=str(told["type"]),
                object_id=about if isinstance(about, str) else None,
                livemode=bool(told["livemode"]),
                created_at=datetime.fromtimestamp(told["created"], UTC),
            )
        except (
            stripe.SignatureVerificationError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
        ) as fault:
            # Its words quote what was sent.
            raise NotFromStripe(type(fault).__name__) from None

    async def find_customer(self, org_id: UUID, *, but: str | None) -> str | None:
        """The organization's customer, the first one made if there are several, leaving out `but`; None without any.

        Stripe's search knows of a new customer only after a minute or so.
        """
        found = await self._ask(
            self._client.v1.customers.search_async({"query": f"metadata['{ORGANIZATION}']:'{org_id}'", "limit": 100})
        )
        customers = [each for each in _dict(found)["data"] if each["id"] != but]
        return min(customers, key=lambda each: (each["created"], each["id"]))["id"] if customers else None

    async def create_customer(self, org_id: UUID, *, key: str) -> str:
        """A customer for the organization; its id."""
        made = await self._ask(
            self._client.v1.customers.create_async({"metadata": {ORGANIZATION: str(org_id)}}, {"idempotency_key": key})
        )
        return made.id

    async def customer(self, customer_id: str) -> Customer | None:
        """The customer; None when there never was one."""
        found = await self._find(self._client.v1.customers.retrieve_async(customer_id))
        if found is None:
            return None
        return Customer(found["id"], _uuid((found.get("metadata") or {}).get(ORGANIZATION)), bool(found.get("deleted")))

    async def customer_of(self, event_type: str, object_id: str) -> str | None:
        """The id of the customer whom the object of such an event concerns, as it stands now; None for nobody."""
        v1 = self._client.v1
        reads: dict[str, Any] = {
            "checkout.session": v1.checkout.sessions.retrieve_async,
            "customer.subscription": v1.subscriptions.retrieve_async,
            "invoice": v1.invoices.retrieve_async,
        }
        read = reads.get(event_type.rpartition(".")[0])
        if read is None:
            return object_id
        found = await self._find(read(object_id))
        return None if found is None else found["customer"]

    async def subscriptions(self, customer_id: str) -> list[Subscribed]:
        """All that the customer has or had, at most SUBSCRIPTIONS_AT_MOST, the newest first."""
        found = await self._find(
            self._client.v1.subscriptions.list_async(
                {"customer": customer_id, "status": "all", "limit": SUBSCRIPTIONS_AT_MOST}
            )
        )
        return [] if found is None else [_subscribed(each) for each in found["data"]]

    async def create_checkout(
        self, customer_id: str, *, price_id: str, seats: int, success_url: str, cancel_url: str, key: str
    ) -> CheckoutPage:
        """A page where the customer subscribes. It works for a day, or until `close_checkouts`."""
        made = await self._ask(
            self._client.v1.checkout.sessions.create_async(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [{"price": price_id, "quantity": seats}],
                    "success_url": success_url,
                    "cancel_url": cancel_url,
                },
                {"idempotency_key": key},
            )
        )
        if made.url is None:
            raise StripeRefused("the checkout has no page")
        return CheckoutPage(made.id, made.url)

    async def close_checkouts(self, customer_id: str, *, before: CheckoutPage) -> None:
        """Close the customer's pages that are older than this one, so that nobody pays there as well."""
        sessions = self._client.v1.checkout.sessions
        found = await self._ask(
            sessions.list_async(
                {"customer": customer_id, "status": "open", "starting_after": before.id, "limit": CHECKOUTS_AT_MOST}
            )
        )
        for each in _dict(found)["data"]:
            # What is refused was closed, or paid, a moment ago.
            with suppress(StripeRefused):
                await self._ask(sessions.expire_async(each["id"], {}, {"idempotency_key": f"close-{each['id']}"}))

    async def create_portal(self, customer_id: str, *, return_url: str, key: str) -> str:
        """The address of a page where the customer sees bills and changes cards and plans. It is to be opened soon."""
        made = await self._ask(
            self._client.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": return_url}, {"idempotency_key": key}
            )
        )
        return made.url

    async def end_at_period_end(self, subscription_id: str, *, key: str) -> None:
        """Let the subscription end when what is paid for is over."""
        await self._ask(
            self._client.v1.subscriptions.update_async(
                subscription_id, {"cancel_at_period_end": True}, {"idempotency_key": key}
            )
        )

    async def go_on(self, subscribed: Subscribed, *, key: str) -> None:
        """Let a subscription that is to end not end."""
        # Stripe takes only one of the two at a time.
        await self._ask(
            self._client.v1.subscriptions.update_async(
                subscribed.id,
                {"cancel_at_period_end": False} if subscribed.cancel_at_period_end else {"cancel_at": ""},
                {"idempotency_key": key},
            )
        )

    async def set_quantity(self, subscription_id: str, item_id: str, quantity: int, *, key: str) -> None:
        """Change how often the item is paid for; Stripe settles the difference with the next bill."""
        await self._ask(
            self._client.v1.subscriptions.update_async(
                subscription_id, {"items": [{"id": item_id, "quantity": quantity}]}, {"idempotency_key": key}
            )
        )

    @cached_property
    def _http(self) -> stripe.AIOHTTPClient:
        # Made at first use: it belongs to the event loop that runs then.
        return stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    @cached_property
    def _client(self) -> StripeClient:
        return StripeClient(
            self._secret_key,
            base_addresses={"api": self._url},
            max_network_retries=RETRIES,
            http_client=self._http,
        )

    async def _find(self, call: Awaitable[Any]) -> dict[str, Any] | None:
        """What is there by its id; None when nothing is."""
        try:
            return _dict(await self._ask(call))
        except StripeRefused as refusal:
            if refusal.code == MISSING:
                return None
            raise

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except (stripe.AuthenticationError, stripe.PermissionError) as fault:
            _log.error("Stripe does not take STRIPE_SECRET_KEY", request=fault.request_id)
            raise Unavailable("Billing cannot be reached right now.") from fault
        except (stripe.APIConnectionError, stripe.APIError, stripe.RateLimitError, *_CUT_OFF) as fault:
            # Among them 409: the same key is in use at this moment.
            raise Unavailable("Billing cannot be reached right now.") from fault
        except stripe.StripeError as fault:
            raise StripeRefused(f"{type(fault).__name__}: {fault.user_message}"[:300], _code(fault)) from fault


def _code(fault: stripe.StripeError) -> str | None:
    return fault.code or (None if fault.error is None else fault.error.code)


def _dict(found: Any) -> dict[str, Any]:
    """The answer as it came: the client's objects raise where an older or newer Stripe leaves a field out."""
    made: dict[str, Any] = found.to_dict()
    return made


def _subscribed(found: dict[str, Any]) -> Subscribed:
    # Since the version 2025-03-31 the period belongs to the items.
    items = tuple(
        Item(each["id"], each["price"]["id"], each.get("quantity") or 0, _instant(each.get("current_period_end")))
        for each in found["items"]["data"]
    )
    return Subscribed(
        id=found["id"],
        status=found["status"],
        items=items,
        trial_ends_at=_instant(found.get("trial_end")),
        cancel_at_period_end=found["cancel_at_period_end"],
        cancel_at=_instant(found.get("cancel_at")),
        created_at=datetime.fromtimestamp(found["created"], UTC),
    )


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text)
    except (TypeError, ValueError, AttributeError):
        return None
