"""How columns of a row become fields of a line in an archive: named and written as the API has them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from domain.base.ids import global_id
from domain.base.sql import Row


@dataclass(frozen=True)
class Field:
    """One field of a line, and the columns that it is made of. `kind` is that of the ids it holds, if it holds any."""

    name: str
    columns: tuple[str, ...]
    of: Callable[[Row], Any]
    kind: str | None = None


def camel(name: str) -> str:
    """The name of a column as the API writes names."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def plain(*columns: str) -> tuple[Field, ...]:
    """Columns whose values are written as they are: texts, numbers, switches, days, and instants."""
    return tuple(Field(camel(column), (column,), lambda row, column=column: row[column]) for column in columns)  # type: ignore[misc]  # mypy takes the default for a second argument


def reference(column: str, kind: str) -> Field:
    """The id of a thing of this kind."""

    def written(row: Row) -> str | None:
        return None if row[column] is None else global_id(kind, row[column])

    return Field(camel(column), (column,), written, kind)


def doer(role: str) -> tuple[Field, Field]:
    """Who did it: USER, API_KEY or SYSTEM, and the id, which the system has none of."""
    kind, id = f"{role}_kind", f"{role}_id"

    def written(row: Row) -> str | None:
        return None if row[id] is None else global_id(row[kind].lower(), row[id])

    return Field(camel(kind), (kind,), lambda row: row[kind]), Field(camel(id), (kind, id), written)


def named(column: str, names: type[IntEnum]) -> Field:
    """The name of a value that is stored by its number."""
    return Field(camel(column), (column,), lambda row: names(row[column]).name)
