"""What a search looks among."""

from dataclasses import dataclass
from uuid import UUID

from domain.search.models import Subject


@dataclass(frozen=True)
class Scope:
    """Things of these kinds, of one organization or one of its projects. None that is put away is among them."""

    org_id: UUID
    kinds: tuple[Subject, ...]
    project_id: UUID | None = None
