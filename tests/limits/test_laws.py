"""Whatever the document: what is counted is what a plain recursion counts, and nothing but a refusal is raised."""

from collections.abc import Mapping
from random import Random
from typing import Any

from graphql import GraphQLSyntaxError, OperationDefinitionNode, validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.base.errors import TooComplex
from graph.base.cost import MOST
from graph.base.limits import Limits, measured, parsed
from tests.client import UNLIMITED
from tests.compiler.operations import operation
from tests.compiler.values import Material
from tests.limits.documents import SCHEMA
from tests.limits.naive import naive

# How fast a machine makes documents says nothing about how they are counted.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Anything(dict[str, Any]):
    """Has something for every name."""

    def __init__(self, thing: Any) -> None:
        super().__init__(some=thing)
        self._thing = thing

    def __missing__(self, key: str) -> Any:
        return self._thing


MATERIAL = Material(Anything("task_1"), ["task_2"], Anything(["here"]), {})


@given(st.integers(0, 2**32), st.sampled_from(["query", "mutation"]))
@settings(UNTIMED, max_examples=50)
def test_random_documents_count_as_a_plain_recursion_does(seed: int, kind: str) -> None:
    made = operation(Random(seed), MATERIAL, kind)  # noqa: S311
    document = parsed(made.document, UNLIMITED)

    found = measured(SCHEMA, document, UNLIMITED)

    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    assert len(found) == len(operations)
    for each in operations:
        expected = naive(document, each, made.variables)
        own = found[each.name.value if each.name else None]
        counts = own.counts
        names = ("fields", "aliases", "directives", "root_fields", "introspections", "depth")
        assert {name: getattr(counts, name) for name in names} == {name: getattr(expected, name) for name in names}
        assert own.check(made.variables).points == min(expected.cost, MOST)
        costs = {path: min(points, MOST) for path, points in expected.costs.items()}
        dearest = own._sum.dearest(made.variables)
        assert [each["cost"] for each in dearest] == sorted(costs.values(), reverse=True)[:3]
        assert all(costs[tuple(each["path"])] == each["cost"] for each in dearest)


PIECES = [
    *("{", "}", "{", "}", "(", ")", "[", "]", ":", "...", "on", "$", "@", "!", "=", "|", "&", "#\n"),
    *("query", "mutation", "subscription", "fragment", "type", "F", "G", "Task", "TaskConnection", "Query", "Int"),
    *("tasks", "viewer", "nodes", "edges", "node", "ids", "first", "last", "comments", "labels", "__typename", "id"),
    *("1", "-1", "99999999999999999999", "1.5", '"a"', '"""b"""', "null", "true", "$n", "first: $n", "first: 100"),
    *("...F", "...G", "fragment F on Task {", "fragment G on TaskConnection {", "... on Task {", "viewer {"),
    *("tasks(first: $n) {", "nodes {", "query ($n: Int = 5) {", "@skip(if: true)", "a: ", "\u00e9", "\ud800", "\x00"),
]
SMALL = Limits(
    depth=4, fields=12, aliases=2, directives=2, root_fields=3, definitions=3, variables=1, nesting=6, cost=50
)
VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.just("5"), st.just([None] * 3))


@given(
    st.lists(st.sampled_from(PIECES), max_size=60),
    st.sampled_from([Limits(), SMALL]),
    st.fixed_dictionaries({}, optional={"n": VALUES}),
)
@settings(UNTIMED, max_examples=500)
def test_any_text_is_counted_or_refused(pieces: list[str], limits: Limits, variables: Mapping[str, Any]) -> None:
    text = " ".join(pieces)
    closed = text + " }" * (text.count("{") - text.count("}"))

    assert all(is_bounded(each, limits, variables) for each in (text, closed))


def is_bounded(text: str, limits: Limits, variables: Mapping[str, Any]) -> bool:
    """Whether a text is refused, or costs no more than it may."""
    try:
        found = measured(SCHEMA, parsed(text, limits), limits)
        return all(1 <= each.check(variables).points <= limits.cost for each in found.values())
    except GraphQLSyntaxError:
        return True
    except TooComplex as refusal:
        return refusal.details["found"] > refusal.details["allowed"]  # type: ignore[operator,no-any-return]


def selection(depth: int) -> st.SearchStrategy[str]:
    """A selection that can be parsed, with fragments that may not be there or lead in circles."""
    spread = st.sampled_from(["...F", "...G", "...H", "...Nothing"])
    leaf = st.sampled_from(["id", "a: id", "title @skip(if: true)", "__typename", "nothing"])
    if depth == 0:
        return st.one_of(leaf, spread)
    inner = st.lists(selection(depth - 1), min_size=1, max_size=3).map(" ".join)
    heads = st.sampled_from(
        [
            *("parent", "b: parent", "subtasks(first: 3)", "subtasks(first: $n)", "nodes", "edges", "node", "labels"),
            *("...", "... on Task", "... on TaskConnection", "... on Nothing"),
        ]
    )
    return st.one_of(leaf, spread, st.builds("{} {{ {} }}".format, heads, inner))


def selections(depth: int) -> st.SearchStrategy[str]:
    """Several of them."""
    return st.lists(selection(depth), min_size=1, max_size=4).map(" ".join)


@given(selections(3), selections(3), selections(3), selections(3), st.integers(0, 100))
@settings(UNTIMED, max_examples=200)
def test_valid_or_not_it_never_raises_and_what_is_valid_is_right(
    task: str, first: str, second: str, third: str, size: int
) -> None:
    text = (
        f"query ($n: Int) {{ task(id: 1) {{ {task} }} }} fragment F on Task {{ {first} }} "
        f"fragment G on TaskConnection {{ {second} }} fragment H on Task {{ {third} }}"
    )
    document = parsed(text, UNLIMITED)

    found = measured(SCHEMA, document, UNLIMITED)[None]

    cost = found.check({"n": size}).points
    faults = [error.message for error in validate(SCHEMA, document)]
    if not faults or all("is never used" in fault for fault in faults):
        (asked,) = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
        assert cost == min(naive(document, asked, {"n": size}).cost, MOST)
