"""What the fake knows and does: one Stripe account, its clock, and the lives of its subscriptions.

Without taxes, discounts and prorations. Subscriptions have the flexible billing mode, as new ones have at Stripe: who
cancels in the portal sets `cancel_at` and leaves `cancel_at_period_end` false.
Source: Stripe's API reference and its pages on the life of a subscription.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tests.stripe import objects
from tests.stripe.objects import DAY_S, PERIOD_S, Json

PLANS = {"pro": ("Planwire Pro", 800), "business": ("Planwire Business", 1600)}
PREFIXES = {"subscription": "customer.subscription"}
ENDED = ("canceled", "incomplete_expired")
# A first payment that nobody makes, and how long before its end a trial is told.
INCOMPLETE_S = 23 * 3600
TRIAL_TOLD_S = 3 * DAY_S

# The id and the idempotency key of the request that is being answered: events name them.
request: ContextVar[tuple[str | None, str | None]] = ContextVar("request", default=(None, None))


class Refused(Exception):
    """A request that Stripe refuses, in the shape of its errors."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None, type: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        given = {"code": code, "message": message, "param": param, "type": type or "invalid_request_error"}
        self.error = {name: value for name, value in given.items() if value is not None}


def declined() -> Refused:
    """What Stripe says of a card that is not taken."""
    return Refused("The card was declined.", status=402, code="card_declined", type="card_error")


@dataclass
class Account:
    """Objects by their ids, in the order in which they were made; what happens is handed to `tell` as events."""

    origin: str
    tell: Callable[[Json], None]
    objects: dict[str, Json] = field(default_factory=dict)
    # How far the clock is ahead.
    offset_s: int = 0
    # Customers whose payments fail.
    failing: set[str] = field(default_factory=set)
    # Subscriptions of whose trial's end was told.
    told: set[str] = field(default_factory=set)
    # What is subscribed to where a checkout is paid, by the session's id.
    orders: dict[str, Json] = field(default_factory=dict)
    # A search finds what is older than this; at Stripe it takes up to a minute.
    search_lag_s: int = 0
    # After which days a failed payment is tried again, and what becomes of the subscription after the last.
    retries_days: tuple[int, ...] = (7, 7, 7)
    after_retries: str = "canceled"

    def __post_init__(self) -> None:
        for key, (name, cents) in PLANS.items():
            for thing in (objects.product(self.now(), key, name), objects.price(self.now(), key, cents)):
                self.objects.setdefault(thing["id"], thing)

    def now(self) -> int:
        """Seconds since 1970 on the account's clock."""
        return int(time.time()) + self.offset_s

    def saved(self) -> Json:
        """What the account remembers, for `restore`."""
        sets = {name: sorted(getattr(self, name)) for name in ("failing", "told")}
        return {"objects": self.objects, "offset_s": self.offset_s, "orders": self.orders, **sets}

    def restore(self, saved: Json) -> None:
        """Remember what an account did before."""
        self.objects, self.offset_s, self.orders = saved["objects"], saved["offset_s"], saved["orders"]
        self.failing, self.told = set(saved["failing"]), set(saved["told"])

    def all(self, object: str) -> list[Json]:
        """The objects of a kind, the oldest first."""
        return [thing for thing in self.objects.values() if thing["object"] == object]

    def events(self, type: str | None = None) -> list[Json]:
        """What happened."""
        return [event for event in self.all("event") if type in (None, event["type"])]

    def get(self, object: str, id: str, param: str = "id") -> Json:
        """One object."""
        thing = self.objects.get(id)
        if thing is None or thing["object"] != object:
            name = object.replace(".", " ").replace("_", " ")
            message = f"No such {name}: '{id}'"
            raise Refused(message, status=404 if param == "id" else 400, param=param, code="resource_missing")
        return thing

    def payer(self, id: str) -> Json:
        """A customer who was not deleted, as a parameter names it."""
        customer = self.get("customer", id, "customer")
        if customer.get("deleted"):
            raise Refused(f"No such customer: '{id}'", param="customer", code="resource_missing")
        return customer

    def keep(self, thing: Json) -> Json:
        """Take an object in."""
        self.objects[thing["id"]] = thing
        return thing

    def emit(self, type: str, thing: Json, previous: Json | None = None) -> None:
        """Tell that something happened to an object, as it is now."""
        id, key = request.get()
        by = {"id": id, "idempotency_key": key}
        event = objects.event(self.now(), type, copy.deepcopy(thing), previous, by)
        self.tell(self.keep(event))

    @contextlib.contextmanager
    def changing(self, thing: Json) -> Iterator[Json]:
        """Change an object; tell of it once, and not at all when it is as before."""
        before = copy.deepcopy(thing)
        yield thing
        if previous := {name: value for name, value in before.items() if thing.get(name) != value}:
            self.emit(f"{PREFIXES.get(thing['object'], thing['object'])}.updated", thing, previous)

    def create_customer(self, **given: Any) -> Json:
        """Make a customer."""
        customer = self.keep(objects.customer(self.now(), **given))
        self.emit("customer.created", customer)
        return customer

    def delete_customer(self, id: str) -> Json:
        """Delete a customer, whose subscriptions end with it."""
        customer = self.get("customer", id)
        if not customer.get("deleted"):
            for subscription in self.subscriptions_of(id):
                self.cancel(subscription["id"])
            self.emit("customer.deleted", customer)
            self.objects[id] = {"id": id, "object": "customer", "deleted": True}
        return self.objects[id]

    def subscriptions_of(self, customer: str) -> list[Json]:
        """Those that have not ended."""
        return [
            each for each in self.all("subscription") if each["customer"] == customer and each["status"] not in ENDED
        ]

    def pay_session(self, id: str) -> Json:
        """Do what somebody does who fills in the checkout's form and pays."""
        session = self.get("checkout.session", id)
        if session["status"] != "open":
            raise Refused(f"The checkout session is {session['status']}.")
        order = self.orders[id]
        if session["customer"] in self.failing and not order["trial_days"]:
            raise declined()
        if session["customer"] is None:
            session["customer"] = self.create_customer(email=session["customer_email"] or "payer@example.com")["id"]
        subscription = self.subscribe(session["customer"], **order)
        session |= {
            "invoice": subscription["latest_invoice"],
            "payment_status": "no_payment_required" if order["trial_days"] else "paid",
            "status": "complete",
            "subscription": subscription["id"],
            "url": None,
        }
        self.emit("checkout.session.completed", session)
        return session

    def subscribe(
        self, customer: str, items: Sequence[Sequence[Any]], *, metadata: Json | None = None, trial_days: int = 0
    ) -> Json:
        """Begin a subscription to pairs of price and quantity, and bill its first period."""
        now = self.now()
        subscription = self.keep(objects.subscription(now, customer, metadata=metadata or {}))
        end = now + (trial_days * DAY_S or PERIOD_S)
        for price, quantity in items:
            item = objects.subscription_item(now, subscription["id"], self.objects[price], quantity, (now, end))
            subscription["items"]["data"].append(item)
        if trial_days:
            subscription |= {"status": "trialing", "trial_start": now, "trial_end": end}
        invoice = self._draft(subscription, "subscription_create", free=trial_days > 0)
        self.emit("customer.subscription.created", subscription)
        self._collect(invoice)
        return subscription

    def renew(self, id: str) -> None:
        """Begin the next period now, and bill it."""
        subscription, now = self.get("subscription", id), self.now()
        with self.changing(subscription):
            for item in subscription["items"]["data"]:
                item |= {"current_period_start": now, "current_period_end": now + PERIOD_S}
            if subscription["status"] == "trialing":
                subscription["status"] = "active"
            invoice = self._draft(subscription, "subscription_cycle")
        self._collect(invoice)

    def pay_invoice(self, id: str) -> Json:
        """Pay an invoice, or fail to."""
        invoice = self.get("invoice", id)
        if invoice["status"] != "open":
            raise Refused(f"The invoice is {invoice['status']}.", code="invoice_not_editable")
        self._charge(invoice)
        if invoice["status"] != "paid":
            raise declined()
        return invoice

    def cancel(self, id: str, reason: str = "cancellation_requested") -> Json:
        """End a subscription at once."""
        subscription = self.get("subscription", id)
        if subscription["status"] in ENDED:
            raise Refused(f"No such subscription: '{id}'", status=404, param="id", code="resource_missing")
        now = self.now()
        subscription["cancellation_details"]["reason"] = subscription["cancellation_details"]["reason"] or reason
        subscription |= {"status": "canceled", "canceled_at": subscription["canceled_at"] or now, "ended_at": now}
        for invoice in self.all("invoice"):
            if invoice["parent"]["subscription_details"]["subscription"] == id:
                invoice["next_payment_attempt"] = None
        self.emit("customer.subscription.deleted", subscription)
        return subscription

    def advance(self, *, days: float = 0) -> None:
        """Move the clock on, and let happen on the way what is due, in the order in which it is."""
        target = self.now() + int(days * DAY_S)
        while due := [each for thing in list(self.objects.values()) for each in self._due(thing) if each[0] <= target]:
            at, happen = min(due, key=lambda each: each[0])
            self.offset_s += max(0, at - self.now())
            happen()
        self.offset_s += max(0, target - self.now())

    def _due(self, thing: Json) -> Iterator[tuple[int, Callable[[], object]]]:
        id, status = thing["id"], thing.get("status")
        if thing["object"] == "checkout.session" and status == "open":
            yield thing["expires_at"], lambda: self.expire(id)
        elif thing["object"] == "invoice" and thing["next_payment_attempt"]:
            yield thing["next_payment_attempt"], lambda: self._charge(thing)
        elif thing["object"] == "subscription" and status == "incomplete":
            yield thing["created"] + INCOMPLETE_S, lambda: self._set_status(thing, "incomplete_expired")
        elif thing["object"] == "subscription" and status not in ENDED:
            if status == "trialing" and id not in self.told:
                yield thing["trial_end"] - TRIAL_TOLD_S, lambda: self._tell_of_trial(thing)
            if thing["cancel_at"]:
                yield thing["cancel_at"], lambda: self.cancel(id)
            elif status != "unpaid":
                yield period_end(thing), lambda: self.renew(id)

    def expire(self, id: str) -> Json:
        """Close a checkout that nobody paid."""
        session = self.get("checkout.session", id)
        if session["status"] != "open":
            raise Refused(f"The checkout session is {session['status']}.")
        session |= {"status": "expired", "url": None}
        self.emit("checkout.session.expired", session)
        return session

    def _tell_of_trial(self, subscription: Json) -> None:
        self.told.add(subscription["id"])
        self.emit("customer.subscription.trial_will_end", subscription)

    def _set_status(self, subscription: Json, status: str) -> None:
        with self.changing(subscription):
            subscription["status"] = status

    def _draft(self, subscription: Json, reason: str, *, free: bool = False) -> Json:
        items = subscription["items"]["data"]
        amount = 0 if free else sum(item["quantity"] * item["price"]["unit_amount"] for item in items)
        invoice = self.keep(objects.invoice(self.now(), self.origin, subscription, reason, amount))
        subscription["latest_invoice"] = invoice["id"]
        return invoice

    def _collect(self, invoice: Json) -> None:
        self.emit("invoice.created", invoice)
        invoice["status"] = "open"
        invoice["status_transitions"]["finalized_at"] = self.now()
        self.emit("invoice.finalized", invoice)
        self._charge(invoice)

    def _charge(self, invoice: Json) -> None:
        subscription = self.objects[invoice["parent"]["subscription_details"]["subscription"]]
        invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "next_payment_attempt": None}
        if invoice["customer"] in self.failing and invoice["total"]:
            self._fail(invoice, subscription)
            return
        invoice |= {"status": "paid", "amount_paid": invoice["total"], "amount_remaining": 0}
        invoice["status_transitions"]["paid_at"] = self.now()
        self.emit("invoice.paid", invoice)
        self.emit("invoice.payment_succeeded", invoice)
        if subscription["latest_invoice"] == invoice["id"] and subscription["status"] not in (*ENDED, "trialing"):
            self._set_status(subscription, "active")

    def _fail(self, invoice: Json, subscription: Json) -> None:
        retried = invoice["attempt_count"] - 1
        first = invoice["billing_reason"] == "subscription_create"
        if not first and retried < len(self.retries_days):
            invoice["next_payment_attempt"] = self.now() + self.retries_days[retried] * DAY_S
        self.emit("invoice.payment_failed", invoice)
        if first or subscription["status"] in ENDED:
            return
        if invoice["next_payment_attempt"] or self.after_retries == "past_due":
            self._set_status(subscription, "past_due")
        elif self.after_retries == "unpaid":
            self._set_status(subscription, "unpaid")
        else:
            self.cancel(subscription["id"], "payment_failed")


def end_at(subscription: Json, at: int | None, now: int, *, period_end: bool) -> None:
    """Let a subscription end at a moment, or go on with None; `period_end` says how that was asked for."""
    reason = None if at is None else "cancellation_requested"
    subscription |= {"cancel_at": at, "cancel_at_period_end": period_end and at is not None}
    subscription["canceled_at"] = None if at is None else now
    subscription["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}


def period_end(subscription: Json) -> int:
    """When the first of its items has to be billed again."""
    return min(int(item["current_period_end"]) for item in subscription["items"]["data"])
