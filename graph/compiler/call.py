"""Calls of functions: their arguments, and what they give for many objects, all of them together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from graphql import (
    Undefined,
    VariableNode,
    get_argument_values,
    get_nullable_type,
    is_non_null_type,
    is_scalar_type,
)
from graphql.execution import Executor
from graphql.pyutils import Path
from strawberry import Info
from strawberry.utils.str_converters import to_camel_case

from graph.compiler.arguments import converted, converter
from graph.compiler.plan import FieldPlan, Taken, has_variables

# What is converted by being taken as it is.
_AS_IT_IS = (str, int, bool, float)


def arguments_of(executor: Executor[Any], field: FieldPlan) -> dict[str, Any]:
    """The field's arguments as its function takes them, by Python names. Raises GraphQLError."""
    if not field.definition.args:
        return {}
    if field.arguments is not None:
        constant, variables = field.arguments
        values = executor.variable_values.coerced
        found = dict(constant)
        for name, variable, may_be_null, convert in variables:
            value = values.get(variable, Undefined)
            if value is None and may_be_null:
                found[name] = None
            elif convert is not None and value is not None and value is not Undefined:
                found[name] = convert(value)
            elif value.__class__ in _AS_IT_IS:
                found[name] = value
            else:
                break
        else:
            return found
    found = _converted(executor, field)
    if field.arguments is None:
        field.arguments = _taken_apart(executor, field, found)
    return found


def _converted(executor: Executor[Any], field: FieldPlan) -> dict[str, Any]:
    given = get_argument_values(field.definition, field.nodes[0], executor.variable_values)
    made: Any = executor.schema
    return converted(given, field.source.arguments, made._strawberry_schema.schema_converter)


def _taken_apart(executor: Executor[Any], field: FieldPlan, found: dict[str, Any]) -> Taken | None:
    """The arguments that are always the same, and the variables of those that are each one, with what converts them."""
    names = {
        argument.graphql_name or to_camel_case(argument.python_name): argument for argument in field.source.arguments
    }
    constant, variables = dict(found), []
    for node in field.nodes[0].arguments or ():
        argument = names[node.name.value]
        if isinstance(node.value, VariableNode):
            type_ = field.definition.args[node.name.value].type
            convert = None
            if not is_scalar_type(get_nullable_type(type_)):
                made: Any = executor.schema
                _, convert = converter(argument, made._strawberry_schema.schema_converter)
            constant.pop(argument.python_name, None)
            variables.append((argument.python_name, node.value.name.value, not is_non_null_type(type_), convert))
        elif has_variables(node.value):
            return None
    return constant, variables


async def key_of(executor: Executor[Any], field: FieldPlan) -> Any:
    """The key of the row that the field finds. Raises GraphQLError, and what its function raises."""
    info = Info(_raw_info=info_of(executor, field), _field=field.source)
    found = field.declared.asked(info, **arguments_of(executor, field))
    return await found if isinstance(found, Awaitable) else found


def info_of(executor: Executor[Any], field: FieldPlan) -> Any:
    """What graphql-core tells a function. The path is that of no object in particular; nobody reads it."""
    path = Path(None, field.key, field.parent.name)
    return executor.build_resolve_info(field.definition, field.nodes, field.parent, path)


def _function(executor: Executor[Any], field: FieldPlan) -> Callable[[Any], Any]:
    """The field's function of its source. Raises GraphQLError for its arguments."""
    raw = info_of(executor, field)
    resolver = getattr(field.source, "base_resolver", None)
    # The function of a subscription gives its events; here one of them is already there.
    if resolver is None or field.source.extensions or field.source.is_subscription:
        resolve: Any = field.definition.resolve
        given = get_argument_values(field.definition, field.nodes[0], executor.variable_values)
        return lambda source: resolve(source, raw, **given)
    arguments = arguments_of(executor, field)
    if resolver.info_parameter is not None:
        arguments = {**arguments, resolver.info_parameter.name: Info(_raw_info=raw, _field=field.source)}
    function = resolver.wrapped_func
    if resolver.self_parameter is not None:
        return lambda source: function(source, **arguments)
    if resolver.root_parameter is not None:
        name = resolver.root_parameter.name
        return lambda source: function(**{name: source}, **arguments)
    return lambda source: function(**arguments)


async def call(executor: Executor[Any], fields: list[FieldPlan], sources: Sequence[Any]) -> dict[int, list[Any]]:
    """Identity of the field -> what it gives for each source: a value, or what went wrong.

    All together, so that what they load goes into one batch.
    """
    waiting: list[Awaitable[Any]] = []
    places: list[tuple[list[Any], int]] = []
    given: dict[int, list[Any]] = {}
    for field in fields:
        values = given[id(field)] = [None] * len(sources)
        try:
            function = _function(executor, field)
        except Exception as fault:
            given[id(field)] = [fault] * len(sources)
            continue
        for number, source in enumerate(sources):
            try:
                value = function(source)
            except Exception as fault:
                value = fault
            if isinstance(value, Awaitable):
                waiting.append(value)
                places.append((values, number))
            else:
                values[number] = value
    for (values, number), value in zip(places, await _all(waiting), strict=True):
        values[number] = value
    # A list may hold what is still to be awaited.
    unready = [
        (value, number)
        for values in given.values()
        for value in values
        if isinstance(value, list)
        for number, item in enumerate(value)
        if isinstance(item, Awaitable)
    ]
    for (items, number), item in zip(unready, await _all([items[n] for items, n in unready]), strict=True):
        items[number] = item
    return given


async def _all(waiting: Sequence[Awaitable[Any]]) -> list[Any]:
    """What each gives, or what went wrong with it. Together, so that what they load goes into one batch."""
    if not waiting:
        return []
    if len(waiting) == 1:
        try:
            return [await waiting[0]]
        except Exception as fault:
            return [fault]
    values = list(await asyncio.gather(*waiting, return_exceptions=True))
    for value in values:
        # A cancellation is no failure of a field.
        if isinstance(value, BaseException) and not isinstance(value, Exception):
            raise value
    return values
