"""What an event says changed: its data and its erasable values, read by the declarations of its class."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from domain.base.ids import global_id
from domain.events.log import CLASSES, fields_of
from domain.events.queries import EventRow

_BEGINNINGS = ("_CREATED",)
_ENDS = ("_DELETED", "_REVOKED")


@dataclass(frozen=True)
class FieldChange:
    """One field before and after; both None where they were erased. `reference`: the kind of the ids it holds."""

    name: str
    before: Any
    after: Any
    reference: str | None = None

    def shown(self, value: Any) -> Any:
        """One of its values as clients have it elsewhere: ids are global, instants are texts."""
        if isinstance(value, list):
            return [self.shown(item) for item in value]
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        return global_id(self.reference, UUID(value)) if self.reference and value is not None else value


def of_event(row: EventRow) -> list[FieldChange]:
    """The fields of the event in the order of their declaration.

    A value that is no Change stood before an end, stands after a beginning, and both before and after anything else.
    Instants are datetimes, ids are texts. Needs the columns type, data and erasable.
    """
    data, apart = orjson.loads(row.data), orjson.loads(row.erasable or "{}")
    found = []
    for item in fields_of(CLASSES[row.type]):
        if item.name not in data and item.name not in apart:
            continue
        value, declared = apart.get(item.name, data.get(item.name)), item.metadata
        if isinstance(value, dict):
            before, after = value["was"], value["now"]
        else:
            ends = row.type.endswith(_ENDS) and not declared.get("after")
            before = None if row.type.endswith(_BEGINNINGS) or declared.get("after") else value
            after = None if ends else value
        found.append(FieldChange(item.name, _told(before, declared), _told(after, declared), declared.get("reference")))
    return found


def _told(value: Any, declared: Any) -> Any:
    return datetime.fromisoformat(value) if "instant" in declared and value is not None else value
