"""What follows for billing: from Stripe's events, from members who come and go, and each night."""

from datetime import datetime
from uuid import UUID

from domain.adapters.stripe import Stripe
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.billing import mails, reconcile, syncing, webhooks
from domain.billing import seats as billing_seats
from domain.deliveries import following
from domain.events.queries import EventRow
from jobs.handlers import GivenUp, handler, inbound_handler, outside_handler, outside_tick, personal_handler
from jobs.mails import post


@inbound_handler(webhooks.HANDLER)
async def sync(event_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Look at Stripe for what an event was about."""
    await syncing.follow(event_id, _stripe(adapters), adapters.settings)


@outside_handler("billing.seats", is_wanted=lambda settings: settings.stripe_secret_key is not None)
async def seats(_actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Pay for as many seats as there are members."""
    if adapters.stripe is not None:
        await billing_seats.follow(event.org_id, adapters.stripe, adapters.settings, key=event.id)


@personal_handler("billing.mail")
async def mail(_actor: Actor, event: EventRow, user_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Mail one of those who can mend it that a payment failed. A retry carries the same Message-ID."""
    await post(await mails.payment_failed(event, user_id), adapters)


@handler("billing.warn", then=(mail,))
async def warn(_actor: Actor, event: EventRow, _adapters: Adapters) -> None:
    """Let each who can mend it be mailed that a payment failed, by a job of their own."""
    await following.for_people(event, mail.name, await mails.told_of(event))


@outside_tick("billing.reconcile")
async def nightly(actor: Actor, _at: datetime, adapters: Adapters, job_id: UUID) -> None:
    """Compare a subscription with Stripe."""
    if adapters.stripe is not None:
        for org_id in actor.standings:
            await reconcile.reconcile(actor, org_id, adapters.stripe, adapters.settings, key=job_id)


def _stripe(adapters: Adapters) -> Stripe:
    if adapters.stripe is None:
        raise GivenUp("STRIPE_SECRET_KEY is not set any more")
    return adapters.stripe
