"""The upkeep of jobs that people watch. What is done for one stands with its feature."""

from datetime import datetime
from uuid import UUID

import structlog

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.work import upkeep
from jobs.handlers import organization_tick, outside_tick

_log = structlog.get_logger("work")


@organization_tick("work.end_abandoned")
async def end_abandoned(actor: Actor, _at: datetime) -> None:
    """End jobs that nobody will do."""
    if ended := await upkeep.end_abandoned(actor):
        _log.error("jobs were abandoned", count=ended)


@outside_tick("work.clean", timeout_s=600.0)
async def clean(actor: Actor, at: datetime, adapters: Adapters, _job_id: UUID) -> None:
    """Remove files and jobs that have served their time."""
    files, jobs = await upkeep.clean(actor, at, adapters.storage)
    _log.info("cleaned jobs", files=files, jobs=jobs)
