"""Pictures are drawn."""

from functools import partial
from uuid import UUID

from domain.adapters.wiring import Adapters
from domain.ai import images
from domain.base.actor import Actor
from domain.work import running
from jobs.handlers import row_handler


@row_handler(images.HANDLER, timeout_s=images.LONGEST_S + 60, is_long=True)
async def draw(_actor: Actor, job_id: UUID, adapters: Adapters, _delivery_id: UUID) -> None:
    """Draw the picture, and leave it in storage."""
    does = partial(images.draw, model=adapters.language_model)
    await running.perform(job_id, adapters.storage, does, longest_s=images.LONGEST_S)
