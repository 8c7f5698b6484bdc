"""Arguments as functions take them, from what graphql-core gives: input objects, lists and enums.

What is to be done follows from the type alone, so it is worked out once for each argument. Strawberry finds it anew at
each value, which is a tenth of a change's work; it stays the referee in the tests, and does what is not known here.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING
from functools import cache, partial
from typing import Any

from strawberry import UNSET
from strawberry.relay.types import GlobalID
from strawberry.scalars import is_scalar
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.base import StrawberryList, StrawberryMaybe, StrawberryOptional, has_object_definition
from strawberry.types.enum import StrawberryEnumDefinition, has_enum_definition
from strawberry.types.lazy_type import LazyType

Convert = Callable[[Any], Any]


def converted(given: dict[str, Any], arguments: Sequence[StrawberryArgument], schema: Any) -> dict[str, Any]:
    """The given arguments by Python names, as Strawberry's `convert_arguments` gives them."""
    found = {}
    for argument in arguments:
        name, convert = converter(argument, schema)
        if name in given:
            found[argument.python_name] = convert(given[name])
    return found


@cache
def converter(argument: StrawberryArgument, schema: Any) -> tuple[str, Convert]:
    """The argument's name in GraphQL, and what makes its value one of Python. `schema` is Strawberry's converter."""
    return schema.config.name_converter.from_argument(argument), _Converters(schema).of(argument.type)


def _as_it_is(value: Any) -> Any:
    return value


class _Converters:
    """The converters of the types that one argument is made of; an input type may hold itself."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._objects: dict[Any, Convert] = {}

    def of(self, type_: Any) -> Convert:
        while isinstance(type_, StrawberryOptional | LazyType) and not isinstance(type_, StrawberryMaybe):
            type_ = type_.of_type if isinstance(type_, StrawberryOptional) else type_.resolve_type()
        if isinstance(type_, StrawberryEnumDefinition) or (
            not isinstance(type_, StrawberryList) and has_enum_definition(type_)
        ):
            return _as_it_is
        if isinstance(type_, StrawberryList):
            return partial(_list, self.of(type_.of_type))
        if is_scalar(type_, self._schema.scalar_registry) and type_ is not GlobalID:
            return _as_it_is
        if has_object_definition(type_) and type_.__strawberry_definition__.from_input is None:
            return self._object(type_)
        return partial(
            convert_argument,
            type_=type_,
            scalar_registry=self._schema.scalar_registry,
            config=self._schema.config,
        )

    def _object(self, type_: Any) -> Convert:
        if (made := self._objects.get(type_)) is not None:
            return made
        definition = type_.__strawberry_definition__
        # Absent means null, unless the field says otherwise; graphql-core has seen to those that must be given.
        absent = {
            field.python_name: None
            for field in definition.fields
            if definition.is_input and field.default_value is MISSING and field.default_factory is MISSING
        }
        fields: list[tuple[str, str, Convert]] = []

        def convert(value: Any) -> Any:
            if value is None or value is UNSET:
                return value
            given = dict(absent)
            for name, python_name, inner in fields:
                if name in value:
                    given[python_name] = inner(value[name])
            return type_(**given)

        self._objects[type_] = convert
        fields += [
            (
                self._schema.config.name_converter.from_field(field),
                field.python_name,
                self.of(field.resolve_type(type_definition=definition)),
            )
            for field in definition.fields
        ]
        return convert


def _list(inner: Convert, value: Any) -> Any:
    # A list is copied even where nothing in it is converted: a default is the same for every request.
    return value if value is None or value is UNSET else [inner(item) for item in value]
