"""The states of an invitation, and the one table of moves between them. No rows here."""

from datetime import datetime
from enum import StrEnum

from domain.base.errors import TransitionNotAllowed


class Status(StrEnum):
    """Where an invitation stands."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


MOVES: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (Status.ACCEPTED, Status.DECLINED, Status.EXPIRED, Status.REVOKED),
    Status.ACCEPTED: (),
    Status.DECLINED: (),
    Status.EXPIRED: (),
    Status.REVOKED: (),
}
"""Every move that there is."""


def standing(status: Status, expires_at: datetime, at: datetime) -> Status:
    """The state at a moment: one whose time is over has expired, also before that is written down."""
    return Status.EXPIRED if status is Status.PENDING and expires_at <= at else status


def check_move(source: Status, target: Status, *path: str) -> None:
    """Raises TransitionNotAllowed (`path`) for a move that is not in the table."""
    if target not in MOVES[source]:
        raise _refusal(source, target, *path)


def check_pending(source: Status, *path: str) -> None:
    """Raises TransitionNotAllowed (`path`) unless it waits for an answer: what is mailed anew stays in its state."""
    if source is not Status.PENDING:
        raise _refusal(source, Status.PENDING, *path)


def _refusal(source: Status, target: Status, *path: str) -> TransitionNotAllowed:
    return TransitionNotAllowed(source.value, target.value, [each.value for each in MOVES[source]], *path)
