"""What follows from invitations: the mail with the link, and their end."""

from datetime import datetime
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.events.queries import EventRow
from domain.invitations import mails
from domain.invitations import service as invitations
from jobs.handlers import organization_tick, outside_handler
from jobs.mails import TIMEOUT_S, post


@outside_handler("invitations.mail", timeout_s=TIMEOUT_S)
async def mail(_actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Mail the link, unless it was replaced since. A retry carries the same Message-ID."""
    await post(await mails.invitation(event, adapters.settings), adapters)


@organization_tick("invitations.expire")
async def expire(actor: Actor, at: datetime) -> None:
    """Write down which invitations have expired."""
    await invitations.expire(actor, at)
