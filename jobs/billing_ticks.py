"""What follows for subscriptions when time passes."""

from datetime import datetime

from domain.base.actor import Actor
from domain.billing import subscriptions
from jobs.handlers import organization_tick


@organization_tick("billing.end_grace")
async def end_grace(actor: Actor, at: datetime) -> None:
    """Tell of the grace that has ended."""
    await subscriptions.end_grace(actor, at)
