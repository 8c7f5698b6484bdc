"""Arguments become what Strawberry makes of them, for each argument of the schema."""

import random
from typing import Any, cast

import pytest
from graphql import (
    GraphQLArgument,
    get_named_type,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from strawberry.types.arguments import StrawberryArgument, convert_arguments

from graph.compiler.arguments import converted
from graph.schema import schema

CONVERTER = cast(Any, schema)._strawberry_schema.schema_converter
VALUES = 20


def arguments() -> list[Any]:
    """Every argument of every field, with the field that has it."""
    found = []
    for type_ in schema.type_map.values():
        for name, field in (getattr(type_, "fields", None) or {}).items():
            declared = (getattr(field, "extensions", None) or {}).get("strawberry-definition")
            for argument in getattr(declared, "arguments", None) or ():
                place = CONVERTER.config.name_converter.from_argument(argument)
                found.append(pytest.param(argument, place, field.args[place], id=f"{type_.name}.{name}.{place}"))
    return found


def value_of(type_: Any, chance: random.Random, depth: int = 4) -> Any:
    """What graphql-core may give for the type: values of enums are there by then, absent fields are not."""
    if is_non_null_type(type_):
        return value_of(type_.of_type, chance, depth)
    if chance.random() < 0.2 or depth == 0:
        return None
    if is_list_type(type_):
        return [value_of(type_.of_type, chance, depth - 1) for _ in range(chance.randrange(3))]
    if is_input_object_type(type_):
        return {
            field.out_name or name: value_of(field.type, chance, depth - 1)
            for name, field in type_.fields.items()
            if is_non_null_type(field.type) or chance.random() < 0.5
        }
    if is_enum_type(type_):
        return chance.choice([value.value for value in type_.values.values()])
    return chance.choice(["text", 3, True, object()])


@pytest.mark.parametrize(("argument", "name", "declared"), arguments())
def test_an_argument_is_converted_as_strawberry_does(
    argument: StrawberryArgument, name: str, declared: GraphQLArgument
) -> None:
    chance = random.Random(f"{get_named_type(declared.type)} {name}")  # noqa: S311
    registry, config = CONVERTER.scalar_registry, CONVERTER.config
    given = [{}, {name: None}]
    while len(given) < VALUES:
        value = value_of(get_nullable_type(declared.type), chance)
        given.append({name: value})

    for each in given:
        assert converted(each, [argument], CONVERTER) == convert_arguments(each, [argument], registry, config)


def test_a_list_is_a_new_one() -> None:
    (listed,) = [each for each in arguments() if each.id == "Mutation.taskBulkUpdate.items"]
    argument, name, _ = listed.values
    given: dict[str, Any] = {name: []}

    assert converted(given, [argument], CONVERTER)["items"] is not given[name]
