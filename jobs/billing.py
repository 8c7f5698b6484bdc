"""What follows for billing: from Stripe's events, and from members who come and go."""

from uuid import UUID

from domain.adapters.stripe import Stripe
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.billing import seats as billing_seats
from domain.billing import syncing, webhooks
from domain.events.queries import EventRow
from jobs.handlers import GivenUp, inbound_handler, outside_handler


@inbound_handler(webhooks.HANDLER)
async def sync(event_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Look at Stripe for what an event was about."""
    await syncing.follow(event_id, _stripe(adapters), adapters.settings)


@outside_handler("billing.seats")
async def seats(_actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Pay for as many seats as there are members."""
    if adapters.stripe is not None:
        await billing_seats.follow(event.org_id, adapters.stripe, adapters.settings, key=event.id)


def _stripe(adapters: Adapters) -> Stripe:
    if adapters.stripe is None:
        raise GivenUp("STRIPE_SECRET_KEY is not set any more")
    return adapters.stripe
