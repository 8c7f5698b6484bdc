"""The straight way through a plan: as `run` does it, but for nothing going wrong.

Objects of one selection are built by one function, without a place for each where an error could be noted. At the first
thing that is not as expected, an exception or a null where none may be or a member of a union that was not met before,
`Detour` or whatever was raised ends it, and `run` does everything anew with all care: what was read is still known.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import asyncpg
from graphql import GraphQLObjectType, get_named_type
from graphql.execution import Executor

from domain.base.database import one_connection
from graph.base.answers import LONGEST_TEXT
from graph.base.context import Operation
from graph.base.paging import Listed
from graph.compiler.builders import Detour, builder
from graph.compiler.cached import cached_pages
from graph.compiler.call import arguments_of, call, key_of
from graph.compiler.join import MOST_ROWS, Join, joinable
from graph.compiler.plan import FieldPlan, Plan, Selection, Shape


class Straight:
    """One straight execution of a plan."""

    def __init__(self, executor: Executor[Any], plan: Plan) -> None:
        self._executor = executor
        self._plan = plan
        self._operation = executor.context_value.operation
        self._operation.takes_text = True

    async def data(self) -> dict[str, Any]:
        """The answer of a query or of an event. Raises whatever goes wrong."""
        root = self._plan.root
        if root.join is None:
            root.join = self._join(root) or False
        # Where the join is all that is read, there is no second statement to keep a connection for.
        is_joined = root.join and not root.functions and len(root.join.fields) == len(root.declared)
        with nullcontext() if is_joined else one_connection():
            (data,) = await self.select(root, [self._executor.root_value])
        return data

    def _join(self, root: Selection) -> Join | None:
        """What reads the single objects of the root, where there is more than one row to read."""
        counts = {id(field): joinable(self._executor, self._plan, field) for field in root.declared}
        fields = [field for field in root.declared if counts[id(field)]]
        rows = sum(counts.values())
        return Join(self._executor, self._plan, fields, rows) if 1 < rows <= MOST_ROWS else None

    async def select(self, selection: Selection, sources: Sequence[Any]) -> list[dict[str, Any]]:
        """An object for each source, which are all of the selection's type. Raises whatever goes wrong."""
        note_shown(self._operation, selection, sources)
        names = tuple(sources[0].keys()) if isinstance(sources[0], asyncpg.Record) else None
        build = selection.builders.get(names)
        if build is None:
            build = selection.builders[names] = builder(selection, names)
        built = build(sources)
        if selection.functions:
            called = await call(self._executor, selection.functions, sources)
            for field in selection.functions:
                await self._complete(field, built, called[id(field)])
        if join := selection.join:
            keys = [await key_of(self._executor, field) for field in join.fields]
            actor = self._operation.actor
            self._operation.loaded += join.rows
            # Of its rows the texts are not looked at by themselves.
            self._operation.longest_text = LONGEST_TEXT
            built[0].update(await self._operation.unless_away(lambda: join.objects(actor, keys)))
        for field in selection.declared:
            if join and field in join.fields:
                continue
            if field.declared.kind == "to_one":
                await self._point(field, built, sources)
            else:
                await self._complete(field, built, await self._values(field, sources))
        return built

    async def _point(self, field: FieldPlan, built: list[dict[str, Any]], sources: Sequence[Any]) -> None:
        """Put a to-one into the objects. Many of them may point at the same, which is built once."""
        keys = _taken(sources, field.declared.needs)
        known = await self._read(field.declared.read, keys, self._columns(field))
        found = {key: row for key in dict.fromkeys(keys) if (row := known.get(key)) is not None}
        made = dict(zip(found, await self._objects(field, list(found.values())), strict=True))
        key = field.key
        if len(made) == len(set(keys)):
            for each, pointed in zip(built, keys, strict=True):
                each[key] = made[pointed]
        elif field.is_required:
            raise Detour
        else:
            for each, pointed in zip(built, keys, strict=True):
                each[key] = made.get(pointed)

    async def _complete(self, field: FieldPlan, built: list[dict[str, Any]], values: Sequence[Any]) -> None:
        """Put what the field gave into the objects."""
        key, shape = field.key, field.shape
        if shape is Shape.OBJECT:
            present = [value for value in values if value is not None]
            if len(present) == len(values):
                for each, made in zip(built, await self._objects(field, present), strict=True):
                    each[key] = made
                return
            if field.is_required:
                raise Detour
            made_of = iter(await self._objects(field, present))
            for each, value in zip(built, values, strict=True):
                if value is not None:
                    each[key] = next(made_of)
        elif shape is Shape.OBJECTS:
            if any(value.__class__ is not list for value in values):
                raise Detour
            objects = await self._objects(field, [item for value in values for item in value])
            end = 0
            for each, value in zip(built, values, strict=True):
                begin, end = end, end + len(value)
                each[key] = objects[begin:end]
        elif shape is Shape.LEAF:
            leaf: Any = field.leaf
            for each, value in zip(built, values, strict=True):
                if value is not None:
                    if isinstance(value, Exception):
                        raise value
                    each[key] = leaf(value)
                elif field.is_required:
                    raise Detour
        elif shape is Shape.LEAVES:
            leaf = field.leaf
            for each, value in zip(built, values, strict=True):
                if value.__class__ is not list or None in value:
                    raise Detour
                each[key] = [leaf(item) for item in value]
        else:
            raise Detour

    async def _objects(self, field: FieldPlan, values: list[Any]) -> list[dict[str, Any]]:
        """The objects that the values are the sources of, in their order."""
        classes = set(map(type, values))
        if len(classes) == 1:
            return await self.select(self._selection(field, values[0]), values)
        found: list[Any] = [None] * len(values)
        for each in classes:
            numbers = [number for number, value in enumerate(values) if type(value) is each]
            selection = self._selection(field, values[numbers[0]])
            made = await self.select(selection, [values[number] for number in numbers])
            for number, one in zip(numbers, made, strict=True):
                found[number] = one
        return found

    def _selection(self, field: FieldPlan, value: Any) -> Selection:
        """What is asked of objects of the value's class."""
        type_ = field.classes.get(type(value))
        if type_ is None:
            if isinstance(value, Exception):
                raise value
            named: Any = get_named_type(field.type)
            # Which member of a union it is, is for `run` to find out, once a class.
            if not isinstance(named, GraphQLObjectType) or not _is_of(named, value):
                raise Detour
            type_ = field.classes[type(value)] = named
        return self._plan.selection(self._executor, field, type_)

    async def _values(self, field: FieldPlan, sources: Sequence[Any]) -> Sequence[Any]:
        """What a declared field gives."""
        declared = field.declared
        kind = declared.kind
        if declared.permission is not None:
            for org_id in set(_taken(sources, declared.needs[-1:])):
                self._operation.actor.require(declared.permission, org_id=org_id)
        if kind == "to_many":
            keys = _taken(sources, declared.needs[:1])
            known = await self._read(declared.read, keys, self._columns(field))
            return [known.get(key) or [] for key in keys]
        if kind == "count":
            keys = _taken(sources, declared.needs[:1])
            known = await self._read(declared.read, keys)
            return [known.get(key) or 0 for key in keys]
        if kind == "pages":
            return self._listed(field, sources)
        if kind == "part":
            return await self._parts(field, sources)
        if kind == "total":
            return await self._totals(sources)
        if kind == "itself":
            return sources
        if kind == "found":
            key = await key_of(self._executor, field)
            known = await self._read(declared.read, [key], self._columns(field))
            return [known.get(key)] * len(sources)
        if kind in ("column", "attribute"):
            return _taken(sources, (field.attribute,))
        raise Detour

    def _listed(self, field: FieldPlan, sources: Sequence[Any]) -> list[Listed]:
        """Connections that are still to be read. The request is the same for all objects."""
        asked = field.declared.asked(**arguments_of(self._executor, field))
        read, columns = field.declared.read, self._columns(field)
        if field.declared.cached_s is not None:
            # As values, so that both ways find what either has kept.
            read, columns = cached_pages(self._executor, field), self._plan.columns(self._executor, field)[0]
        return [Listed(read, key, asked, columns) for key in _taken(sources, field.declared.needs[:1])]

    async def _parts(self, field: FieldPlan, sources: Sequence[Listed]) -> list[Any]:
        """A part of each connection's page, which is read once for all parts of it."""
        first, part = _one_list(sources), field.declared.read
        keys = [each.key for each in sources]
        known = await self._read(first.read, keys, first.columns, first.asked)
        return [part(known[key]) for key in keys]

    async def _totals(self, sources: Sequence[Listed]) -> list[Any]:
        first = _one_list(sources)
        keys = [each.key for each in sources]
        known = await self._read(first.read.totals, keys, first.asked)
        return [known.get(key) or 0 for key in keys]

    async def _read(self, read: Any, keys: Sequence[Any], *arguments: Any) -> dict[Any, Any]:
        known: dict[Any, Any] = await self._operation.read(read, keys, *arguments)
        return known

    def _columns(self, field: FieldPlan) -> Any:
        return self._plan.columns(self._executor, field)[1]


def note_shown(operation: Operation, selection: Selection, sources: Sequence[Any]) -> None:
    """Note how many rows are shown, and how long their texts are. What functions give is as long as may be."""
    if selection.is_row:
        operation.loaded += len(sources)
    if selection.long_functions:
        operation.longest_text = LONGEST_TEXT
    for name in selection.long:
        longest = max([len(text or "") for text in _taken(sources, (name,))])
        operation.longest_text = max(operation.longest_text, longest)


def _one_list(sources: Sequence[Listed]) -> Listed:
    """The first of the sources, when all are the same list of different keys."""
    first = sources[0]
    if any(each.asked is not first.asked or each.read is not first.read for each in sources):
        raise Detour
    return first


def _is_of(type_: Any, value: Any) -> bool:
    return type_.is_type_of is None or bool(type_.is_type_of(value, None))


def _taken(sources: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """An attribute of each source, or a tuple of several."""
    if len(names) > 1:
        return list(zip(*(_taken(sources, [name]) for name in names), strict=True))
    (name,) = names
    if isinstance(sources[0], asyncpg.Record):
        return [source[name] for source in sources]
    return [getattr(source, name) for source in sources]
