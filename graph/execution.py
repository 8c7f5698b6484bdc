"""One operation from its text to its answer, without Strawberry's detours.

What may run at once is run here: the text is known to be right, so what is left is to find the caller, look at the
variables, run the plan and write the log's line. Whatever is not so takes the road through Strawberry's extensions,
which tell what is wrong: a document with a fault or too long to be kept, and all that is not a query or a mutation.
"""

from typing import Any

from graphql import ExecutionResult as GraphQLCoreResult
from graphql import GraphQLError, GraphQLSchema
from graphql.execution.executor import default_field_resolver, default_type_resolver
from strawberry.execution import optimized_is_awaitable
from strawberry.types import ExecutionResult

from graph.base.context import Context, running
from graph.base.documents import Ready
from graph.base.errors import coded
from graph.base.operations import bad_variable, begin, end, hold_cookie_to_its_origin
from graph.compiler.run import Compiled


async def run(
    schema: GraphQLSchema,
    executor: type[Compiled],
    ready: Ready,
    variables: dict[str, Any] | None,
    context: Context,
) -> Any:
    """The answer to the operation, an ExecutionResult."""
    operation = await begin(context, shows_cursor=ready.shows_cursor)
    errors: list[GraphQLError] = []
    try:
        data, faults = await _answer(schema, executor, ready, variables or {}, context)
        errors = [coded(fault, running()) for fault in faults] if faults else errors
        return ExecutionResult(data=data, errors=errors or None)
    finally:
        await end(operation, ready.name, ready.kind, errors)


async def _answer(
    schema: GraphQLSchema, executor: type[Compiled], ready: Ready, variables: dict[str, Any], context: Context
) -> tuple[Any, list[GraphQLError]]:
    """Data and errors."""
    if variables and (fault := bad_variable(variables)) is not None:
        return None, [fault]
    hold_cookie_to_its_origin(context, ready.kind)
    values = ready.variables(variables)
    if isinstance(values, list):
        return None, values
    execution = executor(
        schema,
        ready.fragment_definitions,
        ready.fragments,
        None,
        context,
        ready.operation,
        values,
        default_field_resolver,
        default_type_resolver,
        default_field_resolver,
        is_awaitable=optimized_is_awaitable,
    )
    try:
        found = execution.execute_operation()
        result = found if isinstance(found, GraphQLCoreResult) else await found
    except Exception as fault:
        return None, [fault if isinstance(fault, GraphQLError) else GraphQLError(str(fault), original_error=fault)]
    return result.data, result.errors or []
