"""Which columns an operation needs: read from its text and the declarations of its fields, before any row is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    SelectionSetNode,
    get_named_type,
)
from strawberry.types.field import StrawberryField

from domain.base.permissions import Permission
from domain.base.reads import TEXT, Columns
from graph.base.context import Info

DECLARED = "planwire"
"""Where a Strawberry field's metadata keeps its declaration."""


@dataclass(frozen=True)
class Declared:
    """What a field is made of. `needs`: columns of its own row. `through`: the row itself is handed on.

    `asked` makes the request of a page, or the key of what is found, out of the field's arguments. `whole`: with every
    column. `cached_s`: how long its pages may come from the cache.
    """

    kind: str
    needs: tuple[str, ...] = ()
    read: Any = None
    through: bool = False
    permission: Permission | None = None
    asked: Any = None
    whole: bool = False
    cached_s: int | None = None


def declaration(field: StrawberryField) -> Declared:
    """How the field was declared; one that was not hands its row on, as a connection does."""
    declared: Declared = field.metadata.get(DECLARED) or Declared("plain", through=True)
    # A column's name is known only once its class is made.
    return replace(declared, needs=(field.python_name,)) if declared.kind == "column" else declared


Found = dict[str, set[str]]


def columns(info: Info, type_name: str | None = None) -> Columns:
    """The columns that the rows below this field are read with, `id` always among them.

    `type_name` names the concrete type where the field gives an interface or a union.
    """
    raw = info._raw_info
    nodes = tuple(raw.field_nodes)
    operation = info.context.operation
    key = (*map(id, nodes), raw.return_type, type_name)
    if (listed := operation.of_text.get(key)) is None:
        found = _found_below(raw.schema, raw.fragments, nodes, raw.return_type)
        told = _of_type(raw.schema, found, raw.return_type, type_name)
        listed = operation.of_text[key] = (_plain(told), told)
    told_or_plain: Columns = listed[operation.takes_text]
    return told_or_plain


def columns_below(
    schema: GraphQLSchema,
    fragments: dict[str, FragmentDefinitionNode],
    nodes: Sequence[FieldNode],
    type_: GraphQLOutputType,
) -> tuple[Columns, Columns]:
    """The columns that rows below a field of the type are read with, `id` always among them.

    First all as values; then with those as text that are only told, see `TEXT`.
    """
    told = _of_type(schema, _found_below(schema, fragments, nodes, type_), type_)
    return _plain(told), told


def _plain(columns: Columns) -> Columns:
    return tuple(sorted({name.removesuffix(TEXT) for name in columns}))


def _found_below(
    schema: GraphQLSchema,
    fragments: dict[str, FragmentDefinitionNode],
    nodes: Sequence[FieldNode],
    type_: GraphQLOutputType,
) -> "Found":
    # @skip and @include are not looked at: a column too many costs less than a plan for each combination.
    walk = _Walk(schema, fragments)
    for node in nodes:
        if node.selection_set is not None:
            walk.collect(get_named_type(type_), node.selection_set)
    return walk.found


def _of_type(schema: GraphQLSchema, found: "Found", type_: GraphQLOutputType, name: str | None = None) -> Columns:
    named = get_named_type(type_)
    names = [name or _row_type(named)]
    if names[0] != named.name and name is None:
        # Of a connection: what its parts need of the page.
        names.append(named.name)
    if name is None and isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
        # What reads rows of several types takes of each what it has.
        names = _concrete(schema, named)
    return tuple(sorted({"id"}.union(*(found.get(each, ()) for each in names))))


def _row_type(type_: GraphQLNamedType) -> str:
    """The type whose rows are read: of a connection, its nodes'."""
    if isinstance(type_, GraphQLObjectType) and "nodes" in type_.fields and "pageInfo" in type_.fields:
        type_ = get_named_type(type_.fields["nodes"].type)
    return type_.name


class _Walk:
    """One pass over the selections below a field.

    Each selection set is looked at once for each type: fragments that spread each other twice would otherwise double
    the work at every level.
    """

    def __init__(self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self.found: Found = {}
        self._schema = schema
        self._fragments = fragments
        self._seen: set[tuple[str, int]] = set()

    def collect(self, type_: GraphQLNamedType, selections: SelectionSetNode) -> None:
        if (key := (type_.name, id(selections))) in self._seen:
            return
        self._seen.add(key)
        for selection in selections.selections:
            if isinstance(selection, FieldNode):
                self._field(type_, selection)
                continue
            if isinstance(selection, FragmentSpreadNode):
                fragment = self._fragments[selection.name.value]
                narrowed = self._schema.get_type(fragment.type_condition.name.value)
                inner = fragment.selection_set
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                narrowed = self._schema.get_type(condition.name.value) if condition else type_
                inner = selection.selection_set
            if narrowed is not None:
                self.collect(narrowed, inner)

    def _field(self, type_: GraphQLNamedType, node: FieldNode) -> None:
        if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            return  # a union has no field but __typename
        field = type_.fields.get(node.name.value)
        if field is None:
            return
        declared = declaration(field.extensions["strawberry-definition"])
        needs = (
            {told_column(name, field.type) for name in declared.needs} if declared.kind == "column" else declared.needs
        )
        for concrete in _concrete(self._schema, type_):
            self.found.setdefault(concrete, set()).update(needs)
        if declared.through and node.selection_set is not None:
            self.collect(get_named_type(field.type), node.selection_set)


def told_column(name: str, type_: GraphQLOutputType) -> str:
    """The column, as text where that is nearly what a field of the type tells."""
    return name + TEXT if get_named_type(type_).name in ("DateTime", "Date") else name


def _concrete(schema: GraphQLSchema, type_: GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType) -> list[str]:
    if isinstance(type_, GraphQLObjectType):
        return [type_.name]
    return [possible.name for possible in schema.get_possible_types(type_)]
