"""Whose customer is whose: an organization has one at Stripe, made when it first wants to pay.

Made anew only where Stripe has deleted the one before. Its idempotency key follows from the organization's id and from
the one before, so twenty who begin at once, and one who begins again after a crash, get the same.
"""

from uuid import UUID

from domain.adapters.stripe import Stripe
from domain.base.clock import now
from domain.base.database import Door, acting_for, fetch, fetch_value, system_fetch
from domain.base.errors import NotFound
from domain.base.sql import Row, sql


async def stored(org_id: UUID) -> str | None:
    """The id of the organization's customer as we know it. Raises Unavailable; Timeout."""
    found: str | None = await fetch_value(sql("SELECT stripe_customer_id FROM subscription WHERE org_id = {}", org_id))
    return found


async def ensure(org_id: UUID, stripe: Stripe) -> str:
    """The id of the organization's customer at Stripe, who is made when there is none. Not inside a transaction.

    Raises NotFound; Unavailable; Timeout.
    """
    known = await stored(org_id)
    if known is not None:
        customer = await stripe.customer(known)
        if customer is not None and not customer.is_deleted:
            return known
    # One made by who died before storing it is found here, once Stripe does not know the key any more.
    found = await stripe.find_customer(org_id, but=known)
    if found is None:
        found = await stripe.create_customer(org_id, key=f"customer-{org_id}-{known or 'first'}")
    its = await _store(org_id, found, instead_of=known)
    if its is None:
        raise NotFound("organization")
    return its


async def organization_of(customer_id: str, stripe: Stripe) -> UUID | None:
    """The organization whose customer it is; None for a customer of somebody else's, or beside the one it has.

    One that is not stored yet says itself whose it is, and is stored. Raises Unavailable; Timeout.
    """
    for row in await system_fetch(
        Door.STRIPE_CUSTOMER, "SELECT org_id FROM subscription WHERE stripe_customer_id = $1", customer_id
    ):
        known: UUID = row["org_id"]
        return known
    customer = await stripe.customer(customer_id)
    if customer is None or customer.org_id is None:
        return None
    with acting_for([customer.org_id]):
        is_its = await _store(customer.org_id, customer_id, instead_of=None) == customer_id
    return customer.org_id if is_its else None


async def _store(org_id: UUID, customer_id: str, *, instead_of: str | None) -> str | None:
    """Note the customer in the place of the one before; whom the organization has then, who may be another by now."""
    await fetch(
        sql(
            "UPDATE subscription SET stripe_customer_id = {}, updated_at = {} "
            "WHERE org_id = {} AND stripe_customer_id IS NOT DISTINCT FROM {} RETURNING id",
            customer_id,
            now(),
            org_id,
            instead_of,
        ),
        Row,
    )
    return await stored(org_id)
