"""Pages of rows as JSON and back, by the types that the rows' columns are declared with."""

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from types import NoneType
from typing import Any, ClassVar, get_args
from uuid import UUID

from domain.base.paging import KeyKind, Page, PageRequest, plain
from domain.base.reads import KEYS, Columns
from domain.base.sql import Row

# What makes a value of what JSON holds; None for what JSON holds itself.
_READERS: dict[type, Callable[[Any], Any] | None] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    str: None,
    int: None,
    bool: None,
}
_KINDS: dict[KeyKind, type] = {
    KeyKind.TEXT: str,
    KeyKind.NUMBER: int,
    KeyKind.UUID: UUID,
    KeyKind.INSTANT: datetime,
    KeyKind.DAY: date,
}


class CachedRow:
    """A row that was read once and kept since, with the columns that were asked for. A subclass names its class."""

    row: ClassVar[type[Row]]

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)

    def __getitem__(self, column: str) -> Any:
        return self.__dict__[column]


def encode_page(page: Page[Any], columns: Columns) -> Any:
    """What JSON can hold of a page whose rows were read with the columns."""
    names = _names(columns, page.request)
    return [page.more, *([plain(row[name]) for name in names] for row in page.rows)]


def decode_page(told: Any, row: Any, columns: Columns, asked: PageRequest) -> Page[Any]:
    """The page of rows of that class again. Raises ValueError, TypeError or LookupError for what is none."""
    more, *rows = told
    made, of_columns = _cached_class(row), readers(row)
    of_keys = {f"key_{number}": _READERS[_KINDS[key.kind]] for number, key in enumerate(asked.order.keys)}
    named = [(name, of_columns[name] if name in of_columns else of_keys[name]) for name in _names(columns, asked)]

    def row_of(values: list[Any]) -> CachedRow:
        pairs = zip(named, values, strict=True)
        return made({name: value if value is None or read is None else read(value) for (name, read), value in pairs})

    return Page[Any]([row_of(values) for values in rows], asked, more)


def _names(columns: Columns, asked: PageRequest) -> list[str]:
    keys = [f"key_{number}" for number in range(len(asked.order.keys))] if KEYS in columns else []
    return [*(name for name in columns if name != KEYS), *keys]


# A class is Any here, for mypy does not know that this one can be hashed.
@cache
def readers(row: Any) -> dict[str, Callable[[Any], Any] | None]:
    """What makes the values of each column of the row. Raises KeyError for a column whose type is not known here."""
    return {name: _READERS[_type_of(declared)] for name, declared in row.__annotations__.items()}


def _type_of(declared: Any) -> type:
    """The type but for None."""
    found: type = next(each for each in get_args(declared) or (declared,) if each is not NoneType)
    return found


@cache
def _cached_class(row: Any) -> type[CachedRow]:
    return type(f"Cached{row.__name__}", (CachedRow,), {"row": row})
