"""Reports: files of numbers about an organization or one of its projects, made as jobs."""

from datetime import date

import strawberry

from domain.reports import service
from domain.reports.definitions import MOST_DAYS, ReportFormat, ReportKind
from graph.base.context import Info
from graph.base.errors import mutation
from graph.base.fields import changes, optional, required
from graph.work import Job, JobPayload

strawberry.enum(
    ReportKind,
    description="What a report tells: how things stand; how much is done, and how long it takes; who has what to do.",
)
strawberry.enum(ReportFormat, description="PDF is for people and shows the first 2,000 tasks, CSV has all rows.")


@strawberry.input
class ReportCreateInput:
    """Which report to make. Its days are those of the viewer's time zone, the first and the last included."""

    organization_id: strawberry.ID = required("Whose tasks it is about.")
    kind: ReportKind = required("What it tells.")
    format: ReportFormat = required("What file it is.")
    from_: date = strawberry.field(name="from", description="The first day.")
    to: date = required(f"The last day; with the first it makes {MOST_DAYS} days at most.")
    project_id: strawberry.ID | None = optional("Only the tasks of this project, archived or not.")


@strawberry.type
class ReportMutations:
    """Reports asked for."""

    @mutation
    async def report_create(self, info: Info, input: ReportCreateInput) -> JobPayload | None:
        """Have a report made. Needs REPORT_CREATE; it tells of what the viewer may see when it is made."""
        given = changes(input, ids={"organization_id": "organization", "project_id": "project"})
        job = await service.create(
            info.context.actor,
            given["organization_id"],
            project_id=given.get("project_id"),
            kind=input.kind,
            format=input.format,
            first=input.from_,
            last=input.to,
        )
        return JobPayload(job=Job.of(job))
