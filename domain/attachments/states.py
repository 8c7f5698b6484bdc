"""The states of an attachment, and the one table of moves between them. No rows here."""

from datetime import datetime, timedelta
from enum import StrEnum

from domain.base.errors import TransitionNotAllowed

UPLOAD_WITHIN = timedelta(hours=24)
"""How long an upload may stay unfinished, and how long it holds its room."""

REJECTED_KEPT_FOR = timedelta(days=7)
"""How long people can read why their file was rejected."""


class Status(StrEnum):
    """Where an attachment stands."""

    REQUESTED = "REQUESTED"
    READY = "READY"
    REJECTED = "REJECTED"


MOVES: dict[Status, tuple[Status, ...]] = {
    Status.REQUESTED: (Status.READY, Status.REJECTED),
    Status.READY: (),
    Status.REJECTED: (),
}
"""Every move that there is."""


def check_move(source: Status, target: Status, *path: str) -> None:
    """Raises TransitionNotAllowed (`path`) for a move that is not in the table."""
    if target not in MOVES[source]:
        raise TransitionNotAllowed(source.value, target.value, [each.value for each in MOVES[source]], *path)


def is_overdue(status: Status, created_at: datetime, at: datetime) -> bool:
    """Whether its upload was not finished in time, also before that is written down."""
    return status is Status.REQUESTED and created_at + UPLOAD_WITHIN <= at
