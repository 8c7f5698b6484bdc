"""What follows for billing from Stripe's events."""

from uuid import UUID

from domain.adapters.stripe import Stripe
from domain.adapters.wiring import Adapters
from domain.billing import syncing, webhooks
from jobs.handlers import GivenUp, inbound_handler


@inbound_handler(webhooks.HANDLER)
async def sync(event_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Look at Stripe for what an event was about."""
    await syncing.follow(event_id, _stripe(adapters), adapters.settings)


def _stripe(adapters: Adapters) -> Stripe:
    if adapters.stripe is None:
        raise GivenUp("STRIPE_SECRET_KEY is not set any more")
    return adapters.stripe
