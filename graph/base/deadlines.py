"""Deadlines for what happens thousands of times a second: as asyncio.timeout, without a timer for each.

One timer looks at all that run, twice a second, so a deadline is kept to half a second.
"""

import asyncio
from types import TracebackType

LOOK_EVERY_S = 0.5


class Deadlines:
    """Blocks that must not take longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def one(self) -> "Deadline":
        """A deadline from now on: `with deadlines.one():` raises TimeoutError where the block took too long."""
        return Deadline(self)

    def begin(self, deadline: "Deadline") -> None:
        """Watch it."""
        self._running.add(deadline)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def end(self, deadline: "Deadline") -> None:
        """Watch it no more."""
        self._running.discard(deadline)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in [each for each in self._running if each.at <= now]:
            self._running.discard(deadline)
            deadline.expire()
        self._timer = loop.call_later(LOOK_EVERY_S, self._look) if self._running else None


class Deadline:
    """One block of one task."""

    __slots__ = ("_cancelling", "_has_expired", "_of", "_task", "at")

    def __init__(self, of: Deadlines) -> None:
        self._of = of
        self._has_expired = False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is kept by a task")
        self._task = task
        self._cancelling = task.cancelling()
        self.at = asyncio.get_running_loop().time() + self._of.seconds
        self._of.begin(self)
        return self

    def expire(self) -> None:
        """End the block, which waits for something."""
        self._has_expired = True
        self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._of.end(self)
        # Where others have cancelled the task as well, their word counts.
        if self._has_expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from fault
