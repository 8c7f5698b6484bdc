"""What a declaration may say of its cost, in a schema that has nothing else."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import strawberry

from graph.base.context import Info
from graph.base.errors import mutation
from graph.base.fields import column, computed, query, to_many
from graph.base.limits import measured, parsed
from graph.base.nodes import FromRow
from graph.base.paging import Connection
from graph.base.prices import Cost, priced


async def _nothing(*_given: Any) -> dict[Any, Any]:
    raise AssertionError("nothing is run")


def _summary(root: Any) -> str:
    raise AssertionError("nothing is run")


@dataclass
class Row:
    """The source of a thing."""

    name: str


@strawberry.type
class Thing(FromRow):
    """A row."""

    row: ClassVar[type[Any]] = Row

    name: str = column("Its name.")
    summary: str = computed(_summary, needs=("name",), cost=200, description="What a model makes of it.")
    others: list["Thing"] = to_many(_nothing, description="At most 3.", length=3)
    drawn: list["Thing"] = computed(_summary, needs=("name",), cost=5, length=2, description="Two of them.")


@strawberry.type
class Hit:
    """No row, but dear all the same."""

    score: float
    thing: Thing


@strawberry.type
class Payload:
    """What was done."""

    things: list[Thing] = strawberry.field(default_factory=list, metadata=priced(as_asked=True))
    thing: Thing | None = None


@strawberry.type
class Query:
    """What is read."""

    @query(cost=50)
    async def search(self, text: str, first: int | None = 10, after: str | None = None) -> Connection[Hit]:
        """A statement of its own, whatever is found."""
        raise AssertionError("nothing is run")

    @query(cost=7, per="texts")
    async def understood(self, texts: list[str]) -> list[Hit]:
        """A model for each text."""
        raise AssertionError("nothing is run")

    @query
    async def thing(self) -> Thing:
        """One."""
        raise AssertionError("nothing is run")


@strawberry.type
class Mutation:
    """What is done."""

    @mutation(cost=500)
    async def summarize(self, info: Info) -> Payload | None:
        """Dearer than a write."""
        raise AssertionError("nothing is run")

    @mutation(cost=3)
    async def touch(self, info: Info) -> Payload | None:
        """No write is cheaper than one."""
        raise AssertionError("nothing is run")

    @mutation(cost=20, per="times")
    async def repeat(self, info: Info, times: int = 4) -> Payload | None:
        """As often as a number says."""
        raise AssertionError("nothing is run")


SCHEMA = strawberry.Schema(query=Query, mutation=Mutation)._schema


@pytest.mark.parametrize(
    ("document", "points"),
    [
        ('{ search(text: "a") { nodes { score } } }', 50 + 10),
        ('{ search(text: "a", first: 30) { nodes { thing { name summary } } } }', 50 + 30 + 30 + 30 * 200),
        ('{ search(text: "a") { __typename } again: search(text: "b") { __typename } }', 100),
        ('{ understood(texts: ["a", "b", "c"]) { thing { name } } }', 3 * 7 + 3),
        ("{ thing { summary others { summary } } }", 1 + 200 + 3 + 3 * 200),
        ("{ thing { drawn { name } } }", 1 + 5 + 2),
        ("mutation { summarize { thing { name } } }", 500 + 1),
        ("mutation { touch { thing { name } } }", 10 + 1),
        ("mutation { repeat(times: 3) { things { name } } }", 3 * 20 + 3),
        ("mutation { repeat { things { name } thing { name } } }", 4 * 20 + 4 + 1),
    ],
)
def test_a_declaration_says_what_is_dearer(document: str, points: int) -> None:
    (found,) = measured(SCHEMA, parsed(document)).values()

    assert found.check({}).points == points


def test_what_says_nothing_keeps_nothing() -> None:
    assert priced(points=None, length=None) == {}
    assert list(priced(points=3).values()) == [Cost(points=3)]
