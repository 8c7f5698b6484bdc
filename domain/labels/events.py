"""What happens to labels."""

from dataclasses import dataclass
from typing import ClassVar

from domain.events.log import Change, Event, private


class _LabelEvent(Event):
    subject: ClassVar = "label"


@dataclass(frozen=True, kw_only=True)
class LabelCreated(_LabelEvent):
    """A label was added to the organization."""

    type: ClassVar = "LABEL_CREATED"
    name: str | None = private()
    color: str


@dataclass(frozen=True, kw_only=True)
class LabelUpdated(_LabelEvent):
    """A label was renamed, recolored or described anew."""

    type: ClassVar = "LABEL_UPDATED"
    name: Change | None = private()
    description: Change | None = private()
    color: Change | None = None


@dataclass(frozen=True, kw_only=True)
class LabelDeleted(_LabelEvent):
    """A label was removed, from its tasks too."""

    type: ClassVar = "LABEL_DELETED"
    name: str | None = private()
