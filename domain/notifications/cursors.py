"""Positions in an inbox as clients hold them: opaque, signed for the person whose inbox it is, good for ever.

What the clean-up has dropped behind one was read before, so whoever goes on from an old cursor misses nothing new.
"""

import struct
from uuid import UUID

from domain.base import signed_cursors
from domain.base.errors import BadInput
from domain.base.settings import Settings

_POSITION = struct.Struct(">Q")


def _whose(user_id: UUID) -> bytes:
    return b"inbox cursor " + user_id.bytes


def write(settings: Settings, user_id: UUID, seq: int) -> str:
    """The cursor of the place right behind the entry with this number."""
    return signed_cursors.write(settings, _whose(user_id), _POSITION.pack(seq))


def read(settings: Settings, user_id: UUID, cursor: str, name: str = "after") -> int:
    """The number of the entry that the cursor stands behind. Raises BadInput (`name`) for one of another inbox."""
    position = signed_cursors.read(settings, _whose(user_id), cursor)
    if position is None:
        raise BadInput(f"`{name}` is not a cursor of the viewer's inbox.", path=[name])
    (seq,) = _POSITION.unpack(position)
    return int(seq)
