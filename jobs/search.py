"""What follows from changed texts: their passages and vectors."""

from datetime import datetime
from uuid import UUID

import structlog

from domain.adapters.model_errors import ModelRefused
from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.errors import Unavailable
from domain.events.queries import EventRow
from domain.search import indexing, vector_indexes
from jobs.handlers import GivenUp, outside_handler, outside_tick, tick

# In a minute even a slow service embeds as many; the next tick goes on.
CAUGHT_UP_AT_ONCE = 500
CATCH_UP_TIMEOUT_S = 600.0
# Of the organizations that lack an index, for the log.
MOST_NAMED = 10
_log = structlog.get_logger("search")


@outside_handler("search.index", delay_s=indexing.DELAY_S)
async def index(_actor: Actor, event: EventRow, adapters: Adapters, _job_id: UUID) -> None:
    """Embed what the event changed of a text. A transfer or an archiving changes none; triggers see to those."""
    try:
        await indexing.index(event.subject_id, adapters)
    except ModelRefused as fault:
        raise GivenUp(str(fault)) from fault


@tick("search.own_indexes", timeout_s=600.0)
async def look_for_own_indexes(_at: datetime, _adapters: Adapters) -> None:
    """Tell of organizations that have grown so large that their searches take long without an index."""
    if lacking := await vector_indexes.lacking():
        _log.warning(
            "organizations need an index of their own: run planwire reindex",
            count=len(lacking),
            examples=[str(org_id) for org_id in lacking[:MOST_NAMED]],
        )


@outside_tick("search.catch_up", timeout_s=CATCH_UP_TIMEOUT_S)
async def catch_up(actor: Actor, _at: datetime, adapters: Adapters, _job_id: UUID) -> None:
    """Index what no event has led to, or whose delivery was given up."""
    try:
        documents = await indexing.index_overdue(list(actor.standings), adapters, most=CAUGHT_UP_AT_ONCE)
    except Unavailable as fault:
        # The next tick comes in a minute. To try this one again would only add to the dead, tick by tick.
        _log.warning("what is to be indexed waits", fault=fault.message)
    else:
        _log.info("caught up", documents=documents)
