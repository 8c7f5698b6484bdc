"""The same numbers, found in the plainest way: fragments are written out where they stand, and everything is added up.

What the schema's fields cost is said a second time, by hand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    value_from_ast_untyped,
)

from tests.limits.documents import SCHEMA

ROWS = {
    *("ApiKey", "Comment", "Event", "Invitation", "Label", "Membership", "Organization", "Project", "Session", "Task"),
    *("TaskRelation", "User", "WorkflowState", "Viewer", "Preferences", "StateCount", "ApiKeyActor", "SystemActor"),
    *("Node", "Actor", "BillingSubscription", "Job", "Attachment", "SearchSubjectNode"),
    *("AiMessage", "AiThread", "GeneratedImage", "SearchQuery", "SearchSummary"),
}
# The same row once more, and one that its page has counted.
FREE = {"Viewer.user", "StateCount.state"}
LENGTHS = {
    "AiMessage.sources": 20,
    "SearchSummary.sources": 8,
    "Task.relations": 100,
    "Task.attachments": 100,
    "Task.availableTransitions": 30,
    "WorkflowState.allowedNext": 30,
    "Viewer.sessions": 100,
    "Viewer.apiKeys": 100,
    "Organization.apiKeys": 100,
}
SHORT = 10
# What is work beside the objects.
DEAR = {"Query.search": 10, "Task.similar": 2}
# As many as are asked for, and how many where none are.
ASKED = {"Task.similar": 5}
PARTS = ("nodes", "edges", "pageInfo")


@dataclass
class Naive:
    """What an operation has. `costs` by the path of response keys."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    introspections: int = 0
    depth: int = 0
    costs: dict[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """All of it."""
        return max(1, sum(self.costs.values()))


def naive(document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Naive:
    """What an operation of a valid document has and costs."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    definitions = operation.variable_definitions or ()
    values = {
        each.variable.name.value: value_from_ast_untyped(each.default_value)
        for each in definitions
        if each.default_value is not None
    }
    found = Naive(directives=len(operation.directives or ()) + sum(len(each.directives or ()) for each in definitions))
    walk = _Walk(found, fragments, {**values, **variables})
    walk.selections(operation.selection_set, SCHEMA.get_root_type(operation.operation), (), 1, None)
    return found


@dataclass
class _Walk:
    found: Naive
    fragments: Mapping[str, FragmentDefinitionNode]
    values: Mapping[str, Any]

    def selections(
        self, selections: SelectionSetNode, type_: Any, path: tuple[str, ...], times: int, size: int | None
    ) -> None:
        for node, parent in self.fields(selections, type_, counted=True):
            self.one(node, parent, path, times, size)

    def fields(
        self, selections: SelectionSetNode, type_: Any, *, counted: bool = False
    ) -> Iterator[tuple[FieldNode, Any]]:
        """The fields of a selection and of what is spread in it, with their types."""
        for each in selections.selections:
            if counted:
                self.found.directives += len(each.directives or ())
            if isinstance(each, FieldNode):
                yield each, type_
            elif isinstance(each, InlineFragmentNode):
                condition = each.type_condition
                inner = SCHEMA.get_type(condition.name.value) if condition else type_
                yield from self.fields(each.selection_set, inner, counted=counted)
            elif isinstance(each, FragmentSpreadNode):
                fragment = self.fragments[each.name.value]
                if counted:
                    self.found.directives += len(fragment.directives or ())
                inner = SCHEMA.get_type(fragment.type_condition.name.value)
                yield from self.fields(fragment.selection_set, inner, counted=counted)

    def one(self, node: FieldNode, parent: Any, above: tuple[str, ...], times: int, size: int | None) -> None:
        found, name = self.found, node.name.value
        path = (*above, (node.alias or node.name).value)
        found.fields += 1
        found.aliases += node.alias is not None
        found.depth = max(found.depth, len(path))
        found.root_fields += len(path) == 1
        found.introspections += len(path) == 1 and name in ("__schema", "__type")
        definition = SCHEMA.get_field(parent, name)
        assert definition is not None
        type_: GraphQLNamedType = get_named_type(definition.type)
        inner_size = None
        if parent is SCHEMA.mutation_type:
            inner_size = self.length(node, "items") if name == "taskBulkUpdate" else 1
            self.add(path, 10 * inner_size)
        if type_.name.endswith("Connection"):
            inner_size = self.page(node, definition.args["first"].default_value)
            assert node.selection_set is not None
            # What a search found is counted with each hit.
            if name != "search" and any(each.name.value in PARTS for each, _ in self.fields(node.selection_set, type_)):
                self.add(path, times * inner_size)
        if (work := DEAR.get(f"{parent.name}.{name}")) is not None:
            self.add(path, times * work)
        if name == "totalCount":
            self.add(path, times)
        if is_list_type(get_nullable_type(definition.type)):
            if name == "nodes" and parent is SCHEMA.query_type:
                times *= self.length(node, "ids")
            elif (asked := ASKED.get(f"{parent.name}.{name}")) is not None:
                times *= self.page(node, asked)
            elif size is not None and name in ("nodes", "edges", "results"):
                times *= size
            else:
                times *= LENGTHS.get(f"{parent.name}.{name}", SHORT)
        of_page = parent.name.endswith(("Connection", "Edge"))
        if type_.name in ROWS and not of_page and f"{parent.name}.{name}" not in FREE:
            self.add(path, times)
        if node.selection_set is not None:
            self.selections(node.selection_set, type_, path, times, inner_size)

    def add(self, path: tuple[str, ...], points: int) -> None:
        self.found.costs[path] = self.found.costs.get(path, 0) + points

    def argument(self, node: FieldNode, name: str) -> Any:
        for each in node.arguments or ():
            if each.name.value == name:
                if isinstance(each.value, VariableNode):
                    return self.values.get(each.value.name.value)
                # What is within it does not matter, but it may be a variable.
                value = value_from_ast_untyped(each.value, {})
                return None if value is Undefined else value
        return None

    def page(self, node: FieldNode, default: int) -> int:
        for name in ("last", "first"):
            value = self.argument(node, name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                return value
        return default

    def length(self, node: FieldNode, name: str) -> int:
        value = self.argument(node, name)
        return len(value) if isinstance(value, list) else 1
