"""One operation through the compiler and through graphql-core, over the same rows at the same instant, and compared.

`data` must be equal to the byte, the order of keys included. Errors must be equal (message, path, locations,
extensions) as a set: the specification leaves their order open, and the two meet their failures in another order.

One thing may differ. Where a failure makes a place above it null, the specification asks for one error and lets the
rest of that place's fields be given up (section 6.4.4): which of several failures below one nulled place is told is the
executor's affair. So below such a place each of the two must tell at least one error, and each that the compiler tells
must be among those that there are: what graphql-core told, or finds when no null is passed upwards and no field given
up.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any
from unittest.mock import patch

import orjson
from graphql import GraphQLError, OperationType, parse
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from domain.base import clock
from graph.base.context import Operation
from graph.base.documents import Documents, Ready, Refusal
from graph.compiler.run import Compiled
from graph.execution import Answer as Told
from graph.execution import Engine
from graph.schema import schema
from tests.client import UNLIMITED, Answer, GraphQL, aside, engine

REQUEST_ID = {"x-request-id": "referee"}
"""Two runs of one operation tell an internal error with the same id."""

Place = tuple[str | int, ...]


class Unpropagated(StrawberryGraphQLCoreExecutionContext):
    """Graphql-core with every failure told where it happens."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.error_propagation = False


class Careful(Compiled):
    """The compiler as it goes on where the straight way ends."""

    goes_straight = False


@cache
def careful() -> Engine:
    """The same schema, never run straight."""
    return Engine(schema, Careful, limits=UNLIMITED)


@cache
def reference() -> Engine:
    """The same schema, run by graphql-core itself."""
    return Engine(schema, StrawberryGraphQLCoreExecutionContext, limits=UNLIMITED)


@cache
def unpropagated() -> Engine:
    """The same schema, every failure of which is told."""
    return Engine(schema, Unpropagated, limits=UNLIMITED)


@dataclass(frozen=True)
class Request:
    """What is asked, and by whom."""

    client: GraphQL
    document: str
    variables: dict[str, Any]
    operation_name: str | None = None

    def __str__(self) -> str:
        named = f"operation {self.operation_name}\n" if self.operation_name else ""
        return f"{self.document}\n{named}variables {self.variables}\nheaders {self.client.headers}"

    async def through(self, by: Engine) -> "Outcome":
        """What the engine answers."""
        client = replace(self.client, headers={**REQUEST_ID, **self.client.headers})
        told, _ = await client.execute(by, self.document, self.variables, self.operation_name, found=self.found)
        return Outcome.of(told)

    @cached_property
    def found(self) -> Ready | Refusal:
        """The operation that all engines run: to parse and to validate it takes longer than to run it."""
        return Documents(schema, limits=UNLIMITED).of(self.document, self.operation_name)


@dataclass(frozen=True)
class Outcome:
    """An answer, as the two are compared by it."""

    data: Any
    errors: list[dict[str, Any]]

    @classmethod
    def of(cls, told: Told) -> "Outcome":
        """The outcome of an operation."""
        return cls(told.data, told.errors)

    @property
    def codes(self) -> set[str]:
        """The codes of the errors."""
        return {error["extensions"]["code"] for error in self.errors}

    def place_of(self, error: dict[str, Any]) -> Place:
        """Where the null stands that an error left: its own path, or one above it."""
        value, path = self.data, tuple(error.get("path") or ())
        for depth, step in enumerate(path):
            if value is None:
                return path[:depth]
            value = value[step]
        return path


async def compare(request: Request) -> Outcome:
    """The compiler's outcome of a query, which must agree with graphql-core's, whichever way it goes."""
    told: dict[Engine, Outcome] = {}

    async def once(by: Engine) -> Outcome:
        # The rows and the instant are the same: graphql-core has the same answer for both ways.
        if by not in told:
            told[by] = await request.through(by)
        return told[by]

    with clock.frozen(clock.now()):
        for way in (engine, careful()):
            await judge(await once(way), request, once)
    return told[engine]


async def judge(mine: Outcome, request: Request, run: Callable[[Engine], Awaitable[Outcome]]) -> None:
    """Compare what the compiler answered with what the others do, run over equal rows. Raises AssertionError."""
    with patch.object(Operation, "load", _shielded):
        theirs = await run(reference())
        if disagreement(mine, theirs, None) is None:
            return
        possible = (await run(unpropagated())).errors
    fault = disagreement(mine, theirs, possible)
    assert fault is None, f"{fault}\n{request}\ncompiler: {mine}\ngraphql-core: {theirs}"


async def _shielded(operation: Operation, *of: Any) -> Any:
    """As `Operation.load`, for graphql-core.

    Where null is passed upwards it cancels the fields beside; one that waits for a row would take it from all others
    that wait for the same row, elsewhere in the answer, and the whole operation would end as cancelled.
    """
    return await asyncio.shield(_load(operation, *of))


_load = Operation.load


async def watch(client: GraphQL, document: str, variables: dict[str, Any]) -> Answer:
    """The answer of a test's client; a query is compared on the way."""
    if not _is_query(document):
        return await client.answer(document, variables)
    client = replace(client, headers={**REQUEST_ID, **client.headers})
    with clock.frozen(clock.now()):
        answer = await client.answer(document, variables)
        token = aside.set(True)
        try:
            request = Request(client, document, variables)
            await judge(Outcome(answer.data, answer.errors), request, request.through)
        finally:
            aside.reset(token)
    return answer


def _is_query(document: str) -> bool:
    try:
        definitions = parse(document).definitions
    except (GraphQLError, RecursionError):
        return True
    return all(getattr(each, "operation", OperationType.QUERY) is OperationType.QUERY for each in definitions)


def disagreement(mine: Outcome, theirs: Outcome, possible: Sequence[dict[str, Any]] | None) -> str | None:
    """What is different and may not be, or None. Without `possible` nothing may."""
    if orjson.dumps(mine.data) != orjson.dumps(theirs.data):
        return "The data differ."
    if _counted(mine.errors) == _counted(theirs.errors):
        return None
    if possible is None:
        return "The errors differ."
    # A failure that does not come at every run may be missing where all are listed.
    known = _counted(possible) | _counted(theirs.errors)
    for place in {mine.place_of(error) for error in (*mine.errors, *theirs.errors)}:
        told = [error for error in mine.errors if mine.place_of(error) == place]
        expected = [error for error in theirs.errors if theirs.place_of(error) == place]
        if _counted(told) == _counted(expected):
            continue
        if not told or not expected:
            return f"One alone tells what made {place} null."
        if not all(len(error.get("path") or ()) > len(place) for error in (*told, *expected)):
            return f"The errors of {place} itself differ."
        if unknown := _counted(told) - known:
            return f"The compiler alone finds {list(unknown)}."
    return None


def _counted(errors: Sequence[dict[str, Any]]) -> Counter[bytes]:
    return Counter(orjson.dumps(error, option=orjson.OPT_SORT_KEYS) for error in errors)
