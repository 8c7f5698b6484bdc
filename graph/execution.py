"""One operation from its text to its answer. Both transports, HTTP and the socket, run what they are asked through it.

A text becomes an operation that is ready to run, or a refusal; both run alike, so that each leaves its line in the log.
What is left to do for one that is ready is to find the caller, look at the variables and run the plan.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLSchema, OperationType
from graphql.execution import create_source_event_stream, map_source_to_response_event
from graphql.execution.executor import default_field_resolver, default_type_resolver
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.base.errors import RateLimited, RequestError, Timeout, TooComplex
from graph.base.answers import check_size
from graph.base.context import Context, Operation
from graph.base.cost import Estimate
from graph.base.deadlines import Deadlines
from graph.base.documents import Documents, Ready, Refusal
from graph.base.errors import coded
from graph.base.limits import LIMITS, Limits
from graph.base.operations import bad_variable, begin, end, note_denials
from graph.base.persisted import Persisted
from graph.base.points import budget, charge, payer
from graph.base.requests import Asked
from graph.compiler.run import Compiled

# Nobody waits longer for an answer; what works for it in the database is cancelled then.
DEADLINE_S = 10.0


@dataclass
class Answer:
    """What an operation gives. `was_run` is false for a request error: there is no data, not even null."""

    data: dict[str, Any] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    was_run: bool = True
    extensions: dict[str, Any] | None = None
    excess: RateLimited | None = None
    """Why it was refused, of one who asked too much."""

    def payload(self) -> dict[str, Any]:
        """As it is written, over either transport."""
        found: dict[str, Any] = {"data": self.data} if self.was_run else {}
        if self.errors:
            found["errors"] = self.errors
        if self.extensions is not None:
            found["extensions"] = self.extensions
        return found


class NotRun(Exception):
    """The operation is refused before anything of it was run."""

    def __init__(self, errors: list[dict[str, Any]], excess: RateLimited | None = None) -> None:
        super().__init__("refused")
        self.answer = Answer(None, errors, was_run=False, excess=excess)


class Engine:
    """Runs the operations over a schema."""

    def __init__(
        self,
        schema: GraphQLSchema,
        executor: type[StrawberryGraphQLCoreExecutionContext] = Compiled,
        *,
        introspection: bool = True,
        limits: Limits = LIMITS,
        persisted: Persisted | None = None,
        deadline_s: float | None = None,
    ) -> None:
        self._schema = schema
        self._executor = executor
        self._documents = Documents(schema, introspection=introspection, limits=limits)
        self._persisted = persisted
        self._deadlines = Deadlines(deadline_s or DEADLINE_S)

    async def found(self, request: Asked) -> Ready | Refusal:
        """The operation that is asked for, or why it is not run."""
        text, persisted = request.query, self._persisted
        if persisted is None or not (persisted.only or text is None or request.extensions):
            return self._documents.of(text or "", request.operation_name)
        try:
            return self._documents.of(await persisted.text(request), request.operation_name)
        except RequestError as fault:
            return Refusal(fault)

    async def run(self, found: Ready | Refusal, request: Asked, context: Context) -> Answer:
        """The answer to a query or a mutation, or to what is refused: what `found` gave for the request."""
        if found.kind == "subscription":
            found = Refusal(GraphQLError("Subscriptions come over graphql-transport-ws."))
        operation = await begin(context, shows_cursor=found.shows_cursor)
        answer = Answer(was_run=False)
        try:
            execution = await self._execution(found, request, context)
            answer = await self._answer(execution, operation)
        except NotRun as refused:
            answer = refused.answer
        finally:
            await end(operation, found.name, found.kind, answer.errors)
        if operation.charge is not None:
            loaded = None if operation.pays_all else operation.loaded
            answer.extensions = {"cost": operation.charge.settled(context.adapters.points, loaded)}
        if operation.cached:
            told = [
                {"path": list(path), "hits": hits, "misses": misses}
                for path, (hits, misses) in operation.cached.items()
            ]
            answer.extensions = {**(answer.extensions or {}), "cache": told}
        return answer

    async def follow(self, found: Ready | Refusal, request: Asked, context: Context) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription, one for each event. Closing it ends the subscription."""
        operation = await begin(context, shows_cursor=found.shows_cursor)
        answer = Answer(was_run=False)
        try:
            execution = await self._execution(found, request, context)
            source: Any = create_source_event_stream(execution)
            if not isinstance(source, AsyncIterable | ExecutionResult):
                source = await source
            if isinstance(source, ExecutionResult):
                raise NotRun(_told(source, operation).errors)
            async with aclosing(map_source_to_response_event(execution, source)) as results:
                async for result in results:
                    answer = _told(result, operation)
                    # A standing that held after the rows were read held while they were.
                    await operation.confirm()
                    yield answer
                    await note_denials(operation, answer.errors)
        except NotRun as refused:
            answer = refused.answer
            yield answer
        except Exception as fault:
            answer = _failed(fault, operation)
            yield answer
        finally:
            await end(operation, found.name, found.kind, answer.errors)

    async def _execution(
        self, found: Ready | Refusal, request: Asked, context: Context
    ) -> StrawberryGraphQLCoreExecutionContext:
        """What runs the operation, once it is paid for, and its document kept where the request wants that.

        Raises NotRun.
        """
        variables = request.variables or {}
        await self._charge(found, variables, context)
        if isinstance(found, Refusal):
            raise NotRun(found.errors)
        if self._persisted is not None and request.extensions:
            await self._persisted.keep(request)
        if variables and (fault := bad_variable(variables)) is not None:
            raise NotRun([coded(fault)])
        values = found.variables(variables)
        if isinstance(values, list):
            raise NotRun([coded(fault) for fault in values])
        return self._executor(
            self._schema,
            found.fragment_definitions,
            found.fragments,
            None,
            context,
            found.operation,
            values,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=optimized_is_awaitable,
        )

    async def _charge(self, found: Ready | Refusal, variables: dict[str, Any], context: Context) -> None:
        """Let the caller pay. Raises NotRun where it costs more than anything may, or than the caller has left."""
        cost, excess = Estimate(1), None
        if isinstance(found, Ready):
            try:
                cost = found.measured.check(variables)
            except TooComplex as fault:
                excess = fault
        operation = context.operation
        try:
            # What is refused has been looked at, and is not free.
            by = payer(operation.caller, context.client_address)
            most = budget(operation.caller, context.settings)
            operation.charge = await charge(context.adapters.points, by, cost, limit=most)
        except RateLimited as fault:
            raise NotRun([coded(fault)], fault) from None
        if excess is not None:
            raise NotRun([coded(excess)])

    async def _answer(self, execution: StrawberryGraphQLCoreExecutionContext, operation: Operation) -> Answer:
        operation.deadline = asyncio.get_running_loop().time() + self._deadlines.seconds
        # Of several mutations those that were done are told, so the compiler ends the one that comes too late.
        is_mutation = execution.operation.operation is OperationType.MUTATION
        try:
            with nullcontext() if is_mutation else self._deadlines.one():
                result: Any = execution.execute_operation()
                if not isinstance(result, ExecutionResult):
                    result = await result
        except TimeoutError:
            operation.pays_all = True
            return _failed(Timeout("It took too long and was given up. Ask for less at once."), operation)
        except Exception as fault:
            return _failed(fault, operation)
        return _told(result, operation)


def _told(result: ExecutionResult, operation: Operation) -> Answer:
    if operation.charge is not None:
        try:
            check_size(result.data, operation.charge.cost, operation.longest_text)
        except TooComplex as fault:
            return _failed(fault, operation)
    return Answer(result.data, [coded(error, operation) for error in result.errors] if result.errors else [])


def _failed(fault: Exception, operation: Operation) -> Answer:
    return Answer(None, [coded(fault, operation)])
