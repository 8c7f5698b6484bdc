"""Keyset pages: an order, a place in it, and the page that follows or precedes that place.

A cursor holds the values of the order's keys at one row, and a digest of the order and filter it was made under, so
that one from another list is refused instead of misread.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from domain.base.errors import BadInput
from domain.base.sql import Bound, Row, Sql, all_of, any_of, joined, sql

R = TypeVar("R", bound=Row)

MOST_PER_PAGE = 100
# Of a filter, in characters, for what was made of it to be kept.
LONGEST_KEPT = 2_000
_LARGEST = 2**63 - 1


class KeyKind(Enum):
    """How a key's values are compared in the database and written into a cursor."""

    TEXT = "text"
    NUMBER = "bigint"
    UUID = "uuid"
    INSTANT = "timestamptz"
    DAY = "date"


@dataclass(frozen=True)
class Key:
    """One expression to sort by. Rows in which it is null come last, whichever the direction."""

    expression: str
    kind: KeyKind
    nullable: bool = False
    descending: bool = False

    def directed(self, descending: bool) -> "Key":
        """The same key, largest first or not."""
        return replace(self, descending=descending)

    def sort(self, backward: bool) -> str:
        """The pieces of ORDER BY, turned around for a backward page."""
        nulls = f"({self.expression}) IS NULL {'DESC' if backward else 'ASC'}, " if self.nullable else ""
        return f"{nulls}{self.expression} {'DESC' if self.descending != backward else 'ASC'}"

    def after(self, value: Any, backward: bool) -> Sql:
        """Holds for rows that come strictly after `value` in this key."""
        if value is None:
            return sql(f"({self.expression}) IS NOT NULL") if backward else sql("FALSE")
        sign = "<" if self.descending != backward else ">"
        beyond = sql(f"{self.expression} {sign} {{}}::{self.kind.value}", value)
        if self.nullable and not backward:
            return any_of([beyond, sql(f"({self.expression}) IS NULL")])
        return beyond

    def same(self, value: Any) -> Sql:
        """Holds for rows with this value in this key."""
        if value is None:
            return sql(f"({self.expression}) IS NULL")
        return sql(f"{self.expression} = {{}}::{self.kind.value}", value)


@dataclass(frozen=True)
class Order:
    """Keys to sort by, the last of which no two rows share. `join` is what the expressions need beside the table."""

    keys: tuple[Key, ...]
    join: str = ""

    def by(self, backward: bool = False) -> Sql:
        """The ORDER BY clause."""
        return self._clauses[backward]

    @cached_property
    def _clauses(self) -> tuple[Sql, Sql]:
        forward, backward = (", ".join(key.sort(turned) for key in self.keys) for turned in (False, True))
        return sql(f"ORDER BY {forward}"), sql(f"ORDER BY {backward}")

    def beyond(self, values: tuple[Any, ...], backward: bool) -> Sql:
        """Holds for rows beyond the place that `values` name."""
        # An index is entered at the place only by a comparison of rows. Steps alone would read it from its beginning.
        alike = self._alike()
        if alike == len(self.keys):
            return self._compared(values, alike, ">", backward)
        steps = self._stepwise(values, backward)
        return all_of([self._compared(values, alike, ">=", backward), steps]) if alike else steps

    def _alike(self) -> int:
        """How many of the first keys can be compared as one row: none is ever null, and all run one way."""
        # Columns of a joined table are in no index with the table's own; the first alone still narrows its table.
        candidates = self.keys[:1] if self.join else self.keys
        for count, key in enumerate(candidates):
            if key.nullable or key.descending != self.keys[0].descending:
                return count
        return len(candidates)

    def _compared(self, values: tuple[Any, ...], count: int, sign: str, backward: bool) -> Sql:
        """The first keys as a row against the place; `sign` as if they ascended."""
        if self.keys[0].descending != backward:
            sign = sign.replace(">", "<")
        keys = self.keys[:count]
        columns = ", ".join(key.expression for key in keys)
        places = joined(", ", [sql(f"{{}}::{key.kind.value}", value) for key, value in zip(keys, values, strict=False)])
        return sql(f"({columns}) {sign} ({{}})", places)

    def _stepwise(self, values: tuple[Any, ...], backward: bool) -> Sql:
        """Key by key: beyond the place in one, and at the place in all before it."""
        steps = []
        for depth, key in enumerate(self.keys):
            before = [earlier.same(value) for earlier, value in zip(self.keys[:depth], values, strict=False)]
            steps.append(all_of([*before, key.after(values[depth], backward)]))
        return any_of(steps)


def newest_first(table: str) -> Order:
    """By the instant at which the rows were made, the last first."""
    return Order(
        (
            Key(f"{table}.created_at", KeyKind.INSTANT, descending=True),
            Key(f"{table}.id", KeyKind.UUID, descending=True),
        )
    )


@dataclass(frozen=True)
class PageRequest:
    """Which rows of a list are asked for. Hashable: equal requests share one batch."""

    order: Order
    size: int
    backward: bool = False
    place: tuple[Any, ...] | None = None
    where: Callable[[], Sql] | None = field(default=None, compare=False)
    scope: str = ""
    """Names order and filter; part of every cursor, and of what makes two requests equal."""
    write: Callable[[tuple[Any, ...]], str] | None = field(default=None, compare=False)
    """Makes the cursor of a place, for lists that have cursors of their own."""
    is_long: bool = False
    """Whether its filter holds too much to be kept for the next time."""

    def __hash__(self) -> int:
        # The scope names the order too.
        return hash((self.scope, self.size, self.backward, self.place))

    @property
    def shape(self) -> tuple[Hashable, ...]:
        """What the text of a statement for it depends on, and the values of its filter; all but those of its place."""
        nulls = self.place and tuple(value is None for value in self.place)
        return (self.scope, self.size, self.backward, nulls)

    def cursor(self, values: tuple[Any, ...]) -> str:
        """The opaque place of a row whose keys have these values."""
        return self.write(values) if self.write else _encode(self.scope, values)

    def condition(self) -> Sql:
        """The filter and the place in one predicate."""
        pieces = [self.filter()]
        if self.place is not None:
            pieces.append(self.order.beyond(self.place, self.backward))
        return all_of(pieces)

    def filter(self) -> Sql:
        """The filter alone, as totals count by it."""
        return self.where() if self.where else sql("TRUE")


@dataclass(slots=True, eq=False)
class Page(Generic[R]):
    """Some consecutive rows of a list, in its order."""

    rows: list[R]
    request: PageRequest
    more: bool

    @property
    def has_next(self) -> bool:
        """Whether rows follow the last one."""
        return self.request.place is not None if self.request.backward else self.more

    @property
    def has_previous(self) -> bool:
        """Whether rows precede the first one; for a forward page, whether it began after a cursor."""
        return self.more if self.request.backward else self.request.place is not None

    def cursor(self, row: R) -> str:
        """The opaque place of a row of this page, which was read with KEYS."""
        return self.request.cursor(tuple(row[f"key_{n}"] for n in range(len(self.request.order.keys))))


def request(
    order: Order,
    *,
    first: int | None,
    after: str | None,
    last: int | None = None,
    before: str | None = None,
    scope: str = "",
    where: Callable[[], Sql] | None = None,
) -> PageRequest:
    """A checked request: forward by `first` and `after`, or backward when `last` is given.

    `scope` names the list and its filter. Raises BadInput for a size outside 1 to 100 and for a cursor that is
    malformed or belongs to another order or filter.
    """
    backward = last is not None or before is not None
    name, size = ("last", last) if backward else ("first", first)
    if size is None or not 1 <= size <= MOST_PER_PAGE:
        raise BadInput(f"`{name}` must be from 1 to {MOST_PER_PAGE}.", path=[name])
    if backward and after is not None:
        raise BadInput("`after` goes with `first`, `before` with `last`.", path=["after"])
    is_long = len(scope) > LONGEST_KEPT
    scope = (_digest.__wrapped__ if is_long else _digest)(scope, order.by().parts)
    cursor_name, cursor = ("before", before) if backward else ("after", after)
    place = None if cursor is None else _decode(cursor, scope, order, cursor_name)
    return PageRequest(order, size, backward, place, where, scope, is_long=is_long)


@lru_cache(maxsize=500)
def _digest(scope: str, order: tuple[str | Bound, ...]) -> str:
    return hashlib.sha256(f"{scope}|{order}".encode()).hexdigest()[:16]


def cut(rows: list[R], asked: PageRequest) -> Page[R]:
    """The page out of at most `size` + 1 fetched rows, in the list's order."""
    more = len(rows) > asked.size
    kept = rows[: asked.size]
    return Page(kept[::-1] if asked.backward else kept, asked, more)


def key_columns(order: Order) -> str:
    """The select list that cursors are made from."""
    return ", ".join(f"{key.expression} AS key_{n}" for n, key in enumerate(order.keys))


def select_sorted(columns: Sql, table: str, asked: PageRequest, condition: Sql) -> Sql:
    """One page of `table` under `condition`, with one row more than asked for."""
    return joined(
        " ",
        [
            sql(f"SELECT {{}} FROM {table} {asked.order.join} WHERE", columns),
            all_of([condition, asked.condition()]),
            asked.order.by(asked.backward),
            sql(f"LIMIT {asked.size + 1}"),
        ],
    )


def _encode(scope: str, values: tuple[Any, ...]) -> str:
    told = [plain(value) for value in values]
    return base64.urlsafe_b64encode(orjson.dumps([scope, *told])).decode().rstrip("=")


def plain(value: Any) -> Any:
    """A value of a key or a column as JSON holds it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.hex if isinstance(value, UUID) else value


def _decode(cursor: str, scope: str, order: Order, name: str) -> tuple[Any, ...]:
    try:
        parts = orjson.loads(base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", True))
        if not isinstance(parts, list) or len(parts) != len(order.keys) + 1:
            raise ValueError("not a cursor")
        values = tuple(_typed(value, key) for value, key in zip(parts[1:], order.keys, strict=True))
    except (ValueError, TypeError, OverflowError, binascii.Error) as failure:
        raise BadInput(f"`{name}` is not a cursor of this API.", path=[name]) from failure
    if parts[0] != scope:
        raise BadInput(f"`{name}` belongs to a list of another order or filter.", path=[name])
    return values


def _typed(value: Any, key: Key) -> Any:
    if value is None:
        if not key.nullable:
            raise ValueError("null in a key that is never null")
        return None
    if key.kind is KeyKind.NUMBER:
        if type(value) is not int or abs(value) > _LARGEST:
            raise ValueError("not a number")
        return value
    if type(value) is not str:
        raise ValueError("not a string")
    if key.kind is KeyKind.INSTANT:
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            raise ValueError("an instant without a zone")
        return instant.astimezone(UTC)
    if key.kind is KeyKind.DAY:
        return date.fromisoformat(value)
    if key.kind is KeyKind.UUID:
        return UUID(value)
    if "\x00" in value:
        raise ValueError("NUL in a cursor")
    return value
