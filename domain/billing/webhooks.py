"""Events that Stripe sends: each is kept once, and those that concern a subscription are looked at by a job.

An event only says that something happened. What is so now is read from Stripe (`syncing.py`), so neither the order in
which events arrive nor how often they do matters.
"""

from uuid import UUID

from domain.adapters.stripe import WebhookEvent
from domain.base.clock import new_id, now
from domain.base.database import Door, system_fetch

# The job's name, by which `jobs/billing.py` is found.
HANDLER = "billing.sync"
HANDLED = frozenset(
    {
        "checkout.session.completed",
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "invoice.payment_failed",
        "customer.deleted",
    }
)
"""The types that are acted on. Others are kept, and nothing comes of them."""


async def receive(event: WebhookEvent) -> None:
    """Keep a verified event, and have it looked at; one that is kept already stays as it is.

    Both rows are written in one statement, and are committed when this returns. Raises Unavailable; Timeout.
    """
    await system_fetch(
        Door.STRIPE_EVENT,
        "WITH kept AS (INSERT INTO stripe_event (id, stripe_id, type, object_id, livemode, created_at, received_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (stripe_id) DO NOTHING RETURNING id) "
        "INSERT INTO delivery (id, kind, source_id, handler) SELECT $8, 'INBOUND', id, $9 FROM kept WHERE $10",
        *(new_id(), event.id, event.type, event.object_id, event.livemode, event.created_at, now()),
        *(new_id(), HANDLER, event.type in HANDLED and event.object_id is not None),
    )


async def about(event_id: UUID) -> tuple[str, str] | None:
    """Type and object of a kept event that is looked at; None when it is not there. Raises Unavailable; Timeout."""
    rows = await system_fetch(
        Door.STRIPE_EVENT_READ, "SELECT type, object_id FROM stripe_event WHERE id = $1", event_id
    )
    return (rows[0]["type"], rows[0]["object_id"]) if rows else None
