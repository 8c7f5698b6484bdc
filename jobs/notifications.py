"""What follows from events for people's inboxes."""

from datetime import datetime

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.events.queries import EventRow
from domain.notifications import service as notifications
from domain.tasks import due
from jobs.handlers import handler, organization_tick


@handler("notifications.fan_out")
async def fan_out(actor: Actor, event: EventRow, _adapters: Adapters) -> None:
    """Write an entry for each who hears of it."""
    await notifications.notify_about(actor, event)


@organization_tick("tasks.remind")
async def remind(actor: Actor, at: datetime) -> None:
    """Remind of tasks that are due soon."""
    await due.remind(actor, at)
