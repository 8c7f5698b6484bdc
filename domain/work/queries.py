"""Reads of jobs. A job is seen by whoever has asked for it, while they are in its organization."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from domain.base.actor import Actor
from domain.base.database import fetch
from domain.base.paging import PageRequest, newest_first, request
from domain.base.permissions import Permission
from domain.base.reads import One, Pages, Table, for_actor, orgs_with
from domain.base.sql import Row, sql


class JobRow(Row):
    """A job. `arguments` is JSON text."""

    id: UUID
    org_id: UUID
    kind: str
    status: str
    progress: float
    message: str | None
    handler: str
    arguments: str
    asked_by_kind: str
    asked_by_id: UUID
    user_id: UUID
    permission: str
    attempts: int
    claim: UUID | None
    result_filename: str | None
    result_type: str | None
    result_size_bytes: int | None
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that it was asked for with."""
        found: dict[str, Any] = orjson.loads(self.arguments)
        return found


JOBS = Table("job", JobRow)
NEWEST_FIRST = newest_first("job")

visible = for_actor(
    "(job.asked_by_kind = {}::text AND job.asked_by_id = {}::uuid AND job.org_id = ANY({}::uuid[]))",
    lambda actor: actor.ref.kind.value,
    lambda actor: actor.ref.id,
    orgs_with(Permission.ORG_READ),
)
"""The caller's own, of the organizations that they are in today. What a key asked for is the key's, not its maker's."""

by_ids = One(JOBS, visible)
of_users = Pages(JOBS, visible, key="job.user_id")


def asked(*, first: int | None, after: str | None) -> PageRequest:
    """A page of somebody's jobs, the newest first. Raises BadInput for a size or a cursor that request() refuses."""
    return request(NEWEST_FIRST, first=first, after=after, scope="jobs")


async def versions_of(ids: Collection[UUID]) -> dict[UUID, int]:
    """Job -> a number that goes up with every change; one that is not there, or not the tenant's, is left out."""
    found = await fetch(sql("SELECT id, version FROM job WHERE id = ANY({}::uuid[])", list(ids)), Row)
    return {row["id"]: row["version"] for row in found}


async def claimed(actor: Actor, ids: Collection[UUID]) -> set[UUID]:
    """Those of the ids that a job of the actor's organizations names as its attempt, whose result is kept."""
    named = sql(
        "SELECT claim FROM job WHERE org_id = ANY({}::uuid[]) AND claim = ANY({}::uuid[])",
        *(list(actor.standings), list(ids)),
    )
    return {row["claim"] for row in await fetch(named, Row)}
