"""Steps without end: what fails is taken again, and a cancellation ends them whatever a library makes of it."""

import asyncio
from contextlib import suppress

import pytest

from domain.base.endless import endlessly


@pytest.mark.parametrize("fault", [ValueError, asyncio.CancelledError], ids=["its own", "a library's cancellation"])
async def test_a_step_that_fails_is_taken_again(fault: type[BaseException]) -> None:
    taken = asyncio.Semaphore(0)

    async def step() -> None:
        taken.release()
        raise fault

    task = asyncio.create_task(endlessly(step, again_after_s=0.0, again_at_most_s=0.0))
    for _ in range(3):
        await taken.acquire()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_a_library_keeps_to_itself_ends_it() -> None:
    begun = asyncio.Event()

    async def step() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = asyncio.create_task(endlessly(step, again_after_s=0.0, again_at_most_s=0.0))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
