"""The worker: takes deliveries from the queue, and has their handlers do them.

For each: claim the row; perform; note what became of it; acknowledge. What fails is tried again after a pause that
grows, and is dead after TRIES attempts, or at once when its handler gives up. A handler that runs past its time-out has
failed. What else happens:
- it may take long, and half of this worker's places are taken by such: it is given back, and comes again soon.
- the row is somebody else's, has ended, or is not due: nothing is done; rows are queued again when their time comes.
- the process dies: the attempt was counted. The lease of an outside handler, or the lock of one of ours, ends, and the
  entry passes to another worker by then. One whose handler kills each of its workers is dead after TRIES of them.
- the row cannot be written because the database is away: the entry is not acknowledged, and comes again.
- the process is asked to end: what runs has time to finish; what has not by then is given back as if never taken.
- a lease is lost, because this process was stopped or the database could not be asked for long: the handler is
  cancelled, since another worker may have begun.
"""

import asyncio
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import structlog
from taskiq import Context, TaskiqDepends

from domain.adapters.wiring import Adapters
from domain.base import telemetry
from domain.base.endless import endlessly
from domain.base.errors import RequestError
from domain.deliveries import claims
from domain.deliveries.claims import TRIES, Claim, Gone
from jobs.broker import TASK, StreamBroker, StreamReceiver
from jobs.handlers import AnyHandler, GivenUp

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
# 5 s, 15 s, 45 s ... the eighth attempt comes about an hour after the first.
PAUSE_GROWTH = 3
# Of one that may take long, where there is no place for it.
LONG_PAUSE = timedelta(seconds=2)
KEEP_EVERY_S = 0.7
RELEASE_WITHIN_S = 3.0
AGAIN_AFTER_S, AGAIN_AT_MOST_S = 0.1, 1.0

_log = structlog.get_logger("worker")


def pause_after(attempt: int) -> timedelta:
    """How long to wait after so many attempts; somewhat random, so that what failed together does not come together."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * float(PAUSE_GROWTH ** (attempt - 1)))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # no secret


class Worker:
    """Runs at most `concurrency` deliveries at a time."""

    def __init__(
        self, handlers: Mapping[str, AnyHandler], adapters: Adapters, broker: StreamBroker, concurrency: int
    ) -> None:
        self._handlers = handlers
        self._adapters = adapters
        self._broker = broker
        self._concurrency = concurrency
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._outside: set[asyncio.Task[None]] = set()
        broker.is_worker_process = True

        async def deliver(delivery_id: UUID, org_id: UUID | None, context: Annotated[Context, TaskiqDepends()]) -> None:
            try:
                await self._deliver(delivery_id, org_id)
                await context.ack()
            except RequestError as fault:
                # The entry comes again, and whoever gets it looks at the row.
                _log.warning("an entry is not acknowledged", code=fault.code)

        # Taskiq renames what it registers, which a method does not bear.
        broker.register_task(deliver, task_name=TASK)

    async def run(self, ending: asyncio.Event, finish_within_s: float) -> None:
        """Work until `ending` is set; then finish what runs, and give back what takes longer."""
        with ThreadPoolExecutor(max_workers=1) as executor:
            receiver = StreamReceiver(
                self._broker,
                executor=executor,
                max_async_tasks=self._concurrency,
                run_startup=False,
                wait_tasks_timeout=finish_within_s,
            )
            keeping = [
                asyncio.create_task(endlessly(step, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S))
                for step in (self._keep_leases, self._broker.beat)
            ]
            try:
                await receiver.listen(ending)
            finally:
                await self._end_running()
                for task in keeping:
                    task.cancel()
                await asyncio.wait(keeping)

    async def _deliver(self, delivery_id: UUID, org_id: UUID | None) -> None:
        """Do one delivery. Nothing but a cancellation, or a database that is away, gets out of here."""
        claim = await claims.claim(delivery_id, org_id)
        if claim is not None and self._is_long(claim) and self._has_no_place_for_long():
            await claims.release(claim, LONG_PAUSE)
        elif claim is not None:
            told = telemetry.about.set({"job_id": claim.id, "handler": claim.handler, "attempt": claim.attempt})
            try:
                await self._attempt(claim)
            finally:
                telemetry.about.reset(told)

    def _is_long(self, claim: Claim) -> bool:
        handler = self._handlers.get(claim.handler)
        return handler is not None and handler.is_long

    def _has_no_place_for_long(self) -> bool:
        return sum(map(self._is_long, self._running.values())) >= max(1, self._concurrency // 2)

    async def _attempt(self, claim: Claim) -> None:
        # A task of its own: Taskiq would take a cancellation for the job's own failure.
        running = asyncio.create_task(self._perform(claim))
        self._running[running] = claim
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            if not running.done():
                running.cancel()
            raise
        finally:
            self._running.pop(running, None)

    async def _perform(self, claim: Claim) -> None:
        handler, task = self._handlers.get(claim.handler), asyncio.current_task()
        try:
            if claim.attempt > TRIES:
                raise GivenUp("its worker ended in each attempt")
            if handler is None:
                raise LookupError("no such handler in this version")
            if handler.is_outside and task is not None:
                self._outside.add(task)
            async with asyncio.timeout(handler.timeout_s):
                await handler.perform(claim, self._adapters)
        except Gone:
            _log.info("a job was somebody else's")
        except Exception as fault:
            await self._failed(claim, fault)
        finally:
            if task is not None:
                self._outside.discard(task)

    async def _failed(self, claim: Claim, fault: Exception) -> None:
        if isinstance(fault, GivenUp) or claim.attempt >= TRIES:
            _log.error("a job is dead", exc_info=fault)
            telemetry.DEAD_JOBS.labels(claim.handler).inc()
            await claims.bury(claim, fault)
        else:
            _log.warning("a job failed", exc_info=fault)
            await claims.put_off(claim, pause_after(claim.attempt), fault)

    async def _keep_leases(self) -> None:
        """Put off the ends of the leases, and cancel what has lost its own."""
        await asyncio.sleep(KEEP_EVERY_S)
        running = dict(self._running)
        if running:
            kept = await claims.keep(running.values())
            for task, claim in running.items():
                # The others find out by themselves, when they lock their row.
                if claim.token not in kept and task in self._outside:
                    task.cancel()

    async def _end_running(self) -> None:
        """Cancel what still runs, and give it back."""
        left = dict(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=RELEASE_WITHIN_S)
        # Where this fails the leases end by themselves.
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await asyncio.gather(*map(claims.release, left.values()), return_exceptions=True)
