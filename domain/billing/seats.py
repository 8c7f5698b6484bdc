"""Seats follow members: what is paid for is as many as there are."""

from uuid import UUID

from domain.adapters.stripe import Stripe
from domain.base.database import fetch_value
from domain.base.errors import Unavailable
from domain.base.settings import Settings
from domain.base.sql import sql
from domain.billing import customers, syncing
from domain.billing.states import Status

# Members who come and go meanwhile have jobs of their own.
_ROUNDS = 5
_PAID_FOR = frozenset({Status.ACTIVE, Status.TRIALING, Status.PAST_DUE})


async def members(org_id: UUID) -> int:
    """How many are members now. Raises Unavailable; Timeout."""
    count: int = await fetch_value(
        sql("SELECT count(*) FROM membership WHERE org_id = {} AND ended_at IS NULL", org_id)
    )
    return count


async def follow(org_id: UUID, stripe: Stripe, settings: Settings, *, key: UUID) -> bool:
    """Let Stripe count as many seats as there are members; whether that changed anything. Not inside a transaction.

    `key` is what it is done for, and makes a repeat the same change. Whoever sets a number looks again, so of two that
    set theirs in the wrong order the first to have counted finds out. Raises Unavailable; Timeout; StripeRefused.
    """
    customer_id = await customers.stored(org_id)
    if customer_id is None:
        return False
    for changed in range(_ROUNDS):
        subscribed = syncing.best(await stripe.subscriptions(customer_id))
        if subscribed is None or syncing.STATUSES[subscribed.status] not in _PAID_FOR:
            return changed > 0
        item, count = syncing.item_of(subscribed, settings), await members(org_id)
        if item.quantity == count or count == 0:
            return changed > 0
        await stripe.set_quantity(subscribed.id, item.id, count, key=f"seats-{key}-{item.quantity}-{count}")
    raise Unavailable("The number of members does not stand still.")
