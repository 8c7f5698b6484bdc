"""Reports: made when somebody has asked for one."""

from functools import partial
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.base.scratch import scratch
from domain.reports import service
from domain.work import running
from jobs.handlers import row_handler


@row_handler(service.HANDLER, timeout_s=running.HANDLER_TIMEOUT_S, is_long=True)
async def make(_actor: Actor, job_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """Make the report, and leave it in storage."""
    # It lasts until the file has been taken from it.
    with scratch() as folder:
        await running.perform(job_id, adapters.storage, partial(service.make, folder=folder))
