"""Cron: begins each period of each line of the schedule once, over all workers and restarts.

One process leads, and looks at the clock; the others wait for the lead. A period begins with a row that is unique for
its line and start, in the transaction that makes its deliveries: who leads only saves the others the asking. From there
on a tick is a job like others, tried again when it fails. A leader that dies loses its connection and so the lead; who
leads next begins the period that runs, if nobody has.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from domain.base.clock import now
from domain.base.endless import endlessly
from domain.base.errors import RequestError
from domain.base.leadership import leading
from domain.base.settings import Settings
from domain.deliveries import ticks
from jobs.schedule import Line

LOOK_EVERY_S = 1.0
# Any constant does, as long as every process takes the same one.
LOCK = 5_021_998_010
AGAIN_AFTER_S, AGAIN_AT_MOST_S = 0.5, 5.0

_log = structlog.get_logger("cron")


class Cron:
    """One of any number that wait for the lead. `wake` is called when deliveries were made."""

    def __init__(self, lines: Sequence[Line], settings: Settings, wake: Callable[[], None]) -> None:
        self._lines = lines
        self._settings = settings
        self._wake = wake
        # What was begun is not asked of the database again.
        self._begun: dict[str, datetime] = {}

    async def run(self) -> None:
        """Lead, or wait to, until cancelled."""
        await endlessly(self._lead, again_after_s=AGAIN_AFTER_S, again_at_most_s=AGAIN_AT_MOST_S)

    async def _lead(self) -> None:
        async with leading(self._settings, LOCK) as lead:
            _log.info("leads cron")
            while await lead.lasts():
                for line in self._lines:
                    try:
                        await self._begin(line, now())
                    except Exception as fault:
                        # The others do not wait for it, and it comes again with the next look.
                        told = None if isinstance(fault, RequestError) else fault
                        _log.error("a period cannot begin", line=line.handler.name, exc_info=told)
                await asyncio.sleep(LOOK_EVERY_S)
        _log.warning("has lost the lead of cron")

    async def _begin(self, line: Line, at: datetime) -> None:
        name, period_start = line.handler.name, line.period_start(at)
        if self._begun.get(name) == period_start:
            return
        if await ticks.begin(name, period_start, name, line.statement):
            _log.info("a tick", line=name, period_start=period_start.isoformat())
            self._wake()
        self._begun[name] = period_start
