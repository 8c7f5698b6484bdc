"""Batched reads as data: a table, a key, a predicate. What is common to all rows that an operation asks for.

A feature declares its reads with these; the query compiler runs them, and so do data loaders. Each read takes the
actor, the keys of one moment and the columns that were asked for; it runs one statement, whatever the number of
parents. Its text is put together once for each set of columns, and only bound anew.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch, require_transaction, run
from domain.base.errors import NotFound
from domain.base.paging import Order, Page, PageRequest, cut, key_columns, select_sorted
from domain.base.permissions import Permission
from domain.base.sql import TRUE, Bound, Late, Row, Sql, all_of, joined, sql

R = TypeVar("R", bound=Row)
Columns = tuple[str, ...]
Of = Callable[[Actor], Any]

TEXT = "__text"
"""Behind a column's name: the column as PostgreSQL writes it, which spares making a value only to write it again."""

KEYS = "__keys"
"""Beside the columns of a page: what the cursors of its rows are made from."""

# Texts that one read keeps. Which columns are asked for, and in what order, is for clients to say.
MOST_STATEMENTS = 500


class ForActor:
    """A piece of SQL with values that depend on who asks. Called with an actor, it is the piece with their values."""

    def __init__(self, piece: Sql) -> None:
        self.piece = piece
        """With these values left open."""

    def __call__(self, actor: Actor) -> Sql:
        return _closed(self.piece, actor)


def for_actor(text: str, *values: Of) -> ForActor:
    """A piece in which each `{}` stands for what one of the functions gives for the actor."""
    return ForActor(sql(text, *(_of_actor(value) for value in values)))


@cache
def orgs_with(permission: Permission) -> Of:
    """The organizations in which the actor holds the permission."""
    return lambda actor: actor.orgs_with(permission)


def own_rows(table: str) -> ForActor:
    """Holds for the person's own rows, of the organizations that they are in today; an API key has none."""
    return for_actor(
        f"({table}.user_id = {{}}::uuid AND {table}.org_id = ANY({{}}::uuid[]))",
        lambda actor: actor.person_id,
        lambda actor: list(actor.standings),
    )


@cache
def _of_actor(of: Of) -> Late:
    return Late(lambda actor, _keys, _place: of(actor))


def _closed(piece: Sql, actor: Actor) -> Sql:
    def closed(part: str | Bound) -> str | Bound:
        if isinstance(part, Bound) and isinstance(part.value, Late):
            return Bound(part.value.of(actor, None, None))
        return part

    return Sql(tuple(closed(part) for part in piece.parts))


# The keys that a read is asked for, and where its page begins.
_KEYS = Late(lambda _actor, keys, _place: keys)


def key_number(number: int) -> Late:
    """One of the keys that a statement of several single rows is run with."""
    return Late(lambda _actor, keys, _place: keys[number])


@cache
def given(name: str) -> Late:
    """One of the values, by name, that a statement is run with in place of keys."""
    return Late(lambda _actor, values, _place: values[name])


def _place(number: int) -> Late:
    return Late(lambda _actor, _keys, place: place[number])


class Statement(Generic[R]):
    """A statement that is put together once and run many times, for different actors and keys."""

    def __init__(self, piece: Sql, row: type[R]) -> None:
        self.text, self._values = piece.render()
        self._row = row

    def bound(self, actor: Actor | None, keys: Any = None, place: Any = None) -> list[Any]:
        """The values for this run."""
        return [value.of(actor, keys, place) if value.__class__ is Late else value for value in self._values]

    async def run(self, actor: Actor | None, keys: Any = None, place: Any = None) -> list[R]:
        """The rows. Raises Unavailable; Timeout."""
        return await run(self.text, self.bound(actor, keys, place), self._row)


def single_row(listed: Iterable[str], sources: Iterable[Sql]) -> Statement[Row]:
    """A statement that gives one row, of columns of what is joined."""
    return Statement(joined(" ", [sql(f"SELECT {', '.join(listed)} FROM (SELECT) AS nothing"), *sources]), Row)


class Statements(dict[Hashable, Statement[R]]):
    """The statements of one read, by what their texts depend on. Bounded."""

    def get_or_make(self, key: Hashable, make: Callable[[], Statement[R]]) -> Statement[R]:
        """The statement that is kept under the key."""
        found = self.get(key)
        if found is None:
            if len(self) >= MOST_STATEMENTS:
                # The oldest: one client's many shall not take all of the others'.
                del self[next(iter(self))]
            found = self[key] = make()
        return found


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """A table and the light row that its columns are read into.

    `computed` gives the expression of a column that is not stored as it is read.
    """

    name: str
    row: type[R]
    computed: dict[str, str | ForActor] = field(default_factory=dict)
    org: str = "org_id"
    """The column that names the organization a row belongs to."""
    called: str = ""
    """What a caller calls a row, where that is not the table's name."""

    @property
    def noun(self) -> str:
        """What a caller calls a row."""
        return self.called or self.name.replace("_", " ")

    @property
    def columns(self) -> Columns:
        """Every column of the row."""
        return tuple(self.row.__annotations__)

    def own(self, columns: Iterable[str]) -> Columns:
        """Those of the columns that the table has."""
        return tuple(name for name in columns if name.removesuffix(TEXT) in self.row.__annotations__)

    def select(self, actor: Actor, columns: Iterable[str]) -> Sql:
        """The select list for the columns; each keeps its name."""
        return _closed(self.listed(columns), actor)

    def listed(self, columns: Iterable[str]) -> Sql:
        """The select list, with the values that depend on who asks left open."""
        names = [name for name in columns if name != KEYS]
        return Sql(tuple(part for n, name in enumerate(names) for part in self._column(name, ", " if n else "")))

    def _column(self, name: str, separator: str) -> tuple[Any, ...]:
        plain = name.removesuffix(TEXT)
        expression = self.computed.get(plain, f"{self.name}.{plain}")
        parts = expression.piece.parts if isinstance(expression, ForActor) else (expression,)
        if plain != name:
            return (f"{separator}(", *parts, f")::text AS {name}")
        return (separator, *parts, f" AS {name}")


@dataclass(frozen=True, eq=False)
class One(Generic[R]):
    """The row of each key: a to-one."""

    table: Table[R]
    visible: ForActor
    key: str = "id"
    _statements: Statements[R] = field(default_factory=Statements, init=False, repr=False)

    async def __call__(self, actor: Actor, keys: Sequence[Any], columns: Columns) -> dict[Any, R]:
        """Key -> row; a key without a visible row is left out."""
        statement = self._statements.get_or_make(columns, lambda: self._statement(columns))
        key = self.key if self.key in columns else "parent_key"
        return {row[key]: row for row in await statement.run(actor, keys)}

    def _statement(self, columns: Columns) -> Statement[R]:
        key = sql("" if self.key in columns else f"{self.table.name}.{self.key} AS parent_key, ")
        return Statement(
            sql(
                f"SELECT {{}}{{}} FROM {self.table.name} "
                f"WHERE {self.table.name}.{self.key} = ANY({{}}::uuid[]) AND {{}}",
                key,
                self.table.listed(columns),
                _KEYS,
                self.visible.piece,
            ),
            self.table.row,
        )

    def joined(self, alias: str, columns: Columns, key: Sql) -> Sql:
        """A part of FROM: the row of one key with these columns as `alias`, or nulls where no row is visible."""
        return sql(
            f"LEFT JOIN LATERAL (SELECT {{}} FROM {self.table.name} "
            f"WHERE {self.table.name}.{self.key} = {{}} AND {{}}) AS {alias} ON true",
            self.table.listed(columns),
            key,
            self.visible.piece,
        )

    async def get(self, actor: Actor, key: Any) -> R:
        """The row with every column. Raises NotFound."""
        row = (await self(actor, [key], self.table.columns)).get(key)
        if row is None:
            raise NotFound(self.table.noun)
        return row

    async def get_for_update(self, actor: Actor, key: Any, permission: Permission, *, shared: bool = False) -> R:
        """The row with every column, locked to the end of the transaction and authorized in the same step.

        `shared` keeps others from changing the row, and lets others hold it as well. Raises NotFound, also for a
        stranger's row; Forbidden (`permission`).
        """
        row = (await self.lock(actor, [key], permission, shared=shared)).get(key)
        if row is None:
            raise NotFound(self.table.noun)
        return row

    async def lock(
        self, actor: Actor, keys: Collection[Any], permission: Permission, *, shared: bool = False, where: Sql = TRUE
    ) -> dict[Any, R]:
        """Key -> row, as `get_for_update` gives it, locked in the order of the keys: two that do so cannot deadlock.

        A key without a visible row for which `where` holds is left out. Raises Forbidden (`permission`).
        """
        require_transaction()
        if not keys:
            return {}
        key = f"{self.table.name}.{self.key}"
        statement = sql(
            f"SELECT {{}} FROM {self.table.name} WHERE {key} = ANY({{}}::uuid[]) AND {{}} AND {{}} "
            f"ORDER BY {key} FOR {'SHARE' if shared else 'NO KEY UPDATE'} OF {self.table.name}",
            self.table.select(actor, self.table.columns),
            list(keys),
            self.visible(actor),
            where,
        )
        rows = await fetch(statement, self.table.row)
        for row in rows:
            actor.require(permission, org_id=row[self.table.org])
        return {row[self.key]: row for row in rows}


@dataclass(frozen=True, eq=False)
class Many(Generic[R]):
    """All rows of each key: a short list, whose cap the service keeps. `source` joins what the key stands in."""

    table: Table[R]
    visible: ForActor
    key: str
    order: Order
    source: str = ""
    _statements: Statements[R] = field(default_factory=Statements, init=False, repr=False)

    async def __call__(self, actor: Actor, keys: Sequence[Any], columns: Columns) -> dict[Any, list[R]]:
        """Key -> rows in order; a key without any is left out."""
        statement = self._statements.get_or_make(columns, lambda: self._statement(columns))
        found: dict[Any, list[R]] = {}
        for row in await statement.run(actor, keys):
            found.setdefault(row["parent_key"], []).append(row)
        return found

    def _statement(self, columns: Columns) -> Statement[R]:
        return Statement(
            sql(
                f"SELECT {self.key} AS parent_key, {{}} FROM {self.table.name} {self.source} {self.order.join} "
                f"WHERE {self.key} = ANY({{}}::uuid[]) AND {{}} {{}}",
                self.table.listed(columns),
                _KEYS,
                self.visible.piece,
                self.order.by(),
            ),
            self.table.row,
        )


@dataclass(frozen=True, eq=False)
class Pages(Generic[R]):
    """One page of each key's rows, and their total. `source` joins what the key stands in."""

    table: Table[R]
    visible: ForActor
    key: str
    source: str = ""
    _statements: Statements[R] = field(default_factory=Statements, init=False, repr=False)

    async def __call__(
        self, actor: Actor, keys: Sequence[UUID], columns: Columns, asked: PageRequest
    ) -> dict[UUID, Page[R]]:
        """Key -> page, for every key."""
        if len(keys) == 1:
            one = self._kept(("one", columns, *asked.shape), asked, lambda: self._of_one(columns, asked))
            return {keys[0]: cut(await one.run(actor, keys, asked.place), asked)}
        statement = self._kept((columns, *asked.shape), asked, lambda: self._statement(columns, asked))
        found: dict[UUID, list[R]] = {key: [] for key in keys}
        for row in await statement.run(actor, keys, asked.place):
            found[row["parent_key"]].append(row)
        return {key: cut(rows, asked) for key, rows in found.items()}

    def _statement(self, columns: Columns, asked: PageRequest) -> Statement[R]:
        # A nested loop over the keys keeps each page's rows in their order.
        page = self._page(columns, asked, sql("parent.key"))
        head = "SELECT parent.key AS parent_key, page.* FROM unnest({}::uuid[]) AS parent(key) "
        return Statement(sql(head + "CROSS JOIN LATERAL ({}) page", _KEYS, page), self.table.row)

    def _kept(self, key: Hashable, asked: PageRequest, make: Callable[[], Statement[R]]) -> Statement[R]:
        return make() if asked.is_long else self._statements.get_or_make(key, make)

    def _of_one(self, columns: Columns, asked: PageRequest) -> Statement[R]:
        return Statement(self._page(columns, asked, sql("{}::uuid", key_number(0))), self.table.row)

    def _page(self, columns: Columns, asked: PageRequest, key: Sql) -> Sql:
        condition = all_of([sql(f"{self.key} = {{}}", key), self.visible.piece])
        place = asked.place and tuple(None if value is None else _place(n) for n, value in enumerate(asked.place))
        listed = self.table.listed(columns)
        if KEYS in columns:
            listed = sql(f"{{}}, {key_columns(asked.order)}", listed)
        return select_sorted(listed, f"{self.table.name} {self.source}", replace(asked, place=place), condition)

    async def totals(self, actor: Actor, keys: Sequence[UUID], asked: PageRequest) -> dict[UUID, int]:
        """Key -> number of rows under the request's filter; a key without any is left out."""
        statement = sql(
            f"SELECT {self.key} AS parent_key, count(*) AS total FROM {self.table.name} {self.source} "
            f"WHERE {self.key} = ANY({{}}::uuid[]) AND {{}} AND {{}} GROUP BY 1",
            list(keys),
            self.visible(actor),
            _closed(asked.filter(), actor),
        )
        return {row["parent_key"]: row["total"] for row in await fetch(statement, Row)}


@dataclass(frozen=True, eq=False)
class Counts:
    """The number of rows of each key."""

    table: Table[Any]
    visible: ForActor
    key: str
    where: str = "TRUE"

    async def __call__(self, actor: Actor, keys: Sequence[UUID]) -> dict[UUID, int]:
        """Key -> number; a key without any is left out."""
        return {row["parent_key"]: row["total"] for row in await self._statement.run(actor, keys)}

    @cached_property
    def _statement(self) -> Statement[Row]:
        return Statement(
            sql(
                f"SELECT {self.key} AS parent_key, count(*) AS total FROM {self.table.name} "
                f"WHERE {self.key} = ANY({{}}::uuid[]) AND {self.where} AND {{}} GROUP BY 1",
                _KEYS,
                self.visible.piece,
            ),
            Row,
        )
