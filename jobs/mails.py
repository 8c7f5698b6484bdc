"""Sends what a feature says is to be mailed."""

from domain.adapters.mail import MailRefused
from domain.adapters.mail_smtp import SEND_TIMEOUT_S
from domain.adapters.wiring import Adapters
from domain.base.mailing import Mailing
from domain.mail.rendering import rendered
from jobs.handlers import GivenUp

# A mail server may take its time, and to give up on it early can mean a second mail.
TIMEOUT_S = SEND_TIMEOUT_S + 10.0


async def post(mailing: Mailing | None, adapters: Adapters) -> None:
    """Send it, if there is anything to send. Raises Unavailable; GivenUp where no server will ever take it."""
    if mailing is None:
        return
    message = rendered(mailing.kind, to=mailing.to, key=mailing.key, values=mailing.values, settings=adapters.settings)
    try:
        await adapters.mail.send(message)
    except MailRefused as fault:
        raise GivenUp(str(fault)) from fault
