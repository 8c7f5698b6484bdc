"""Runs a plan, breadth first: all objects of one selection together, each relation of theirs in one read.

Leaf values are told at once; the fields that need something read are done one after the other, each for all objects;
then what they gave is done in the same way. What a field gives for an object is its value or what went wrong with it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog
from graphql import (
    GraphQLError,
    GraphQLObjectType,
    OperationType,
    Undefined,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.executor import invalid_return_type_error
from graphql.pyutils import is_iterable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.base import telemetry
from domain.base.errors import DomainError, NotFound, Timeout
from graph.base.paging import Listed
from graph.base.selection import Declared
from graph.compiler.builders import Detour
from graph.compiler.cached import cached_pages
from graph.compiler.call import call, info_of, key_of
from graph.compiler.load import Loads
from graph.compiler.plan import FieldPlan, Plan, Plans, Selection
from graph.compiler.respond import NullData, Spot, refuse
from graph.compiler.straight import Straight, note_shown

log = structlog.get_logger("compiler")

TOO_DEEP = "Selections are nested too deeply. Execution aborted."
GIVEN_UP = (
    "It took too long and was given up. Nothing has changed, unless it was done in the last moment: "
    "look before you send it again, or send it under an @idempotent key."
)
NOT_BEGUN = "It was not begun: what stands before it took all the time. Send it by itself."
_plans = Plans()


class Compiled(StrawberryGraphQLCoreExecutionContext):
    """Graphql-core's executor, with the execution itself put in its place. Introspection is left to it."""

    goes_straight = True
    """Whether it tries the straight way first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # They point back at the execution, and would leave it, with all rows that it has read, to the collector. Only
        # types that find out what they are by waiting would use them.
        self.async_helpers: Any = None

    def execute_operation(self, serially: bool | None = None) -> Any:
        try:
            plan = _plans.of(self)
        except RecursionError:
            plan = None
        except GraphQLError as fault:
            return self.without_data(fault)
        if plan is None:
            return self.without_data(GraphQLError(TOO_DEEP, self.operation))
        if plan.fallback is not None:
            telemetry.FALLBACKS.labels(plan.fallback).inc()
            self.context_value.operation.pays_all = True
            return super().execute_operation(serially)
        if serially is None:
            serially = self.operation.operation is OperationType.MUTATION
        return self._answer(plan, serially=serially)

    def without_data(self, fault: GraphQLError) -> Any:
        """The answer to an operation that could not be run to its end."""
        self.collected_errors.add(fault, None)
        return self.build_response(None)

    async def _answer(self, plan: Plan, *, serially: bool) -> Any:
        self.context_value.operation.of_text = plan.of_text
        try:
            # Functions are written only for a plan that is kept: they cost more than they spare at one use.
            goes_straight = self.goes_straight and plan.key is not None
            if goes_straight and not serially:
                try:
                    return self.build_response(await Straight(self, plan).data())
                except Exception as fault:
                    _note_detour(fault)
            return await _Run(self, plan, goes_straight=goes_straight and serially).answer(serially=serially)
        except RecursionError:
            # Answered outside of this block: the error would keep all frames of the recursion alive.
            pass
        finally:
            _plans.settle(plan)
        return self.without_data(GraphQLError(TOO_DEEP, self.operation))


class _Run:
    """One execution of a plan."""

    def __init__(self, executor: Compiled, plan: Plan, *, goes_straight: bool) -> None:
        self._executor = executor
        self._goes_straight = goes_straight
        self._plan = plan
        self._loads = Loads(executor.context_value)
        executor.context_value.operation.takes_text = False
        # What was shown on the straight way is shown anew.
        executor.context_value.operation.loaded = 0

    async def answer(self, *, serially: bool) -> Any:
        """The answer to the operation."""
        executor, root = self._executor, self._plan.root
        data: dict[str, Any] | None = {}
        spot = Spot(executor.root_value, data, None, None, "", True, None)
        try:
            if serially:
                for one in self._plan.one_by_one():
                    await self._in_time(one, spot)
            else:
                await self._select(root, [spot])
        except NullData:
            data = None
        return executor.build_response(data)

    async def _in_time(self, selection: Selection, spot: Spot) -> None:
        """Run one mutation, unless the operation's time is up before it ends. Those before it stay done, and told."""
        operation = self._executor.context_value.operation
        if operation.deadline is not None and asyncio.get_running_loop().time() >= operation.deadline:
            return self._give_up(selection, spot, NOT_BEGUN)
        try:
            async with asyncio.timeout_at(operation.deadline):
                await self._select(selection, [spot])
        except TimeoutError:
            operation.pays_all = True
            self._give_up(selection, spot, GIVEN_UP)

    def _give_up(self, selection: Selection, spot: Spot, why: str) -> None:
        for key, field in selection.fields:
            if field is not None:
                spot.out[key] = None
                self._refuse(field, spot, Timeout(why))

    async def _select(self, selection: Selection, spots: list[Spot]) -> None:
        """Fill the objects, which are all of the selection's type."""
        note_shown(self._executor.context_value.operation, selection, [spot.source for spot in spots])
        for key, field in selection.fields:
            if field is None:
                for spot in spots:
                    spot.out[key] = selection.type.name
            elif field.is_told:
                self._tell(field, spots)
            else:
                for spot in spots:
                    spot.out[key] = None
        called = await self._call(selection.functions, spots) if selection.functions else {}
        for field in selection.functions:
            await self._complete(field, spots, called[id(field)])
        for field in selection.declared:
            await self._complete(field, spots, await self._given(field, spots))

    async def _call(self, fields: list[FieldPlan], spots: list[Spot]) -> dict[int, list[Any]]:
        return await call(self._executor, fields, [spot.source for spot in spots])

    def _tell(self, field: FieldPlan, spots: list[Spot]) -> None:
        """Leaf values that the source holds itself; others are completed in their turn."""
        name, key = field.attribute, field.key
        told: Any = field.leaf
        for spot in spots:
            try:
                value = getattr(spot.source, name)
                if value is not None:
                    spot.out[key] = told(value)
                    continue
                spot.out[key] = None
                if field.is_required:
                    self._refuse(field, spot, _no_null(field))
            except NullData:
                raise
            except Exception as fault:
                spot.out[key] = None
                self._refuse(field, spot, fault)

    def _refuse(self, field: FieldPlan, spot: Spot, fault: Exception) -> None:
        """Null for the field of an object, or for what is above it."""
        at = Spot(None, None, spot, spot.out, field.key, field.is_required, field.parent.name)
        refuse(self._executor.collected_errors, fault, field.nodes, at)

    # What fields give.

    async def _given(self, field: FieldPlan, spots: list[Spot]) -> list[Any]:
        """What a declared field gives."""
        try:
            return await self._read(field, spots)
        except Exception as fault:
            return [fault] * len(spots)

    async def _read(self, field: FieldPlan, spots: list[Spot]) -> list[Any]:
        kind, declared = field.declared.kind, field.declared
        if kind == "to_one":
            return await self._to_one(field, spots)
        if kind == "pages":
            return await self._pages(field, spots)
        if kind == "found":
            return await self._found(field, len(spots))
        if kind == "itself":
            return [spot.source for spot in spots]
        if kind == "to_many":
            faults, key = self._denied(declared, spots), declared.needs[0]
            keys = [None if n in faults else getattr(spot.source, key) for n, spot in enumerate(spots)]
            found = await self._loads.rows(declared.read, keys, self._plan.columns(self._executor, field)[0])
            return [faults.get(n, [] if value is None else value) for n, value in enumerate(found)]
        if kind == "count":
            keys = [getattr(spot.source, declared.needs[0]) for spot in spots]
            return [value or 0 for value in await self._loads.rows(declared.read, keys)]
        if kind == "part":
            return await self._parts(field, spots)
        if kind == "total":
            return await self._totals(spots)
        if kind in ("column", "attribute"):
            return [getattr(spot.source, field.attribute) for spot in spots]
        raise TypeError(f"{field.name} is declared as {kind}, which nothing here runs")

    async def _to_one(self, field: FieldPlan, spots: list[Spot]) -> list[Any]:
        needs = field.declared.needs
        if len(needs) == 1:
            keys = [getattr(spot.source, needs[0]) for spot in spots]
        else:
            keys = [tuple(getattr(spot.source, name) for name in needs) for spot in spots]
        found = await self._loads.rows(field.declared.read, keys, self._plan.columns(self._executor, field)[0])
        if field.is_required:
            return [NotFound(field.name) if value is None else value for value in found]
        return found

    async def _found(self, field: FieldPlan, count: int) -> list[Any]:
        key = await key_of(self._executor, field)
        return await self._loads.rows(field.declared.read, [key] * count, self._plan.columns(self._executor, field)[0])

    async def _pages(self, field: FieldPlan, spots: list[Spot]) -> list[Any]:
        """Connections that are still to be read. The request is the same for all objects."""
        faults, key = self._denied(field.declared, spots), field.declared.needs[0]
        allowed = [spot for number, spot in enumerate(spots) if number not in faults]
        if not allowed:
            return list(faults.values())
        first = (await self._call([field], allowed[:1]))[id(field)][0]
        if field.declared.cached_s is not None and isinstance(first, Listed):
            first = replace(first, read=cached_pages(self._executor, field))

        def of(spot: Spot) -> Any:
            return replace(first, key=getattr(spot.source, key)) if isinstance(first, Listed) else first

        return [faults.get(number) or of(spot) for number, spot in enumerate(spots)]

    def _denied(self, declared: Declared, spots: list[Spot]) -> dict[int, Exception]:
        """Number -> why the field may not be read there, where its declaration asks for a permission."""
        faults: dict[int, Exception] = {}
        if declared.permission is not None:
            for number, spot in enumerate(spots):
                try:
                    actor = self._executor.context_value.actor
                    actor.require(declared.permission, org_id=getattr(spot.source, declared.needs[-1]))
                except Exception as fault:
                    faults[number] = fault
        return faults

    async def _parts(self, field: FieldPlan, spots: list[Spot]) -> list[Any]:
        """A part of each connection's page, which is read once for all parts of it."""
        listed: list[Listed] = [spot.source for spot in spots]
        pages = await self._loads.each([(each.read, each.key, (each.columns, each.asked)) for each in listed])
        return [page if isinstance(page, Exception) else field.declared.read(page) for page in pages]

    async def _totals(self, spots: list[Spot]) -> list[Any]:
        listed: list[Listed] = [spot.source for spot in spots]
        found = await self._loads.each([(each.read.totals, each.key, (each.asked,)) for each in listed])
        return [value or 0 for value in found]

    # What becomes of it.

    async def _complete(self, field: FieldPlan, spots: list[Spot], values: Sequence[Any]) -> None:
        """Put the values in their places; objects among them are filled, those of one type together."""
        below: dict[str, list[Spot]] = {}
        for spot, value in zip(spots, values, strict=True):
            at = (spot, spot.out, field.key, field.parent.name)
            try:
                self._place(field, field.type, value, at, below)
            except NullData:
                raise
            except Exception as fault:
                self._refuse(field, spot, fault)
        for name, found in below.items():
            type_: Any = self._executor.schema.get_type(name)
            if self._executor.collected_errors.errors:
                found = [spot for spot in found if not spot.is_given_up]
            try:
                selection = self._plan.selection(self._executor, field, type_)
            except GraphQLError as fault:
                for spot in found:
                    refuse(self._executor.collected_errors, fault, field.nodes, spot)
                continue
            if found and not await self._went_straight(selection, found):
                await self._select(selection, found)

    async def _went_straight(self, selection: Selection, spots: list[Spot]) -> bool:
        """Fill what a mutation gave, if nothing goes wrong. Where something does, the rest is done with care."""
        if not self._goes_straight:
            return False
        try:
            built = await Straight(self._executor, self._plan).select(selection, [spot.source for spot in spots])
        except Exception as fault:
            _note_detour(fault)
            self._goes_straight = False
            return False
        finally:
            self._executor.context_value.operation.takes_text = False
        for spot, made in zip(spots, built, strict=True):
            spot.out.update(made)
        return True

    def _place(self, field: FieldPlan, type_: Any, value: Any, at: Any, below: dict[str, list[Spot]]) -> None:
        """Complete one value. Raises what is wrong with it."""
        parent, container, key, type_name = at
        is_required = is_non_null_type(type_)
        if is_required:
            type_ = type_.of_type
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            if is_required:
                raise _no_null(field)
            container[key] = None
        elif field.leaf is not None and not is_list_type(type_):
            container[key] = field.leaf(value)
        elif is_list_type(type_):
            self._list(field, type_, value, (parent, container, key, type_name, is_required), below)
        else:
            runtime = field.classes.get(type(value)) or self._runtime_type(field, type_, value)
            out: dict[str, Any] = {}
            container[key] = out
            below.setdefault(runtime.name, []).append(Spot(value, out, parent, container, key, is_required, type_name))

    def _list(self, field: FieldPlan, type_: Any, value: Any, at: Any, below: dict[str, list[Spot]]) -> None:
        parent, container, key, type_name, is_required = at
        if not is_iterable(value):
            raise GraphQLError(f"Expected Iterable, but did not find one for field '{field.parent.name}.{field.name}'.")
        found = list(value)
        items: list[Any] = [None] * len(found)
        container[key] = items
        spot = Spot(value, items, parent, container, key, is_required, type_name)
        for index, item in enumerate(found):
            try:
                self._place(field, type_.of_type, item, (spot, items, index, None), below)
            except NullData:
                raise
            except Exception as fault:
                at_item = Spot(None, None, spot, items, index, is_non_null_type(type_.of_type), None)
                refuse(self._executor.collected_errors, fault, field.nodes, at_item)

    def _runtime_type(self, field: FieldPlan, type_: Any, value: Any) -> GraphQLObjectType:
        executor, info = self._executor, info_of(self._executor, field)
        found: GraphQLObjectType = type_
        if is_abstract_type(type_):
            name = (type_.resolve_type or executor.type_resolver)(value, info, type_)
            found = executor.ensure_valid_runtime_type(name, type_, field.details, info, value)
        if found.is_type_of is not None and not found.is_type_of(value, info):
            raise invalid_return_type_error(found, value, field.details)
        field.classes[type(value)] = found
        return found


def _note_detour(fault: Exception) -> None:
    """Count it. What went wrong is found again with care, and told then, unless it is a mistake of the straight way."""
    telemetry.DETOURS.inc()
    if not isinstance(fault, Detour | DomainError | GraphQLError):
        log.debug("a detour", fault=type(fault).__name__)


def _no_null(field: FieldPlan) -> TypeError:
    return TypeError(f"Cannot return null for non-nullable field {field.parent.name}.{field.name}.")
