"""What becomes of answers that nobody writes any more."""

from domain.ai import chat
from domain.ai.models import AiMessageStatus
from domain.base.actor import Actor
from domain.base.database import tx
from domain.base.sql import sql

# An answer and its delivery are made together, and the answer ends before the delivery is done: without one that is
# still to be done, nobody will ever come. It was given up, or has failed eight times.
_ABANDONED = (
    "ai_message.status = 'STREAMING' AND NOT EXISTS (SELECT FROM delivery WHERE delivery.source_id = ai_message.id "
    f"AND delivery.handler = '{chat.HANDLER}' AND delivery.org_id = ai_message.org_id AND delivery.state = 'PENDING')"
)
ABANDONED = f"SELECT DISTINCT org_id AS id FROM ai_message WHERE {_ABANDONED}"
"""The organizations with answers that nobody will write."""


async def end_abandoned(actor: Actor) -> int:
    """Let answers have FAILED that nobody will write, in the actor's organizations; how many."""
    async with tx():
        which = sql(f"ai_message.org_id = ANY({{}}::uuid[]) AND {_ABANDONED}", list(actor.standings))
        return len(await chat.end(which, AiMessageStatus.FAILED))
