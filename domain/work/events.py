"""What happens to jobs."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from domain.events.log import Change, Event, reference
from domain.work.models import JobKind


@dataclass(frozen=True, kw_only=True)
class JobFinished(Event):
    """A job has ended, one way or another. It is told as a deed of its owner, since nobody else sees it.

    `asked_by_id` is the person; a key has none.
    """

    type: ClassVar = "JOB_FINISHED"
    subject: ClassVar = "job"
    kind: JobKind
    status: Change
    asked_by_id: UUID | None = reference("user", default=None)
