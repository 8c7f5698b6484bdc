"""The whole data of an organization, made into one file by a job."""

import strawberry

from domain.exports import service as exports
from graph.base.context import Info
from graph.base.errors import mutation
from graph.base.ids import parse_id
from graph.work import Job, JobPayload


@strawberry.type
class ExportMutations:
    """Asking for archives."""

    @mutation
    async def organization_export(self, info: Info, organization_id: strawberry.ID) -> JobPayload | None:
        """Put the organization's data and files into one archive. Needs ORG_UPDATE.

        JSON Lines of each kind of thing as of one moment, the files, and a manifest with counts and digests. What the
        viewer may not see is left out. At most 10 open jobs a person and organization.
        """
        org_id = parse_id(organization_id, "organization", "organizationId")
        return JobPayload(job=Job.of(await exports.ask(info.context.actor, org_id)))
