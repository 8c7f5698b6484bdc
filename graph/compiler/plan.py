"""Plans: what each field of an operation is made of, found once from its text and the declarations of the schema.

A plan knows no caller and no row. It is kept for the operation and for the values of the variables that @skip and
@include look at, because these decide which fields there are.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, GroupedFieldSet, collect_fields, collect_subfields

from domain.base.reads import Columns
from graph.base.documents import LONGEST_CACHED
from graph.base.ids import global_id
from graph.base.nodes import kind_of
from graph.base.prices import is_long, is_row
from graph.base.selection import Declared, columns_below, declaration
from graph.compiler.respond import Leaf, leaf

MOST_PLANS = 1000
# Of all plans together: one of a document that may be kept can have thousands. 100,000 take about 100 MB.
MOST_FIELDS = 100_000
TYPENAME = "__typename"
INTROSPECTION = ("__schema", "__type")
Taken = tuple[dict[str, Any], list[tuple[str, str, bool, Callable[[Any], Any] | None]]]
"""What a function always takes, and then: its own name for an argument, the variable there, whether it may be null, and
what makes another value of it."""


class Shape(Enum):
    """What a field gives for each object."""

    LEAF = auto()
    LEAVES = auto()
    OBJECT = auto()
    OBJECTS = auto()
    NESTED = auto()
    """Lists of lists."""


@dataclass(slots=True, eq=False)
class FieldPlan:
    """One field of a selection, with all nodes that ask for it."""

    key: str
    name: str
    parent: GraphQLObjectType
    details: list[FieldDetails]
    nodes: list[FieldNode]
    definition: GraphQLField
    type: GraphQLOutputType
    declared: Declared
    attribute: str
    is_required: bool
    leaf: Leaf | None
    source: Any
    """Strawberry's field; None for a type of graphql-core's own."""
    shape: "Shape"
    is_told: bool
    """Whether its source holds it, as a leaf."""
    above: tuple[str, ...]
    """The response keys of the fields above it, without the places in lists."""
    arguments: "Taken | None" = None
    """What its function takes, once it is known."""
    selections: dict[str, "Selection"] = field(default_factory=dict)
    columns: tuple[Columns, Columns] | None = None
    """Of the rows below it, as values and as they are told; None until they are asked for."""
    classes: dict[Any, GraphQLObjectType] = field(default_factory=dict)
    """What objects of a class are. Every type of the schema knows its own by their class."""


@dataclass(slots=True, eq=False)
class Selection:
    """What is asked of an object of one type. None stands for __typename."""

    type: GraphQLObjectType
    fields: list[tuple[str, FieldPlan | None]]
    functions: list[FieldPlan] = field(init=False)
    """Those that are called; what they load goes into one batch."""
    declared: list[FieldPlan] = field(init=False)
    """Those that take more than a look at the source, and no call."""
    builders: dict[Columns | None, Any] = field(default_factory=dict)
    """What makes the objects, by the columns of the rows that are their sources; None for other sources."""
    is_row: bool = field(init=False)
    """Whether its objects are rows, which cost points."""
    long: tuple[str, ...] = field(init=False)
    """The columns of its rows that may hold a long text."""
    long_functions: bool = field(init=False)
    """Whether one of its functions may give such a text."""
    join: Any = None
    """Of the root: what is read in one statement; False where nothing is, None until that is known."""

    def __post_init__(self) -> None:
        self.is_row = is_row(self.type)
        asked = [each for _, each in self.fields if each is not None and is_long(each.source)]
        self.long = tuple({each.attribute for each in asked if each.is_told})
        self.long_functions = any(not each.is_told for each in asked)
        pending = [each for _, each in self.fields if each is not None and not each.is_told]
        self.functions = [each for each in pending if each.declared.kind in ("function", "plain")]
        self.declared = [each for each in pending if each.declared.kind not in ("function", "plain")]


class Plan:
    """The plan of an operation. Selections are planned when an object of their type comes up first."""

    def __init__(self, executor: Executor[Any], key: Hashable | None = None) -> None:
        self.key = key
        """What it is kept under; None for one that is not kept."""
        # Kept, so that no other document can get its address while the plan lives.
        self.operation = executor.operation
        self.size = 0
        """How many fields it holds."""
        self.of_text: dict[Hashable, Any] = {}
        """What functions have found out about their selections."""
        self._one_by_one: list[Selection] | None = None
        root = executor.schema.get_root_type(executor.operation.operation)
        if root is None:
            raise TypeError("validation lets no operation through whose root type is missing")
        grouped = collect_fields(executor.schema, executor.fragments, executor.variable_values, root, self.operation)
        self.root = self._selection(executor, root, grouped.grouped_field_set)
        asks_schema = any(part is not None and part.name in INTROSPECTION for _, part in self.root.fields)
        self.fallback = "introspection" if asks_schema else None
        """Why graphql-core runs it; None for what the compiler runs."""

    def one_by_one(self) -> list[Selection]:
        """The fields of the root, each by itself, as mutations are run."""
        if self._one_by_one is None:
            self._one_by_one = [Selection(self.root.type, [each]) for each in self.root.fields]
        return self._one_by_one

    def selection(self, executor: Executor[Any], above: FieldPlan, type_: GraphQLObjectType) -> Selection:
        """What the field asks of objects of the type."""
        found = above.selections.get(type_.name)
        if found is None:
            grouped = collect_subfields(
                executor.schema,
                executor.fragments,
                executor.variable_values,
                executor.operation,
                type_,
                above.details,
            )
            path = (*above.above, above.key)
            found = above.selections[type_.name] = self._selection(executor, type_, grouped.grouped_field_set, path)
        return found

    def columns(self, executor: Executor[Any], of: FieldPlan) -> tuple[Columns, Columns]:
        """The columns that rows below the field are read with: all as values, or as they are told."""
        if of.columns is None and of.declared.whole:
            of.columns = (of.declared.read.table.columns,) * 2
        if of.columns is None:
            of.columns = columns_below(executor.schema, executor.fragment_definitions, tuple(of.nodes), of.type)
        return of.columns

    def _selection(
        self, executor: Executor[Any], type_: GraphQLObjectType, grouped: GroupedFieldSet, above: tuple[str, ...] = ()
    ) -> Selection:
        self.size += len(grouped)
        return Selection(
            type_,
            [(key, _planned(executor.schema, type_, key, details, above)) for key, details in grouped.items()],
        )


def _planned(
    schema: GraphQLSchema, parent: GraphQLObjectType, key: str, details: list[FieldDetails], above: tuple[str, ...]
) -> FieldPlan | None:
    node = details[0].node
    if node.name.value == TYPENAME:
        return None
    definition = schema.get_field(parent, node.name.value)
    if definition is None:
        raise TypeError("validation lets no unknown field through")
    strawberry_field: Any = (definition.extensions or {}).get("strawberry-definition")
    declared = Declared("attribute") if strawberry_field is None else declaration(strawberry_field)
    if declared.kind == "plain" and strawberry_field.base_resolver is None:
        declared = Declared("attribute")
    kind = declared.kind
    inner = definition.type.of_type if is_non_null_type(definition.type) else definition.type
    return FieldPlan(
        key,
        node.name.value,
        parent,
        details,
        [each.node for each in details],
        definition,
        definition.type,
        declared,
        "id" if kind == "identifier" else node.name.value if strawberry_field is None else strawberry_field.python_name,
        is_non_null_type(definition.type),
        _leaf(parent, kind, definition.type),
        strawberry_field,
        _shape(definition.type),
        kind in ("column", "attribute", "identifier") and is_leaf_type(inner),
        above,
    )


def _shape(type_: GraphQLOutputType) -> Shape:
    inner: Any = get_nullable_type(type_)
    if not is_list_type(inner):
        return Shape.LEAF if is_leaf_type(inner) else Shape.OBJECT
    item = get_nullable_type(inner.of_type)
    if is_list_type(item):
        return Shape.NESTED
    return Shape.LEAVES if is_leaf_type(item) else Shape.OBJECTS


def has_variables(value: Any) -> bool:
    """Whether a value of a document holds any."""
    if isinstance(value, VariableNode):
        return True
    inner = (*(getattr(value, "values", None) or ()), *(each.value for each in getattr(value, "fields", None) or ()))
    return any(has_variables(each) for each in inner)


def _leaf(parent: GraphQLObjectType, kind: str, type_: GraphQLOutputType) -> Leaf | None:
    """How a value of the field, or an item of its list, is told; None for objects."""
    if kind == "identifier":
        return partial(global_id, kind_of(parent.name))
    named = get_named_type(type_)
    return leaf(named) if is_leaf_type(named) else None


class Plans:
    """A cache of plans, bounded in their number and in that of their fields.

    It has those of documents that are kept as well: another one is parsed each time, and its plan would never be found.
    """

    def __init__(self, most: int = MOST_PLANS, most_fields: int = MOST_FIELDS) -> None:
        self._most = most
        self._most_fields = most_fields
        self._deciding: OrderedDict[int, tuple[OperationDefinitionNode, tuple[str, ...]]] = OrderedDict()
        self._plans: OrderedDict[Hashable, tuple[Plan, int]] = OrderedDict()
        self._fields = 0

    def of(self, executor: Executor[Any]) -> Plan:
        """The plan of the executor's operation with its variables."""
        key = self._key(executor)
        if key is None:
            return Plan(executor)
        if (found := self._plans.get(key)) is not None and found[0].operation is executor.operation:
            self._plans.move_to_end(key)
            return found[0]
        plan = Plan(executor, key)
        self._put(plan)
        return plan

    def settle(self, plan: Plan) -> None:
        """Count what the plan has grown by while it ran."""
        found = self._plans.get(plan.key)
        if found is not None and found != (plan, plan.size):
            self._put(plan)

    def _put(self, plan: Plan) -> None:
        self._fields += plan.size - self._plans.pop(plan.key, (plan, 0))[1]
        self._plans[plan.key] = (plan, plan.size)
        while len(self._plans) > self._most or self._fields > self._most_fields:
            self._fields -= self._plans.popitem(last=False)[1][1]

    def _key(self, executor: Executor[Any]) -> Hashable | None:
        """What the plan is kept under; None for one that is not kept."""
        operation = executor.operation
        if operation.loc is None or len(operation.loc.source.body) > LONGEST_CACHED:
            return None
        values = executor.variable_values.coerced
        return (id(operation), *(values.get(name) for name in self._names(executor)))

    def _names(self, executor: Executor[Any]) -> tuple[str, ...]:
        """The variables that decide which fields there are."""
        operation = executor.operation
        found = self._deciding.get(id(operation))
        if found is None or found[0] is not operation:
            names = deciding(operation.selection_set, executor.fragment_definitions)
            found = self._deciding[id(operation)] = (operation, names)
            if len(self._deciding) > self._most:
                self._deciding.popitem(last=False)
        else:
            self._deciding.move_to_end(id(operation))
        return found[1]


def deciding(selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode]) -> tuple[str, ...]:
    """The names of all variables in @skip and @include, in order of their names."""
    found: set[str] = set()
    pending = [selections, *(fragment.selection_set for fragment in fragments.values())]
    while pending:
        for selection in pending.pop().selections:
            for directive in selection.directives or ():
                if directive.name.value in ("skip", "include"):
                    values = [argument.value for argument in directive.arguments or ()]
                    found |= {value.name.value for value in values if isinstance(value, VariableNode)}
            if isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
                pending.append(selection.selection_set)
    return tuple(sorted(found))
