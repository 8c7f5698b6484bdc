"""What a row asks for: that a job looks at it once the change is committed. What an event leads to needs no asking."""

from uuid import UUID

from domain.base.clock import new_id
from domain.base.database import execute, require_transaction
from domain.base.sql import sql


async def ask(handler: str, source_id: UUID, *, org_id: UUID) -> None:
    """Have the row handler of that name do something for the organization's row, with the open transaction.

    Asked for twice it is done once: the handler has the row's delivery, or has ended it. Within a second of the commit
    it is queued. Raises RuntimeError outside a transaction.
    """
    require_transaction()
    await execute(
        sql(
            "INSERT INTO delivery (id, org_id, kind, source_id, handler) VALUES ({}, {}, 'ROW', {}, {}) "
            "ON CONFLICT DO NOTHING",
            new_id(),
            org_id,
            source_id,
            handler,
        )
    )
