"""The nightly look at each subscription: it mends what no event told of, and tells that there was something to mend."""

from uuid import UUID

import structlog

from domain.adapters.stripe import Stripe
from domain.base import telemetry
from domain.base.actor import Actor
from domain.base.settings import Settings
from domain.billing import customers, seats, syncing

CUSTOMERS = "SELECT org_id AS id FROM subscription WHERE stripe_customer_id IS NOT NULL"
"""The organizations that have ever wanted to pay."""

_log = structlog.get_logger("billing")


async def reconcile(actor: Actor, org_id: UUID, stripe: Stripe, settings: Settings, *, key: UUID) -> bool:
    """Bring the subscription to what Stripe says, and Stripe's seats to the members; whether either had drifted.

    `key` makes a repeat the same change. Raises Unavailable; Timeout; StripeRefused.
    """
    customer_id = await customers.stored(org_id)
    if customer_id is None:
        return False
    state = await syncing.write(actor, await syncing.look(org_id, customer_id, stripe), settings)
    members = await seats.follow(org_id, stripe, settings, key=key)
    if state or members:
        _log.warning("a subscription had drifted", org_id=str(org_id), state=state, seats=members)
        telemetry.SUBSCRIPTION_DRIFT.inc()
    return state or members
