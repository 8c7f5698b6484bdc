"""What follows from events for people's inboxes."""

from datetime import datetime
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.deliveries import following
from domain.events.queries import EventRow
from domain.notifications import mails
from domain.notifications import service as notifications
from domain.tasks import due
from jobs.handlers import handler, organization_tick, personal_handler
from jobs.mails import TIMEOUT_S, post


@personal_handler("notifications.mail", timeout_s=TIMEOUT_S)
async def mail(actor: Actor, event: EventRow, user_id: UUID, adapters: Adapters, _job_id: UUID) -> None:
    """Mail the person what the entry is about, if they want that. A retry carries the same Message-ID."""
    await post(await mails.of(actor, event, user_id), adapters)


@handler("notifications.fan_out", then=(mail,))
async def fan_out(actor: Actor, event: EventRow, _adapters: Adapters) -> None:
    """Write an entry for each who hears of it, and let each be mailed by a job of its own."""
    listeners = await notifications.notify_about(actor, event)
    await following.for_people(event, mail.name, mails.mailed_to(listeners))


@organization_tick("tasks.remind")
async def remind(actor: Actor, at: datetime) -> None:
    """Remind of tasks that are due soon."""
    await due.remind(actor, at)
