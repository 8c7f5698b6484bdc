"""What follows from a job: more deliveries of its event, made in the transaction that notes the job as done."""

from collections.abc import Collection
from uuid import UUID

from domain.base.clock import new_id
from domain.base.database import execute, require_transaction
from domain.base.sql import sql
from domain.events.queries import EventRow


async def for_people(event: EventRow, handler: str, user_ids: Collection[UUID]) -> None:
    """Make a delivery of the event for each of the people, with the open transaction; once more makes none.

    One that fails is tried again without the others. Raises RuntimeError outside a transaction.
    """
    require_transaction()
    if not user_ids:
        return
    await execute(
        sql(
            "INSERT INTO delivery (id, org_id, user_id, kind, source_id, seq, handler) "
            "SELECT id, {}, user_id, 'EVENT', {}, {}, {} "
            "FROM unnest({}::uuid[], {}::uuid[]) AS made(id, user_id) ON CONFLICT DO NOTHING",
            event.org_id,
            event.id,
            event.seq,
            handler,
            [new_id() for _ in user_ids],
            list(user_ids),
        )
    )
