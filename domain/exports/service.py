"""Exports: the whole data of an organization as one file, made by a job of whoever asked for it."""

from uuid import UUID

from domain.adapters.storage import Storage
from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.clock import now
from domain.base.permissions import Permission
from domain.exports.archive import zipped
from domain.exports.contents import Contents
from domain.organizations import callers
from domain.organizations import queries as organizations
from domain.work import service as work
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.running import Progress, Result

HANDLER = "exports.make"


async def ask(actor: Actor, org_id: UUID) -> JobRow:
    """Have an archive of the organization made; the job. Raises NotFound; Forbidden (ORG_UPDATE); LimitReached."""
    return await work.ask(actor, org_id, JobKind.EXPORT, Permission.ORG_UPDATE, HANDLER, {})


async def make(job: JobRow, progress: Progress, *, storage: Storage) -> Result:
    """The archive, which is made as it is read: it holds what whoever asked may see of the organization today.

    Raises NotFound when they have left it; Forbidden (ORG_UPDATE).
    """
    actor = await callers.of_ref(ActorRef(ActorKind(job.asked_by_kind), job.asked_by_id), job.org_id)
    actor.require(Permission.ORG_UPDATE, org_id=job.org_id)
    organization = await organizations.by_ids.get(actor, job.org_id)
    contents, at = Contents(actor, job.org_id, storage, progress.tell), now()
    return Result(f"{organization.slug}-{at:%Y-%m-%d}.zip", "application/zip", zipped(contents.fill, at))
