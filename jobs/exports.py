"""Exports are made."""

from functools import partial
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.base.actor import Actor
from domain.exports import service as exports
from domain.work import running
from jobs.handlers import row_handler

# Gigabytes of files go through one process.
_LONGEST_S = 4 * 3600.0


@row_handler(exports.HANDLER, timeout_s=_LONGEST_S + 60, is_long=True)
async def make(_actor: Actor, job_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """Make the archive and keep it for whoever asked."""
    does = partial(exports.make, storage=adapters.storage)
    await running.perform(job_id, adapters.storage, does, longest_s=_LONGEST_S)
