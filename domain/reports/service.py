"""Reports: asked for by whoever may, and made later as a job, with what they may see when it begins."""

from datetime import date
from pathlib import Path
from uuid import UUID

from domain.base.actor import Actor, ActorKind, ActorRef
from domain.base.database import acting_for
from domain.base.errors import NotFound
from domain.base.permissions import Permission
from domain.organizations import callers
from domain.projects import queries as projects
from domain.reports import files
from domain.reports.definitions import CONTENT_TYPES, Asked, Period, ReportFormat, ReportKind
from domain.work import service as work
from domain.work.models import JobKind
from domain.work.queries import JobRow
from domain.work.running import Progress, Result, file_chunks

HANDLER = "reports.make"


async def create(
    actor: Actor,
    org_id: UUID,
    *,
    project_id: UUID | None,
    kind: ReportKind,
    format: ReportFormat,
    first: date,
    last: date,
) -> JobRow:
    """Have a report made of the days from `first` to `last`, as the time zone of the person counts them; the job.

    Raises NotFound, also for a project of another organization; Forbidden (REPORT_CREATE); Invalid (from, to);
    LimitReached (open_jobs).
    """
    actor.require(Permission.REPORT_CREATE, org_id=org_id)
    asked = Asked(kind, format, Period(first, last, await files.time_zone(actor)), project_id)
    asked.check()
    if project_id is not None and (await projects.by_ids.get(actor, project_id)).org_id != org_id:
        raise NotFound(projects.PROJECTS.noun)
    return await work.ask(actor, org_id, JobKind.REPORT, Permission.REPORT_CREATE, HANDLER, asked.arguments())


async def make(job: JobRow, progress: Progress, *, folder: Path) -> Result:
    """Make the report that the job asks for, in the folder, with all that its owner may see by now.

    Raises NotFound and Forbidden where they may not any more; files.TooLarge; confined.Failed.
    """
    asked = Asked.of(job.given)
    actor = await callers.of_ref(ActorRef(ActorKind(job.asked_by_kind), job.asked_by_id), job.org_id)
    actor.require(Permission.REPORT_CREATE, org_id=job.org_id)
    with acting_for(actor.standings):
        path = await files.write(actor, job.org_id, asked, folder, progress.tell)
    return Result(asked.filename, CONTENT_TYPES[asked.format], file_chunks(path))
