"""Single objects by their ids, with the single objects that they point at, in one statement.

For fields like `task(id:)` whose selections hold nothing but columns and to-ones of that kind: each level by itself
would be a round trip for one row. Each row is found under the predicate of its own read, as if it were read alone.
"""

from collections.abc import Sequence
from typing import Any

from graphql import GraphQLObjectType, get_named_type
from graphql.execution import Executor

from domain.base.reads import One, key_number, single_row
from domain.base.sql import Sql, sql
from graph.base.selection import told_column
from graph.compiler.builders import Detour, Written
from graph.compiler.plan import FieldPlan, Plan, Selection

# Beyond this many tables PostgreSQL looks at no other order than the one that is written.
# Source: PostgreSQL, query planning, join_collapse_limit.
MOST_ROWS = 8


class Join:
    """A statement for some fields of the root, and what makes their objects of its one row. It knows no caller."""

    def __init__(self, executor: Executor[Any], plan: Plan, fields: Sequence[FieldPlan], rows: int) -> None:
        self.fields = fields
        self.rows = rows
        """How many rows the objects are made of."""
        drawing = _Drawing(executor, plan)
        displays = [drawing.row(field, sql("{}::uuid", key_number(number))) for number, field in enumerate(fields)]
        display = "{" + ", ".join(f"{field.key!r}: {each}" for field, each in zip(fields, displays, strict=True)) + "}"
        self._build = drawing.written.function("r", display)
        self._statement = single_row(drawing.listed, drawing.sources)

    async def objects(self, actor: Any, keys: Sequence[Any]) -> dict[str, Any]:
        """Response key of each field -> its object or None. Raises whatever comes up."""
        (row,) = await self._statement.run(actor, keys)
        found: dict[str, Any] = self._build(row)
        return found


class _Drawing:
    """What a join is made of, while it is made."""

    def __init__(self, executor: Executor[Any], plan: Plan) -> None:
        self._executor = executor
        self._plan = plan
        self.written = Written()
        self.listed: list[str] = []
        self.sources: list[Sql] = []

    def row(self, field: FieldPlan, key: Sql) -> str:
        """The expression of a field's object, or of None, and the place in the statement where its row is read."""
        selection = selection_of(self._executor, self._plan, field)
        read: One[Any] = field.declared.read
        alias = f"j{len(self.sources)}"
        needed = sorted({read.key, *_needed(self._executor, self._plan, selection)})
        places = {name: len(self.listed) + number for number, name in enumerate(needed)}
        self.listed += [f"{alias}.{name}" for name in needed]
        self.sources.append(read.joined(alias, tuple(needed), key))
        display = self._display(selection, places, alias)
        none = "None"
        if field.is_required:
            self.written.names["no_null"] = _no_null
            none = "no_null()"
        return f"({display} if r[{places[read.key]}] is not None else {none})"

    def _display(self, selection: Selection, places: dict[str, int], alias: str) -> str:
        def inner(field: FieldPlan) -> str:
            if field.declared.kind == "itself":
                return self._display(selection_of(self._executor, self._plan, field), places, alias)
            return self.row(field, sql(f"{alias}.{field.declared.needs[0]}"))

        def value(field: FieldPlan) -> tuple[str, bool]:
            column = told_column(field.attribute, field.type)
            return f"r[{places[column]}]", column != field.attribute

        return self.written.object(selection, value, inner)


def joinable(executor: Executor[Any], plan: Plan, field: FieldPlan) -> int:
    """How many rows the field's object is made of, itself included; 0 where it cannot be joined."""
    if field.declared.kind not in ("found", "to_one") or not isinstance(field.declared.read, One):
        return 0
    if field.declared.kind == "to_one" and len(field.declared.needs) != 1:
        return 0
    below = _below(executor, plan, selection_of(executor, plan, field))
    return 0 if below is None or below >= MOST_ROWS else 1 + below


def _below(executor: Executor[Any], plan: Plan, selection: Selection) -> int | None:
    """How many rows the objects below are made of; None where they cannot be joined."""
    if selection.functions:
        return None
    count = 0
    for field in selection.declared:
        if not isinstance(get_named_type(field.type), GraphQLObjectType):
            return None
        if field.declared.kind == "itself":
            more = _below(executor, plan, selection_of(executor, plan, field))
        else:
            more = joinable(executor, plan, field) or None
        if more is None:
            return None
        count += more
    return count


def _needed(executor: Executor[Any], plan: Plan, selection: Selection) -> set[str]:
    """The columns that the objects of a row, and what they point at, take from it."""
    told = [field for _, field in selection.fields if field is not None and field.is_told]
    needed = {told_column(field.attribute, field.type) for field in told}
    for field in selection.declared:
        if field.declared.kind == "itself":
            needed |= _needed(executor, plan, selection_of(executor, plan, field))
        else:
            needed.add(field.declared.needs[0])
    return needed


def selection_of(executor: Executor[Any], plan: Plan, field: FieldPlan) -> Selection:
    """What a field that gives objects of one type asks of them."""
    type_: Any = get_named_type(field.type)
    return plan.selection(executor, field, type_)


def _no_null() -> Any:
    raise Detour
