"""Statements put together from pieces whose values are bound, never written into the text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import asyncpg


@dataclass(frozen=True)
class Bound:
    """A value that the server gets beside the text."""

    value: Any


@dataclass(frozen=True)
class Late:
    """Stands for a value of a statement that is put together once and run many times: found when it runs."""

    of: Callable[..., Any]


@dataclass(frozen=True)
class Sql:
    """A piece of SQL: text and bound values in turn."""

    parts: tuple[str | Bound, ...]

    def render(self) -> tuple[str, list[Any]]:
        """The text with $1, $2, ... and the values in that order.

        A value that is found late is bound once, however often it stands there.
        """
        text: list[str] = []
        values: list[Any] = []
        late: dict[int, int] = {}
        for part in self.parts:
            if not isinstance(part, Bound):
                text.append(part)
                continue
            number = late.get(id(part.value))
            if number is None:
                values.append(part.value)
                number = len(values)
                if isinstance(part.value, Late):
                    late[id(part.value)] = number
            text.append(f"${number}")
        return "".join(text), values


def sql(text: str, *arguments: Any) -> Sql:
    """A piece in which each `{}` stands for the next argument: another piece is put in its place, a value is bound.

    `text` is always written in this project's code; nothing of a caller's goes into it.
    """
    pieces = text.split("{}")
    if len(pieces) != len(arguments) + 1:
        raise ValueError(f"{len(pieces) - 1} places for {len(arguments)} arguments: {text}")
    parts: list[str | Bound] = [pieces[0]]
    for argument, piece in zip(arguments, pieces[1:], strict=True):
        parts.extend(argument.parts if isinstance(argument, Sql) else (Bound(argument),))
        parts.append(piece)
    return Sql(tuple(parts))


TRUE = sql("TRUE")
FALSE = sql("FALSE")


def joined(separator: str, pieces: Iterable[Sql]) -> Sql:
    """The pieces with `separator` between them."""
    parts: list[str | Bound] = []
    for piece in pieces:
        if parts:
            parts.append(separator)
        parts.extend(piece.parts)
    return Sql(tuple(parts))


def all_of(pieces: Sequence[Sql]) -> Sql:
    """Holds when every piece holds."""
    return sql("({})", joined(" AND ", pieces)) if pieces else TRUE


def any_of(pieces: Sequence[Sql]) -> Sql:
    """Holds when at least one piece holds."""
    return sql("({})", joined(" OR ", pieces)) if pieces else FALSE


def like_escaped(text: str) -> str:
    """The text with the characters escaped that LIKE reads as its own."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class Row(asyncpg.Record):
    """A light row with just the columns that were asked for, read as attributes.

    A subclass names its table's columns with their types; a column that was not asked for raises AttributeError.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} was read without {name}") from None


class Part:
    """A row of another table that came along with a row, its columns named with a prefix. A subclass names its class.

    It has only `columns` of that class; others raise AttributeError.
    """

    row: ClassVar[type[Row]]

    def __init__(self, whole: Row, prefix: str, columns: Sequence[str]) -> None:
        self._whole = whole
        self._prefix = prefix
        self._columns = columns

    def has(self, columns: Iterable[str]) -> bool:
        """Whether all of these came along."""
        return all(name in self._columns for name in columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, self._prefix + name)
