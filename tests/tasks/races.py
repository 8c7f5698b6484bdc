"""Two changes at one moment: one is done but not committed, and the other has come as far as it can beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from domain.base.actor import Actor
from domain.base.database import tx
from tests.factories import Person, rows

PATIENCE_S = 10


@asynccontextmanager
async def uncommitted(person: Person, change: Callable[[Actor], Awaitable[Any]]) -> AsyncIterator[None]:
    """Inside the block the person's change is done, but not committed; behind it, it is."""
    done, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with person.acting() as actor, tx():
            await change(actor)
            done.set()
            await leave.wait()

    # A task of its own, so that what the block starts does not join the transaction.
    holder = asyncio.create_task(hold())
    signal = asyncio.create_task(done.wait())
    await asyncio.wait((holder, signal), return_when=asyncio.FIRST_COMPLETED)
    signal.cancel()
    try:
        yield
    finally:
        leave.set()
        await holder


async def waiting(work: Awaitable[Any], *, others: int = 0) -> "asyncio.Task[Any]":
    """The work, started, once it waits for a lock, besides `others` that do so already, or is done."""

    async def run() -> Any:
        return await work

    task = asyncio.create_task(run())
    async with asyncio.timeout(PATIENCE_S):
        while not task.done():
            (found,) = await rows("SELECT count(DISTINCT pid) AS n FROM pg_locks WHERE NOT granted")
            if found["n"] > others:
                break
    return task
