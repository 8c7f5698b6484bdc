"""What goes into arguments of generated operations: values of every type, right and wrong, and how they are written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_required_input_field,
)

from tests.isolation.calls import COMPARISONS, THINGS, VALUES

Draw = Random

MALFORMED = ["", "task_", "nonsense", "task_0123", "Task_00000000000000000000000000000000"]
SIZES = [1, 2, 3, 20, 100, 0, 101, -1]
SCALARS: Mapping[str, list[Any]] = {
    "Int": [0, 1, 2, 3, 100, -1],
    "Float": [0.0, 1.5],
    "Boolean": [True, False],
    "String": ["", "a", "wombat", "Todo", "%", "o'clock"],
    "Date": ["2026-11-20", "2000-01-01"],
    "DateTime": ["2026-11-20T09:30:00Z", "2000-01-01T00:00:00+01:00"],
    "JSON": [None, 1, "text", [1, {"a": None}], {"theme": "dark"}],
    "BigInt": [0, 2**40],
}
NESTING = 2


@dataclass(frozen=True)
class Material:
    """What there is to ask for: ids by thing, ids that are strange to the caller, and cursors by type and field."""

    ids: Mapping[str, str]
    strange: list[str]
    cursors: Mapping[str, list[str]]
    texts: Mapping[str, str]


def percent(draw: Draw, chance: int) -> bool:
    """Whether something of that chance is so. The simplest is that it is not."""
    return bool(draw.randint(0, 99) >= 100 - chance)


def one_of(draw: Draw, choices: Any) -> Any:
    """One of them; the first is the simplest."""
    return draw.choice(list(choices))


def value_of(draw: Draw, type_: GraphQLInputType, key: str, name: str, material: Material, depth: int = 0) -> Any:
    """A value of the type. `key` is what tests.isolation.calls knows the place by, `name` the argument or field."""
    if isinstance(type_, GraphQLNonNull):
        return _given(draw, type_.of_type, key, name, material, depth)
    return None if percent(draw, 4) else _given(draw, type_, key, name, material, depth)


def _given(draw: Draw, type_: Any, key: str, name: str, material: Material, depth: int) -> Any:
    if isinstance(type_, GraphQLList):
        items = draw.randint(0 if percent(draw, 20) else 1, 3)
        return [value_of(draw, type_.of_type, key, name, material, depth) for _ in range(items)]
    if isinstance(type_, GraphQLInputObjectType):
        return _fields(draw, type_, key, material, depth)
    if isinstance(type_, GraphQLEnumType):
        return one_of(draw, type_.values)
    if type_.name == "ID":
        return _id(draw, key, material)
    if name in ("first", "last"):
        return one_of(draw, SIZES)
    if name in ("after", "before"):
        return _cursor(draw, key, material)
    if name in material.texts and percent(draw, 70):
        return material.texts[name]
    if key in VALUES and percent(draw, 60):
        return _known(VALUES[key])
    return one_of(draw, SCALARS[type_.name])


def _known(value: Any) -> Any:
    # A fresh value would differ between the two runs that are compared.
    return "probe-one" if callable(value) else value


def _fields(draw: Draw, type_: GraphQLInputObjectType, key: str, material: Material, depth: int) -> dict[str, Any]:
    required = [name for name, each in type_.fields.items() if is_required_input_field(each)]
    others = [
        name
        for name, each in type_.fields.items()
        if name not in required and (depth < NESTING or get_named_type(each.type) is not type_)
    ]
    given = dict.fromkeys(one_of(draw, others) for _ in range(draw.randint(0, 2))) if others else {}
    return {
        name: value_of(
            draw,
            type_.fields[name].type,
            key if type_.name in COMPARISONS else f"{type_.name}.{name}",
            name,
            material,
            depth + 1,
        )
        for name in (*required, *given)
    }


def _id(draw: Draw, key: str, material: Material) -> str:
    chance = draw.randint(0, 99)
    if chance < 80 and key in THINGS and key not in ("node.id", "nodes.ids"):
        return material.ids[THINGS[key]]
    if chance < 91:
        return str(one_of(draw, material.ids.values()))
    return str(one_of(draw, material.strange if chance < 97 else MALFORMED))


def _cursor(draw: Draw, key: str, material: Material) -> str:
    own = material.cursors.get(key, [])
    if own and percent(draw, 70):
        return str(one_of(draw, own))
    return str(one_of(draw, ["", "nonsense", *(each for some in material.cursors.values() for each in some)]))


Write = Callable[[Any, GraphQLInputType], str | None]
"""A variable's name to stand for the value, with its `$`; None where the value is to be written out."""


def written(value: Any, type_: GraphQLInputType, variable: Write) -> str:
    """The value as a literal; some of what is in it may be variables."""
    if (name := variable(value, type_)) is not None:
        return name
    if isinstance(type_, GraphQLNonNull):
        return _literal(value, type_.of_type, variable)
    return _literal(value, type_, variable)


def _literal(value: Any, type_: GraphQLInputType, variable: Write) -> str:
    if value is None:
        return "null"
    if isinstance(type_, GraphQLList):
        return "[" + ", ".join(written(item, type_.of_type, variable) for item in value) + "]"
    if isinstance(type_, GraphQLInputObjectType):
        pieces = [f"{name}: {written(item, type_.fields[name].type, variable)}" for name, item in value.items()]
        return "{" + ", ".join(pieces) + "}"
    if isinstance(type_, GraphQLEnumType):
        return str(value)
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return json.dumps(value)
