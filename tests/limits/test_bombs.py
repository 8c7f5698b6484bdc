"""Small documents that mean large ones. What they cost the server is told in steps and not by the clock."""

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode

from domain.base.errors import TooComplex
from graph.base.cost import MOST, Part, Spread, terms
from graph.base.limits import Counter, Counts, parsed
from graph.base.prices import prices_of
from tests.client import UNLIMITED
from tests.limits.documents import SCHEMA, cost, only


def counted(document: str) -> tuple[Counts, int]:
    """What the first operation of a document has, and how many selections were looked at."""
    definitions = parsed(document, UNLIMITED).definitions
    fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
    counter = Counter(prices_of(SCHEMA), fragments)
    operation = next(each for each in definitions if isinstance(each, OperationDefinitionNode))
    return counter.operation(operation), counter.visits


def doubling(levels: int, inner: str = "title", last: str = "title") -> str:
    """Each fragment spreads the next one twice."""
    chain = "".join(f"fragment F{n} on Task {{ {inner} ...F{n + 1} ...F{n + 1} }} " for n in range(levels))
    return f"{{ task(id: 1) {{ ...F0 }} }} {chain} fragment F{levels} on Task {{ {last} }}"


@pytest.mark.parametrize("levels", [1, 5, 10, 40, 200])
def test_doubling_fragments_are_looked_at_once_each(levels: int) -> None:
    counts, visits = counted(doubling(levels))

    assert visits == 2 + 3 * levels + 1
    assert counts.fields == min(1 + 2 ** (levels + 1) - 1, MOST)


def test_a_doubling_bomb_is_refused() -> None:
    document = doubling(18)

    with pytest.raises(TooComplex) as refused:
        only(document)

    assert len(document) < 1_000
    assert refused.value.details == {"limit": "fields", "allowed": 300, "found": 2**19}


@pytest.mark.parametrize(
    ("piece", "limit"),
    [("a: title", "aliases"), ("... @skip(if: true) { __typename }", "directives")],
)
def test_what_doubles_is_refused_whatever_it_is(piece: str, limit: str) -> None:
    with pytest.raises(TooComplex) as refused:
        only(doubling(6, inner="", last=piece))

    assert refused.value.details["limit"] == limit
    assert refused.value.details["found"] == 64


@pytest.mark.parametrize("last", ["...Undefined", "...F0", "... on Task { ...F3 }"])
def test_fragments_that_lead_nowhere_take_no_steps_at_all(last: str) -> None:
    document = doubling(18, inner="", last=last)

    counts, visits = counted(document)

    assert (counts.fields, counts.depth) == (1, 1)
    assert visits <= 2 + 2 * 18 + 2
    assert len(list(terms(counts.parts))) == 1
    assert cost(document) == 1


def test_fragments_that_all_spread_each_other_are_bounded_by_their_fields() -> None:
    names = [f"F{n}" for n in range(12)]
    spread = " ".join(f"...{name}" for name in names)
    document = "{ task(id: 1) { ...F11 } } " + " ".join(
        f"fragment {name} on Task {{ parent {{ {spread} }} }}" for name in names
    )

    counts, visits = counted(document)

    assert visits == 2 + 12 * 13
    assert len(list(terms(counts.parts))) <= counts.fields


def test_working_out_the_cost_takes_no_more_steps_than_there_are_fields() -> None:
    # The fragments that lead nowhere are spread again and again within one that is spread often.
    nothing = "...Nothing " * 500
    document = (
        "{ task(id: 1) { " + "...F " * 100 + "} } "
        f"fragment F on Task {{ {nothing} parent {{ id {nothing} }} }} fragment Nothing on Task {{ ...Nothing }}"
    )

    counts, _ = counted(document)
    (task,) = counts.parts

    assert counts.fields == 201
    assert len(list(terms(counts.parts))) == 101
    assert isinstance(task, Part)
    assert [len(each.parts) for each in task.below if isinstance(each, Spread)] == [1] * 100


def test_a_nest_of_pages_costs_more_than_any_may_and_no_long_number() -> None:
    pages = "subtasks(first: 999999999999999999) { nodes { " * 6 + "id" + " } }" * 6

    with pytest.raises(TooComplex) as refused:
        only(f"{{ task(id: 1) {{ {pages} }} }}").check({})

    assert refused.value.details["found"] == MOST


def test_aliases_are_refused_before_they_cost_anything() -> None:
    tries = " ".join(f'a{n}: signIn(input: {{email: "a@b.test", password: "{n}"}}) {{ token }}' for n in range(31))

    with pytest.raises(TooComplex) as refused:
        only(f"mutation {{ {tries} }}")

    assert refused.value.details == {"limit": "aliases", "allowed": 30, "found": 31}
