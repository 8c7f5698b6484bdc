"""Positions in an organization's log as clients hold them: opaque, signed for the organization, good for some time.

A cursor names an event's number and the day it was given out. Its age counts from that day, so whoever reads on keeps
it young, and the oldest events can be read whatever their age.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import UTC, datetime
from uuid import UUID

from domain.base.clock import now
from domain.base.errors import BadInput, ResyncRequired
from domain.base.settings import Settings

# Number of the event, and the day in days since 1970: by the day, so that an event has one cursor all day long.
_POSITION = struct.Struct(">QI")
# 128 bits: nobody finds a signature by trying.
_SIGNATURE_BYTES = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _today() -> int:
    return (now() - _EPOCH).days


def _signature(settings: Settings, org_id: UUID, position: bytes) -> bytes:
    signed = b"event cursor " + org_id.bytes + position
    return hmac.new(settings.secret_key.encode(), signed, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def write(settings: Settings, org_id: UUID, seq: int) -> str:
    """The cursor of the place right behind the event with this number; 0 is the beginning of the log."""
    position = _POSITION.pack(seq, _today())
    return base64.urlsafe_b64encode(position + _signature(settings, org_id, position)).decode().rstrip("=")


def read(settings: Settings, org_id: UUID, cursor: str, name: str = "after") -> int:
    """The number of the event that the cursor stands behind.

    Raises BadInput (`name`) for what this organization's log did not give out; ResyncRequired for a cursor that was
    given out more than `event_cursor_days` days ago.
    """
    try:
        decoded = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", True)
    except (ValueError, binascii.Error):
        decoded = b""
    position, signature = decoded[: _POSITION.size], decoded[_POSITION.size :]
    if not hmac.compare_digest(signature, _signature(settings, org_id, position)):
        raise BadInput(f"`{name}` is not a cursor of this organization's log.", path=[name])
    seq, day = _POSITION.unpack(position)
    if _today() - day > settings.event_cursor_days:
        raise ResyncRequired(f"The cursor is older than {settings.event_cursor_days} days.")
    return int(seq)
