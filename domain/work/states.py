"""The states of a job, and the one table of moves between them. No rows here."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


S = JobStatus

MOVES: dict[JobStatus, tuple[JobStatus, ...]] = {
    S.QUEUED: (S.RUNNING, S.FAILED, S.CANCELED),
    S.RUNNING: (S.SUCCEEDED, S.FAILED, S.CANCELED),
    S.SUCCEEDED: (),
    S.FAILED: (),
    S.CANCELED: (),
}
"""Every move that there is. A job that is begun anew stays RUNNING."""

OPEN = tuple(status for status, targets in MOVES.items() if targets)
"""Those that a job does not stay in."""


def sources(target: JobStatus) -> list[JobStatus]:
    """The states from which a job may come to this one."""
    return [source for source, targets in MOVES.items() if target in targets]
