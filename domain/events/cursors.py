"""Positions in an organization's log as clients hold them: opaque, signed for the organization, good for some time.

A cursor names an event's number and the day it was given out. Its age counts from that day, so whoever reads on keeps
it young, and the oldest events can be read whatever their age.
"""

import struct
from datetime import UTC, datetime
from uuid import UUID

from domain.base import signed_cursors
from domain.base.clock import now
from domain.base.errors import BadInput, ResyncRequired
from domain.base.settings import Settings

# Number of the event, and the day in days since 1970: by the day, so that an event has one cursor all day long.
_POSITION = struct.Struct(">QI")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _today() -> int:
    return (now() - _EPOCH).days


def _whose(org_id: UUID) -> bytes:
    return b"event cursor " + org_id.bytes


def write(settings: Settings, org_id: UUID, seq: int) -> str:
    """The cursor of the place right behind the event with this number; 0 is the beginning of the log."""
    return signed_cursors.write(settings, _whose(org_id), _POSITION.pack(seq, _today()))


def read(settings: Settings, org_id: UUID, cursor: str, name: str = "after") -> int:
    """The number of the event that the cursor stands behind.

    Raises BadInput (`name`) for what this organization's log did not give out; ResyncRequired for a cursor that was
    given out more than `event_cursor_days` days ago.
    """
    position = signed_cursors.read(settings, _whose(org_id), cursor)
    if position is None:
        raise BadInput(f"`{name}` is not a cursor of this organization's log.", path=[name])
    seq, day = _POSITION.unpack(position)
    if _today() - day > settings.event_cursor_days:
        raise ResyncRequired(f"The cursor is older than {settings.event_cursor_days} days.")
    return int(seq)
