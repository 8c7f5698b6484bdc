"""What no field of the product does, on a schema made for it: the compiler answers it as graphql-core does."""

import asyncio
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
import strawberry
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.base.context import Operation
from graph.compiler.run import Compiled
from tests.compiler.referee import Careful, Outcome, disagreement


class Fault(Exception):
    """What fields raise here."""


@strawberry.enum
class Color(Enum):
    """Some colors."""

    RED = "red"


@strawberry.interface
class Named:
    """Whatever has a name."""

    name: str


@strawberry.type
class Cat(Named):
    """A thing that holds values of its own, right and wrong."""

    lives: int = 9
    color: Color = Color.RED
    rows: list[list[int]] | None = None
    holes: list[list[int | None] | None] | None = None

    @strawberry.field
    def broken(self) -> int:
        """Fails where no null may be."""
        raise Fault(self.name)

    @strawberry.field
    def cracked(self) -> int | None:
        """Fails where null may be."""
        raise Fault(self.name)

    @strawberry.field
    async def slow(self) -> str:
        """Comes later."""
        await asyncio.sleep(0)
        return self.name

    @strawberry.field
    async def friend(self) -> "Cat":
        """Another one, that may be none."""
        return None if self.name == "Tom" else Cat(name="Tom")  # type: ignore[return-value]


@strawberry.type
class Dog(Named):
    """Something else with a name."""

    @strawberry.field
    def bark(self, times: int = 1) -> str:
        """What it says."""
        return "woof" * times


def _later(value: Any) -> Any:
    async def give() -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return give()


def _endless(names: tuple[str, ...]) -> Iterator[Cat]:
    yield from (Cat(name=name) for name in names)
    raise Fault("the list broke off")


@strawberry.type
class Query:
    """Where it begins."""

    @strawberry.field
    def cat(self, name: str = "Felix") -> Cat | None:
        """A cat whose values are right."""
        return Cat(name=name, rows=[[1, 2], []], holes=[[1, None], None])

    @strawberry.field
    def sure(self) -> Cat:
        """A cat that is never null."""
        return Cat(name="Felix")

    @strawberry.field
    def odd(self, which: int) -> Cat | None:
        """A cat one of whose values is wrong."""
        wrong: list[dict[str, Any]] = [
            {"lives": 2**40},
            {"lives": "many"},
            {"lives": None},
            {"color": "blue"},
            {"color": None},
            {"rows": [[1, None], [2]]},
            {"rows": [None, [2]]},
            {"rows": [[1, "x"], ["y"]]},
            {"rows": 5},
            {"rows": [[1], 5]},
            {"holes": [["x", 1], None, 7]},
            {"name": None},
            {"name": 5},
            {"name": True},
            {"name": ["a"]},
            {"lives": True},
            {"lives": 1.0},
            {"lives": 1.5},
        ]
        return Cat(**{"name": "Odd", **wrong[which]})

    @strawberry.field
    def cats(self) -> list[Cat | None]:
        """Some that are there later, some that fail, one that is none."""
        return [_later(Cat(name="A")), Fault("not this one"), None, _later(Fault("later")), Cat(name="Tom")]

    @strawberry.field
    def sure_cats(self) -> list[Cat] | None:
        """None of them may fail, and two do."""
        return [Cat(name="A"), _later(Fault("one")), _later(None), Cat(name="B")]

    @strawberry.field
    def nested(self) -> list[list[Cat] | None] | None:
        """Lists of lists."""
        return [[Cat(name="A")], [Cat(name="Tom"), None], None, []]  # type: ignore[list-item]

    @strawberry.field
    def all_sure(self) -> list[list[Cat]] | None:
        """A null inside takes all of it."""
        return [[Cat(name="A")], [Cat(name="B"), None]]  # type: ignore[list-item]

    @strawberry.field
    def endless(self) -> list[Cat] | None:
        """Fails while it is read."""
        return _endless(("A", "B"))  # type: ignore[return-value]

    @strawberry.field
    def named(self) -> list[Named | None]:
        """Of several types, and one that is of none."""
        return [Cat(name="A"), Dog(name="B"), Fault("C"), 5, None]  # type: ignore[list-item]

    @strawberry.field
    def wrong(self) -> Cat | None:
        """A thing of another type."""
        return Dog(name="B")  # type: ignore[return-value]

    @strawberry.field
    def stopped(self) -> int | None:
        """Ends as if somebody had ended it."""
        raise asyncio.CancelledError

    @strawberry.field
    async def stopped_later(self) -> int | None:
        """Ends so while others run."""
        raise asyncio.CancelledError


@strawberry.type
class Mutation:
    """Changes that see each other."""

    @strawberry.mutation
    async def add(self, info: strawberry.Info[Any, None], text: str) -> list[str] | None:
        """Add a text."""
        await asyncio.sleep(0)
        info.context.texts.append(text)
        if text == "no":
            raise Fault(text)
        return list(info.context.texts)

    @strawberry.mutation
    async def must(self, info: strawberry.Info[Any, None]) -> int:
        """Fails where no null may be."""
        info.context.texts.append("must")
        raise Fault("must")


class Context:
    """What the mutations add to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.operation = Operation(None, None, "none")


def built(executor: Any) -> strawberry.Schema:
    """The schema, run by the executor."""
    return strawberry.Schema(Query, Mutation, types=[Cat, Dog], execution_context_class=executor)


COMPILED, CAREFUL, CORE = built(Compiled), built(Careful), built(StrawberryGraphQLCoreExecutionContext)

SAME = [
    "{ cat { name lives color rows holes slow } }",
    '{ b: cat(name: "B") { x: name ...F } cat { ...F } } fragment F on Named { name __typename ... on Cat { lives } }',
    *(f"{{ odd(which: {n}) {{ name lives color rows holes }} }}" for n in range(18)),
    *(f"{{ odd(which: {n}) {{ rows holes }} cat {{ name }} }}" for n in range(5, 11)),
    "{ cats { name slow } }",
    "{ cats { name cracked } }",
    "{ cats { friend { name } } }",
    "{ nested { friend { name } } }",
    "{ endless { name } cat { name } }",
    "{ named { name ... on Dog { bark(times: 2) } ... on Cat { lives } } }",
    "{ named { ... on Dog { bark } } }",
    "{ wrong { name } }",
    "{ sure { friend { friend { name } } } cat { name } }",
    "{ sure { broken } }",
    "query ($n: String = null) { cat(name: $n) { name } }",
    "query ($t: Int) { named { ... on Dog { bark(times: $t) } } }",
    'mutation { a: add(text: "a") b: add(text: "no") c: add(text: "c") }',
    'mutation { a: add(text: "a") must c: add(text: "c") }',
]
# Several failures below one place that becomes null.
FREE = [
    "{ cat { friend { friend { name } } cracked } }",
    "{ nested { name slow cracked } }",
    "{ sureCats { name } }",
    "{ sureCats { broken cracked } }",
    "{ allSure { name cracked } }",
    "{ cat { broken cracked friend { broken } } }",
    "{ sure { cracked broken } cat { cracked } }",
]


async def asked(schema: strawberry.Schema, document: str, **variables: Any) -> tuple[Outcome, list[str]]:
    """The answer, and what the mutations did."""
    context = Context()
    result = await schema.execute(document, variables, context)
    errors = [dict(error.formatted) for error in result.errors or ()]
    return Outcome(result.data, errors), context.texts


@pytest.mark.parametrize("compiled", [COMPILED, CAREFUL], ids=["straight", "careful"])
@pytest.mark.parametrize("document", SAME)
async def test_the_answers_are_equal(document: str, compiled: strawberry.Schema) -> None:
    mine, theirs = await asked(compiled, document, t=None), await asked(CORE, document, t=None)

    assert disagreement(mine[0], theirs[0], None) is None, (mine, theirs)
    assert mine[1] == theirs[1]


@pytest.mark.parametrize("compiled", [COMPILED, CAREFUL], ids=["straight", "careful"])
@pytest.mark.parametrize("document", FREE)
async def test_of_failures_below_one_null_one_is_told(document: str, compiled: strawberry.Schema) -> None:
    mine, theirs = (await asked(compiled, document))[0], (await asked(CORE, document))[0]

    assert disagreement(mine, theirs, [*mine.errors, *theirs.errors]) is None, (mine, theirs)


@pytest.mark.parametrize("document", ["{ stopped }", "{ stoppedLater }", "{ stoppedLater cat { slow } sure { slow } }"])
async def test_who_is_cancelled_stops(document: str) -> None:
    with pytest.raises(asyncio.CancelledError):
        await asked(COMPILED, document)


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)])
async def test_a_plan_is_of_the_flags_that_it_was_made_for(flags: tuple[bool, bool]) -> None:
    document = """
    query ($a: Boolean!, $b: Boolean!) { cat @include(if: $a) { name ...F @skip(if: $b) } }
    fragment F on Cat { lives @include(if: $a) color @skip(if: $b) }"""

    answers = [(await asked(schema, document, a=flags[0], b=flags[1]))[0] for schema in (COMPILED, CORE, COMPILED)]

    assert answers[0] == answers[1] == answers[2]
