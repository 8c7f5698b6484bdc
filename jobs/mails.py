"""Sends what a feature says is to be mailed."""

from domain.adapters.mail import MailRefused
from domain.adapters.wiring import Adapters
from domain.base.mailing import Mailing
from domain.mail.rendering import rendered
from jobs.handlers import GivenUp


async def post(mailing: Mailing | None, adapters: Adapters) -> None:
    """Send it, if there is anything to send. Raises Unavailable; GivenUp where no server will ever take it."""
    if mailing is None:
        return
    message = rendered(mailing.kind, to=mailing.to, key=mailing.key, values=mailing.values, settings=adapters.settings)
    try:
        await adapters.mail.send(message)
    except MailRefused as fault:
        raise GivenUp(str(fault)) from fault
