"""Steps that a process takes again and again for as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from domain.base.errors import RequestError

_log = structlog.get_logger("endless")


async def endlessly(step: Callable[[], Awaitable[None]], *, again_after_s: float, again_at_most_s: float) -> None:
    """Take the step without end, until cancelled.

    One that fails is told of and taken again after `again_after_s`, then after twice as long each time, up to
    `again_at_most_s`.
    """
    task, wait_s = asyncio.current_task(), again_after_s
    while True:
        try:
            await step()
            wait_s = again_after_s
        except (Exception, asyncio.CancelledError) as fault:
            # A library's own cancellation that gets out is a fault like others.
            if task is not None and task.cancelling():
                raise
            expected = isinstance(fault, RequestError)
            _log.warning("a step failed", step=step.__qualname__, exc_info=None if expected else fault)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, again_at_most_s)
        heed_cancellation()


def heed_cancellation() -> None:
    """Raise CancelledError where this task was asked to end and has not heard of it.

    Python 3.11's wait_for, by which redis-py sends, keeps a cancellation to itself when what it waits for is done.
    Source: https://github.com/python/cpython/issues/86296
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
