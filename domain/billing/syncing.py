"""Bringing a subscription to what Stripe says of it, in whatever order and how often Stripe tells of changes.

An event is only a reason to look. A look has a number, taken before Stripe is asked (`sync_begun`), and is written only
while none with a higher one is (`sync_written`). Every change at Stripe has its event, and the look for it begins after
the change; so does every look with a higher number, and one with a lower number does not go over it. Therefore what is
written in the end is as new as the last change, whichever look came last. A look that dies between its number and its
write is begun anew under another number. What no event told of, the nightly look finds (`reconcile.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from domain.adapters.stripe import Item, Stripe, StripeRefused, Subscribed
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.database import acting_for, fetch_value, tx
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.billing import customers, subscriptions, webhooks
from domain.billing.plans import Plan
from domain.billing.states import ALLOWS, Act, Status

STATUSES: Mapping[str, Status] = {
    "active": Status.ACTIVE,
    "trialing": Status.TRIALING,
    "past_due": Status.PAST_DUE,
    "unpaid": Status.UNPAID,
    # A trial that ended without a card.
    "paused": Status.UNPAID,
    "incomplete": Status.INCOMPLETE,
    "incomplete_expired": Status.CANCELED,
    "canceled": Status.CANCELED,
}
"""Stripe's words in ours."""

# Of several subscriptions of a customer the one that gives most counts: those that ended stay there for good.
S = Status
_BEST_FIRST = (S.ACTIVE, S.TRIALING, S.PAST_DUE, S.UNPAID, S.INCOMPLETE, S.CANCELED)
_log = structlog.get_logger("billing")


@dataclass(frozen=True)
class Look:
    """What Stripe said of an organization's customer, and the number under which it was asked."""

    org_id: UUID
    number: int
    subscribed: Subscribed | None


def prices(settings: Settings) -> dict[Plan, str]:
    """The prices at Stripe of what can be bought."""
    named = {Plan.PRO: settings.stripe_price_pro, Plan.BUSINESS: settings.stripe_price_business}
    return {plan: price_id for plan, price_id in named.items() if price_id is not None}


def best(found: Sequence[Subscribed]) -> Subscribed | None:
    """The one that counts, the newest of its kind; None of none. Raises StripeRefused where none is understood."""
    known = [each for each in found if each.status in STATUSES and each.items]
    if found and not known:
        # Stripe may come to know more states than we do. What is stored stays until somebody has looked.
        raise StripeRefused(f"{found[0].id} is {found[0].status}, which is not understood here")
    return max(
        known, key=lambda each: (-_BEST_FIRST.index(STATUSES[each.status]), each.created_at, each.id), default=None
    )


def item_of(subscribed: Subscribed, settings: Settings) -> Item:
    """The item of a subscription that is a plan of ours; the first where none is."""
    ours = set(prices(settings).values())
    return next((each for each in subscribed.items if each.price_id in ours), subscribed.items[0])


async def look(org_id: UUID, customer_id: str, stripe: Stripe) -> Look:
    """Ask Stripe how things stand with the organization's customer. Not inside a transaction.

    Raises Unavailable; Timeout; StripeRefused.
    """
    number: int = await fetch_value(
        sql("UPDATE subscription SET sync_begun = sync_begun + 1 WHERE org_id = {} RETURNING sync_begun", org_id)
    )
    found = await stripe.subscriptions(customer_id)
    going_on = [each.id for each in found if Act.CHECKOUT not in ALLOWS[STATUSES[each.status]].acts]
    if len(going_on) > 1:
        # Which one is to end, and what is to be paid back, is for people to say.
        _log.error("paid for twice", org_id=str(org_id), subscriptions=going_on)
    return Look(org_id, number, best(found))


async def write(actor: Actor, seen: Look, settings: Settings) -> bool:
    """Bring the subscription to what was seen, unless a later look was written; whether a client can see a change.

    Emits SUBSCRIPTION_UPDATED once for a change, and nothing where none is. Raises Unavailable; Timeout.
    """
    async with tx():
        present = await subscriptions.lock(seen.org_id)
        if present.sync_written >= seen.number:
            return False
        values: dict[str, Any] = {"sync_written": seen.number}
        if seen.subscribed is not None:
            values |= _values(seen.subscribed, Plan(present.plan), settings)
        elif present.stripe_subscription_id is not None:
            # Gone with its customer.
            values |= {"status": Status.CANCELED, "cancel_at_period_end": False}
        return await subscriptions.change(actor, seen.org_id, at=now(), **values)


async def follow(event_id: UUID, stripe: Stripe, settings: Settings) -> None:
    """Look at what an event of Stripe's is about. One about nobody of ours changes nothing.

    Raises Unavailable; Timeout; StripeRefused.
    """
    told = await webhooks.about(event_id)
    customer_id = None if told is None else await stripe.customer_of(*told)
    org_id = None if customer_id is None else await customers.organization_of(customer_id, stripe)
    if customer_id is None or org_id is None:
        _log.info("an event of Stripe's is about nobody here", source_id=str(event_id))
        return
    with acting_for([org_id]):
        await write(Actor.system(org_id), await look(org_id, customer_id, stripe), settings)


def _values(found: Subscribed, present: Plan, settings: Settings) -> dict[str, Any]:
    """The columns as the subscription at Stripe has them."""
    item = item_of(found, settings)
    plan = {price_id: plan for plan, price_id in prices(settings).items()}.get(item.price_id)
    if plan is None:
        # Whoever has paid keeps what they had while an operator mends the settings.
        _log.error("a price of Stripe's is no plan's", price_id=item.price_id, subscription=found.id)
    return {
        "plan": plan or present,
        "status": STATUSES[found.status],
        "stripe_subscription_id": found.id,
        "current_period_end": item.current_period_end,
        "trial_ends_at": found.trial_ends_at,
        "cancel_at_period_end": found.is_to_end,
        "seats": item.quantity,
    }
