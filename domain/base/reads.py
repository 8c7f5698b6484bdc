"""Batched reads, declared as data: a table, the key that finds its rows, and the predicate that hides a stranger's.

Each is called with the caller, the keys of all parents at once and the columns that were asked for; it runs one
statement, whatever the number of parents.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from domain.base.actor import Actor
from domain.base.database import fetch, require_transaction
from domain.base.errors import NotFound
from domain.base.paging import Order, Page, PageRequest, cut, select_sorted
from domain.base.permissions import Permission
from domain.base.sql import TRUE, Row, Sql, all_of, sql

R = TypeVar("R", bound=Row)
Columns = tuple[str, ...]
Visible = Callable[[Actor], Sql]


@dataclass(frozen=True, eq=False)
class Table(Generic[R]):
    """A table and the light row that its columns are read into.

    `computed` gives the expression of a column that is not stored as it is read; one that depends on the caller is a
    function of the actor.
    """

    name: str
    row: type[R]
    computed: dict[str, str | Callable[[Actor], Sql]] = field(default_factory=dict)
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

    def select(self, actor: Actor, columns: Iterable[str]) -> Sql:
        """The select list for the columns; each keeps its name."""
        return Sql(
            tuple(part for n, name in enumerate(columns) for part in self._column(actor, name, ", " if n else ""))
        )

    def _column(self, actor: Actor, name: str, separator: str) -> tuple[Any, ...]:
        expression = self.computed.get(name, f"{self.name}.{name}")
        if callable(expression):
            return (separator, *expression(actor).parts, f" AS {name}")
        return (f"{separator}{expression} AS {name}",)


@dataclass(frozen=True, eq=False)
class One(Generic[R]):
    """The row of each key: a to-one."""

    table: Table[R]
    visible: Visible
    key: str = "id"

    async def __call__(self, actor: Actor, keys: Sequence[Any], columns: Columns) -> dict[Any, R]:
        """Key -> row; a key without a visible row is left out."""
        statement = sql(
            f"SELECT {self.table.name}.{self.key} AS parent_key, {{}} FROM {self.table.name} "
            f"WHERE {self.table.name}.{self.key} = ANY({{}}::uuid[]) AND {{}}",
            self.table.select(actor, columns),
            list(keys),
            self.visible(actor),
        )
        return {row["parent_key"]: row for row in await fetch(statement, self.table.row)}

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
    visible: Visible
    key: str
    order: Order
    source: str = ""

    async def __call__(self, actor: Actor, keys: Sequence[Any], columns: Columns) -> dict[Any, list[R]]:
        """Key -> rows in order; a key without any is left out."""
        statement = sql(
            f"SELECT {self.key} AS parent_key, {{}} FROM {self.table.name} {self.source} {self.order.join} "
            f"WHERE {self.key} = ANY({{}}::uuid[]) AND {{}} {{}}",
            self.table.select(actor, columns),
            list(keys),
            self.visible(actor),
            self.order.by(),
        )
        found: dict[Any, list[R]] = {}
        for row in await fetch(statement, self.table.row):
            found.setdefault(row["parent_key"], []).append(row)
        return found


@dataclass(frozen=True, eq=False)
class Pages(Generic[R]):
    """One page of each key's rows, and their total. `source` joins what the key stands in."""

    table: Table[R]
    visible: Visible
    key: str
    source: str = ""

    async def __call__(
        self, actor: Actor, keys: Sequence[UUID], columns: Columns, asked: PageRequest
    ) -> dict[UUID, Page[R]]:
        """Key -> page, for every key."""
        condition = all_of([sql(f"{self.key} = parent.key"), self.visible(actor)])
        listed = self.table.select(actor, columns)
        # A nested loop over the keys keeps each page's rows in their order.
        statement = sql(
            "SELECT parent.key AS parent_key, page.* FROM unnest({}::uuid[]) AS parent(key) "
            "CROSS JOIN LATERAL ({}) page",
            list(keys),
            select_sorted(listed, f"{self.table.name} {self.source}", asked, condition),
        )
        found: dict[UUID, list[R]] = {key: [] for key in keys}
        for row in await fetch(statement, self.table.row):
            found[row["parent_key"]].append(row)
        return {key: cut(rows, asked) for key, rows in found.items()}

    async def totals(self, actor: Actor, keys: Sequence[UUID], asked: PageRequest) -> dict[UUID, int]:
        """Key -> number of rows under the request's filter; a key without any is left out."""
        statement = sql(
            f"SELECT {self.key} AS parent_key, count(*) AS total FROM {self.table.name} {self.source} "
            f"WHERE {self.key} = ANY({{}}::uuid[]) AND {{}} AND {{}} GROUP BY 1",
            list(keys),
            self.visible(actor),
            asked.filter(),
        )
        return {row["parent_key"]: row["total"] for row in await fetch(statement, Row)}


@dataclass(frozen=True, eq=False)
class Counts:
    """The number of rows of each key."""

    table: Table[Any]
    visible: Visible
    key: str
    where: str = "TRUE"

    async def __call__(self, actor: Actor, keys: Sequence[UUID]) -> dict[UUID, int]:
        """Key -> number; a key without any is left out."""
        statement = sql(
            f"SELECT {self.key} AS parent_key, count(*) AS total FROM {self.table.name} "
            f"WHERE {self.key} = ANY({{}}::uuid[]) AND {self.where} AND {{}} GROUP BY 1",
            list(keys),
            self.visible(actor),
        )
        return {row["parent_key"]: row["total"] for row in await fetch(statement, Row)}
