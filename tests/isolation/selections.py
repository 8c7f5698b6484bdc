"""Selections of every field, to a depth, generated from the schema."""

from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

Seen = set[tuple[str, str]]
"""Types and their fields."""


def selection(schema: GraphQLSchema, type_: GraphQLType, depth: int, seen: Seen | None = None) -> str:
    """All fields of the type, and `depth` levels of the objects below it; nothing for a scalar.

    Connections, edges and the results of a bulk are no level of their own. `seen` gets every field that is selected.
    """
    named = get_named_type(type_)
    seen = set() if seen is None else seen
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
        # Fields of different types may clash under one name, so each gets its type's as a prefix.
        members = schema.get_possible_types(named)
        pieces = [f"... on {each.name} {_fields(schema, each, depth, seen, f'{each.name}_')}" for each in members]
        return "{ __typename " + " ".join(pieces) + " }"
    assert isinstance(named, GraphQLObjectType)
    return _fields(schema, named, depth, seen, "")


def _fields(schema: GraphQLSchema, type_: GraphQLObjectType, depth: int, seen: Seen, prefix: str) -> str:
    pieces = ["__typename"]
    for name, field in type_.fields.items():
        inner = depth if _is_plumbing(type_) else depth - 1
        if any(map(is_required_argument, field.args.values())):
            continue
        picked = ""
        if not is_leaf_type(get_named_type(field.type)):
            if inner < 0:
                continue
            picked = " " + selection(schema, field.type, inner, seen)
        seen.add((type_.name, name))
        pieces.append(f"{f'{prefix}{name}: ' if prefix else ''}{name}{picked}")
    return "{ " + " ".join(pieces) + " }"


def _is_plumbing(type_: GraphQLObjectType) -> bool:
    """Whether its fields lead from a list to its items."""
    return "pageInfo" in type_.fields or type_.name.endswith(("Edge", "Result"))
