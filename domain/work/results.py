"""What a job has left, as whoever asked for it gets it."""

from domain.adapters.storage import Storage, result_key
from domain.base.actor import Actor
from domain.base.clock import now
from domain.base.permissions import Permission
from domain.work.queries import JobRow

ADDRESS_S = 300
NEEDED = ("org_id", "claim", "permission", "result_filename", "result_type", "expires_at")
"""The columns of a job that its address is made of."""


async def address(actor: Actor, job: JobRow, storage: Storage, *, inline: bool) -> str | None:
    """Where the file can be had for five minutes; None when there is none, and without the permission of the job.

    Whose job it is has been asked when it was read; what they may do may have become less since they asked for it.
    Raises Unavailable.
    """
    claim, filename, content_type, expires_at = job.claim, job.result_filename, job.result_type, job.expires_at
    if claim is None or filename is None or content_type is None or expires_at is None or expires_at <= now():
        return None
    if Permission(job.permission) not in actor.permissions(job.org_id):
        return None
    return await storage.presign_get(
        result_key(job.org_id, claim),
        filename=filename,
        content_type=content_type,
        inline=inline,
        expires_s=ADDRESS_S,
    )
