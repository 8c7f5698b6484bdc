"""Who else listens to the log: a channel, and whoever counts. No service knows of them.

To add a listener is to write its handler and to add a line to LISTENERS.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

from domain.adapters import analytics
from domain.adapters.http import RequestRefused
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.events.queries import EventRow
from domain.events.types import EventType
from domain.notifications import announcing
from jobs.handlers import EventHandler, GivenUp, outside_handler


@outside_handler("slack.post", is_wanted=lambda settings: settings.slack_webhook_url is not None)
async def slack(actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Tell the channel. A line is told twice where its answer was lost: there is no key to know it again by."""
    if adapters.slack is None:
        raise GivenUp("SLACK_WEBHOOK_URL is not set any more")
    text = await announcing.line(actor, event)
    if text is not None:
        try:
            await adapters.slack.post(text)
        except RequestRefused as fault:
            raise GivenUp(str(fault)) from fault


@outside_handler("analytics.note")
async def note(_actor: Actor, event: EventRow, _adapters: Adapters, _job_id: UUID) -> None:
    """Write the line that is counted."""
    analytics.note(
        event.type, org_id=event.org_id, seq=event.seq, occurred_at=event.occurred_at, actor_kind=event.actor_kind
    )


LISTENERS: Mapping[EventHandler, Collection[EventType]] = {note: tuple(EventType), slack: tuple(announcing.SENTENCES)}
"""Handler -> the types that it hears of."""
