"""What each field of the schema adds to a document's cost: known from its type, its arguments and its declaration.

An object is a point where it is a row; what is no row came with its parent and is free, and so are scalars. What is
dearer than it looks, or a list whose length is stated, says so with a `Cost` in its declaration's metadata.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
)

from domain.base.paging import MOST_PER_PAGE
from graph.base.nodes import FromRow
from graph.base.selection import declaration

COST = "planwire.cost"
"""Where a Strawberry field's metadata keeps its Cost."""

# A mutation takes locks, a transaction and the log, which is some ten times the work of reading a row.
WRITE = 10
# As how many objects a list counts that has no page and states no length. What people put there is less: the labels of
# a task, the states of a project. Counted by their caps of 50 and 30, a board with labels would be refused.
SHORT_LIST = 10
# The whole schema is as much work to show as some hundred rows, and graphql-core shows it.
INTROSPECTION = 100
INTROSPECTION_FIELDS = ("__schema", "__type")
_PAGE_SIZES = ("last", "first")


@dataclass(frozen=True)
class Cost:
    """What a declaration says of a field's cost.

    `points`: for the field itself, each time it is read. `length`: as how many objects a list counts. `per`: the
    argument that says on how many things it works, by its items or as a number; the points are for each of them.
    `as_asked`: a list as long as the field around it was asked to work on. `of_page`: a part of a connection's page,
    whose rows are counted once for the connection. `objects`: False where its objects were counted before. `text`: it
    is free, and may hold a text as long as a page or a book.
    """

    points: int = 0
    length: int = SHORT_LIST
    per: str | None = None
    as_asked: bool = False
    of_page: bool = False
    objects: bool = True
    text: bool = False


def priced(**stated: Any) -> dict[str, Cost]:
    """The metadata that states a Cost; nothing where all is as usual."""
    cost = Cost(**{name: value for name, value in stated.items() if value is not None})
    return {} if cost == Cost() else {COST: cost}


@dataclass(frozen=True, slots=True)
class Price:
    """What a field costs. `asked`: the arguments that say how many, the one that goes before the others first."""

    type: GraphQLNamedType | None = None
    points: int = 0
    points_each: bool = False
    is_list: bool = False
    length: int = 1
    as_asked: bool = False
    of_page: bool = False
    objects: bool = False
    text: bool = False
    asked: tuple[str, ...] = ()
    asked_by_list: bool = False
    otherwise: int = 1
    """How many there are where no argument says it."""

    @property
    def counts(self) -> bool:
        """Whether it costs anything by itself, or may be long."""
        return bool(self.points or self.objects or self.of_page or self.text)


UNKNOWN = Price()
"""Of a field that is not there, which validation refuses later."""


class Prices:
    """The prices of a schema's fields, each found once."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._found: dict[tuple[str, str], Price] = {}

    def of(self, parent: GraphQLNamedType | None, name: str) -> Price:
        """The price of a field. Nothing is wrong with a name or a type that is not there."""
        if parent is None or not is_composite_type(parent):
            return UNKNOWN
        key = (parent.name, name)
        if (found := self._found.get(key)) is None:
            field = self.schema.get_field(parent, name)
            if field is None:
                # Not kept: there is no end to names that are not there.
                return UNKNOWN
            found = self._found[key] = self._price(parent, name, field)
        return found

    def _price(self, parent: GraphQLNamedType, name: str, field: GraphQLField) -> Price:
        strawberry_field = (field.extensions or {}).get("strawberry-definition")
        stated: Cost = Cost() if strawberry_field is None else strawberry_field.metadata.get(COST, Cost())
        points = max(WRITE, stated.points) if parent is self.schema.mutation_type else stated.points
        if name in INTROSPECTION_FIELDS:
            points = INTROSPECTION
        named = get_named_type(field.type)
        is_composite = is_composite_type(named)
        if stated.per is not None:
            asked: tuple[str, ...] = (stated.per,)
        else:
            asked = tuple(name for name in _PAGE_SIZES if name in field.args) if is_composite else ()
        hands_on = strawberry_field is not None and declaration(strawberry_field).kind == "itself"
        by_list = bool(asked) and is_list_type(get_nullable_type(field.args[asked[0]].type))
        return Price(
            type=named,
            points=points,
            points_each=stated.per is not None,
            is_list=is_list_type(get_nullable_type(field.type)),
            length=stated.length,
            as_asked=stated.as_asked or stated.of_page,
            of_page=stated.of_page,
            text=stated.text,
            objects=stated.objects and not stated.of_page and not hands_on and self._is_row(named),
            asked=asked,
            asked_by_list=by_list,
            otherwise=_default(field, asked, by_list),
        )

    def _is_row(self, type_: GraphQLNamedType) -> bool:
        """Whether an object of the type may be a row."""
        return is_composite_type(type_) and any(map(is_row, self._concrete(type_)))

    def _concrete(self, type_: GraphQLNamedType) -> Iterator[GraphQLNamedType]:
        yield from self.schema.get_possible_types(type_) if is_abstract_type(type_) else (type_,)


@lru_cache(maxsize=8)
def prices_of(schema: GraphQLSchema) -> Prices:
    """The prices of a schema, of which a process has one and its tests some more."""
    return Prices(schema)


def is_row(type_: GraphQLNamedType) -> bool:
    """Whether the objects of a type are rows, each of which is a point."""
    definition = (type_.extensions or {}).get("strawberry-definition")
    return definition is not None and issubclass(definition.origin, FromRow)


def is_long(strawberry_field: Any) -> bool:
    """Whether what the field gives may be a long text. None is a field of graphql-core's own."""
    return strawberry_field is not None and strawberry_field.metadata.get(COST, Cost()).text


def _default(field: GraphQLField, asked: tuple[str, ...], by_list: bool) -> int:
    if by_list:
        # A value that is no list is taken for a list of one.
        return 1
    defaults = [field.args[name].default_value for name in asked]
    return next((value for value in defaults if type(value) is int), MOST_PER_PAGE if asked else 1)
