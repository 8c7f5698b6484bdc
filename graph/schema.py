"""Query, Mutation and Subscription, assembled from the feature files, and the schema that they make."""

import inspect
from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import DEFAULT_ALLOWED_OPERATION_TYPES, StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graph.api_keys import ApiKeyMutations
from graph.base.documents import Parsing, ReadyOperations, Validation
from graph.base.errors import ERROR_TYPES, CodedErrors
from graph.base.idempotency import IDEMPOTENT
from graph.base.nodes import nodes_by_kind
from graph.base.operations import Operations
from graph.base.scalars import SCALARS
from graph.comments import CommentMutations
from graph.compiler.run import Compiled
from graph.events import EventQueries, EventSubscriptions
from graph.execution import run
from graph.identity import IdentityMutations, IdentityQueries
from graph.labels import LabelMutations
from graph.nodes import NodeQueries
from graph.organizations import OrganizationMutations, OrganizationQueries
from graph.projects import ProjectMutations, ProjectQueries
from graph.task_bulk import TaskBulkMutations
from graph.task_changes import TaskSubscriptions
from graph.tasks import TaskMutations, TaskQueries
from graph.workflow import WorkflowStateMutations

_AT_ONCE = (OperationType.QUERY.value, OperationType.MUTATION.value)

# Arguments that mean the same wherever they stand.
ARGUMENTS = {
    "first": "How many from the beginning, or after `after`: 1 to 100.",
    "after": "The cursor after which the page begins.",
    "last": "How many from the end, or before `before`: 1 to 100. Goes before `first`.",
    "before": "The cursor before which the page ends.",
    "filter": "Which to keep.",
    "orderBy": "What to sort by; the id decides between equals.",
    "id": "Its id.",
    "ids": "Their ids.",
    "input": "The values.",
    "ifVersion": "Refuse with STALE_VERSION when the row's version is another one by now.",
    "organizationId": "The organization's id.",
    "projectId": "The project's id.",
}


@strawberry.type
class Query(NodeQueries, IdentityQueries, OrganizationQueries, ProjectQueries, TaskQueries, EventQueries):
    """All that can be read."""


@strawberry.type
class Mutation(
    IdentityMutations,
    ApiKeyMutations,
    OrganizationMutations,
    ProjectMutations,
    WorkflowStateMutations,
    TaskMutations,
    TaskBulkMutations,
    LabelMutations,
    CommentMutations,
):
    """All that changes something. Mutations of one operation run one after the other."""


@strawberry.type
class Subscription(EventSubscriptions, TaskSubscriptions):
    """All that can be followed, over graphql-transport-ws."""


class Schema(strawberry.Schema):
    """The schema, with a description for all that says the same everywhere."""

    ready: ReadyOperations | None = None
    """What may run at once; None where graphql-core runs everything."""
    executor: type[Compiled] = Compiled

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        """The answer to a query or a mutation."""
        allowed = DEFAULT_ALLOWED_OPERATION_TYPES if allowed_operation_types is None else allowed_operation_types
        ready = self.ready.of(query, operation_name) if self.ready is not None and query else None
        if ready is not None and ready.kind in _AT_ONCE and OperationType(ready.kind) in allowed:
            found: ExecutionResult = await run(self._schema, self.executor, ready, variable_values, context_value)
            return found
        return await super().execute(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            allowed_operation_types,
            operation_extensions,
        )

    def process_errors(self, errors: list[Any], execution_context: Any = None) -> None:
        """Nothing: CodedErrors logs what is a bug, and no log holds a document."""


def _describe(schema: GraphQLSchema) -> None:
    """Types get their class's docstring, and shared arguments their common description."""
    for name, type_ in schema.type_map.items():
        if name.startswith("__"):
            continue
        definition = type_.extensions.get("strawberry-definition")
        # A connection of one type is made from the general one, whose class has the docstring.
        origin = getattr(getattr(definition, "concrete_of", None) or definition, "origin", None)
        if type_.description is None and inspect.isclass(origin):
            type_.description = inspect.cleandoc(origin.__doc__ or "") or None
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field in type_.fields.values():
                for argument_name, argument in field.args.items():
                    argument.description = argument.description or ARGUMENTS.get(argument_name)


def build(executor: type[StrawberryGraphQLCoreExecutionContext]) -> Schema:
    """The schema, whose operations the executor runs."""
    made = Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*ERROR_TYPES, *nodes_by_kind().values()],
        extensions=[
            # Validation overwrites what was found before it; what Operations finds comes after.
            Parsing,
            Validation,
            Operations,
            CodedErrors,
        ],
        execution_context_class=executor,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    _describe(made._schema)
    # Given to Strawberry it would become a directive of Strawberry's, which runs too late.
    made._schema.directives += (IDEMPOTENT,)
    if issubclass(executor, Compiled):
        made.ready, made.executor = ReadyOperations(made._schema), executor
    return made


schema = build(Compiled)


def printed() -> str:
    """The schema as SDL, as schema.graphql holds it."""
    return schema.as_str() + "\n"
