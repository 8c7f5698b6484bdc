"""Global ids: the type's name in lower snake case, an underscore, 32 hex digits."""

import re
from uuid import UUID

from domain.base.errors import BadInput
from domain.base.ids import global_id as global_id

_FORM = re.compile(r"([a-z]+(?:_[a-z]+)*)_([0-9a-f]{32})")
# No row has it, so an id of another type leads where an unknown one leads.
NOTHING = UUID(int=0)


def split_id(text: str, *path: str) -> tuple[str, UUID]:
    """Kind and UUID of a global id. Raises BadInput (`path`) for what does not have the form of one."""
    if match := _FORM.fullmatch(text):
        return match[1], UUID(match[2])
    raise BadInput(f"{text[:80]!r} is not an id.", path=list(path or ("id",)))


def parse_id(text: str, kind: str, *path: str) -> UUID:
    """The UUID of an id of this kind; one of another kind becomes the id of nothing. Raises BadInput (`path`)."""
    found, id = split_id(text, *path)
    return id if found == kind else NOTHING
