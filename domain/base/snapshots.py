"""Reading much as it was at one moment, a little at a time: nothing that is committed meanwhile shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from domain.base.database import require_transaction, transaction, tx
from domain.base.sql import Row, Sql

R = TypeVar("R", bound=Row)


@asynccontextmanager
async def snapshot() -> AsyncIterator[None]:
    """As `tx`, but all statements of the block read the database as it is at the first of them, and none can write.

    Each statement has its own time-out; the block may last. It keeps one of the process's connections, and the server
    from clearing away what was deleted since. Raises RuntimeError inside a transaction; Unavailable; Timeout.
    """
    if transaction() is not None:
        raise RuntimeError("a snapshot came inside a transaction, which has one already")
    async with tx() as opened:
        await opened.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


async def in_steps(statement: Sql, row: type[R], *, most: int) -> AsyncIterator[list[R]]:
    """The statement's rows, at most `most` at a time: the server keeps the place, and nobody ever holds them all.

    Raises RuntimeError outside a transaction.
    """
    text, values = statement.render()
    cursor = await require_transaction().connection.cursor(text, *values, record_class=row)
    while rows := await cursor.fetch(most):
        yield rows
