"""What documents cost: objects times the page sizes around them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.workloads import WALK, WORKLOADS
from domain.base.errors import TooComplex
from graph.base.cost import MOST, MOST_KEPT
from graph.base.limits import LIMITS, measured, parsed
from graph.graphiql import page
from tests.limits.documents import AT_ANY_COST, SCHEMA, cost, only

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((Path(page.__file__).parent / "examples").glob("*.graphql"))

CARD = "id identifier title priority assignee { name } labels { name color } commentCount"
COSTS = {
    # The whole is never free.
    "{ __typename }": 1,
    "{ viewer { email } }": 1,
    # The same row once more.
    "{ viewer { user { name } } }": 1,
    "{ task(id: 1) { id title state { name } project { id } assignee { name } } }": 4,
    "{ node(id: 1) { id } }": 1,
    "{ nodes(ids: [1, 2, 3]) { id ... on Task { project { id } } } }": 6,
    "{ nodes(ids: 1) { id } }": 1,
    # A page's rows count once, whichever parts of it are asked for.
    "{ tasks(organizationId: 1) { nodes { id } } }": 20,
    "{ tasks(organizationId: 1, first: 7) { nodes { id } edges { node { id } cursor } pageInfo { endCursor } } }": 7,
    "{ tasks(organizationId: 1, first: 7) { pageInfo { hasNextPage } } }": 7,
    "{ tasks(organizationId: 1, first: 7) { edges { cursor } } }": 7,
    "{ tasks(organizationId: 1, first: 7) { a: nodes { project { id } } b: edges { node { project { id } } } } }": 21,
    "{ tasks(organizationId: 1, first: 7) { __typename } }": 1,
    "{ tasks(organizationId: 1, first: 7) { totalCount } }": 1,
    "{ tasks(organizationId: 1, first: 7) { totalCount nodes { comments { totalCount } } } }": 1 + 7 + 7,
    "{ tasks(organizationId: 1, first: 7) { ...P } } fragment P on TaskConnection { nodes { project { id } } }": 14,
    # Each place has its own size, also where one fragment stands in both.
    "{ task(id: 1) { a: subtasks(first: 3) { ...P } b: subtasks(first: 5) { ...P } } } "
    "fragment P on TaskConnection { nodes { project { id } } }": 1 + 3 + 3 + 5 + 5,
    # The defaults of the schema.
    "{ organization(id: 1) { labels { nodes { id } } } }": 1 + 50,
    "{ changes(organizationId: 1) { nodes { id } } }": 100,
    # Which end of a list goes before the other.
    "{ task(id: 1) { comments(last: 3) { nodes { id } } } }": 1 + 3,
    "{ task(id: 1) { comments(first: 5, last: 3) { nodes { id } } } }": 1 + 3,
    "{ task(id: 1) { comments(first: 5, last: null) { nodes { id } } } }": 1 + 5,
    "{ task(id: 1) { comments(first: null, last: null) { nodes { id } } } }": 1 + 20,
    # What paging refuses: a wrong value counts as none, and too large a one as it is.
    "{ tasks(organizationId: 1, first: -5) { nodes { id } } }": 20,
    '{ tasks(organizationId: 1, first: "5") { nodes { id } } }': 20,
    "{ tasks(organizationId: 1, first: 5.0) { nodes { id } } }": 20,
    "{ tasks(organizationId: 1, first: [5]) { nodes { id } } }": 20,
    "{ tasks(organizationId: 1, first: 0) { nodes { id } } }": 1,
    "{ tasks(organizationId: 1, first: 5000) { nodes { id } } }": 5_000,
    "{ tasks(organizationId: 1, first: " + "9" * 5_000 + ") { nodes { id } } }": MOST,
    "{ tasks(organizationId: 1, first: -" + "9" * 5_000 + ") { nodes { id } } }": 20,
    # Short lists, and those that count by their caps.
    "{ task(id: 1) { labels { name } } }": 1 + 10,
    "{ task(id: 1) { relations { task { id } } } }": 1 + 100 + 100,
    "{ task(id: 1) { availableTransitions { name } } }": 1 + 30,
    "{ project(id: 1) { states { allowedNext { name } } taskCounts { state { name } count } } }": 1 + 10 + 300 + 10,
    "{ viewer { sessions { id } apiKeys { id } } }": 1 + 200,
    # What came with its parent is free, and what it refers to is not.
    "{ task(id: 1) { history(first: 4) { nodes { changes { field before } } } } }": 1 + 4,
    "{ task(id: 1) { history(first: 4) { nodes { actor { __typename } changes { afterNode { id } } } } } }": 1 + 4 + 44,
    # @skip and @include are not looked at.
    "{ task(id: 1) @skip(if: true) { project @include(if: false) { id } } }": 2,
    # Several of a kind.
    "{ a: task(id: 1) { id } b: task(id: 1) { id } }": 2,
    "{ node(id: 1) { ... on Task { project { id } } ... on Project { lead { id } } } }": 3,
    # A write is dearer than a read.
    "mutation { signOut { done } }": 10,
    "mutation { a: signOut { done } b: signOut { done errors { code } } }": 20,
    "mutation { taskDelete(id: 1) { deletedId errors { ... on StaleVersionError { current { id } } } } }": 10 + 10,
    "mutation { taskArchive(id: 1) { task { id project { id } } } }": 12,
    # A bulk is as many writes as it has items.
    "mutation { taskBulkUpdate(items: [{id: 1, input: {}}, {id: 2, input: {}}]) { changedCount } }": 20,
    "mutation { taskBulkUpdate(items: [{id: 1, input: {}}, {id: 2, input: {}}]) "
    "{ results { task { id project { id } } } } }": 24,
    # Of each event that is sent.
    "subscription { events(organizationId: 1) { id subject { id } } }": 2,
    # Realistic: a board, a list, a task.
    f"{{ project(id: 1) {{ states {{ id name tasks(first: 50) {{ totalCount nodes {{ {CARD} }} }} }} }} }}": 6_021,
    f"{{ tasks(organizationId: 1, first: 100) {{ nodes {{ {CARD} state {{ name }} project {{ key }} }} }} }}": 1_400,
    "{ task(id: 1) { title project { name } state { name } assignee { name } creator { __typename } labels { name } "
    "availableTransitions { name } relations { kind task { identifier title state { name } } } "
    "subtasks(first: 50) { nodes { title state { name } } } "
    "comments(first: 50) { nodes { body author { __typename } mentions { name } } } "
    "history(first: 50) { nodes { type actor { __typename } changes { field before after } } } } }": 5
    + 10
    + 30
    + 300
    + 100
    + 600
    + 100,
}


@pytest.mark.parametrize(("document", "points"), COSTS.items())
def test_a_document_costs(document: str, points: int) -> None:
    assert cost(document) == points


@pytest.mark.parametrize(
    ("name", "points"), [("W1", 5), ("W2", 1 + 50 + 50 + 500 + 150 + 150), ("W3", 10 * 200), ("W4", 12)]
)
def test_the_workloads_of_the_benchmark_cost(name: str, points: int) -> None:
    (document,) = [each.ours for each in WORKLOADS if each.name == name]

    assert only(document).check({}).points == points
    assert only(WALK).check({}).points == 100


@pytest.mark.parametrize(
    ("name", "points"),
    [("1-sign-in", 11), ("2-look-around", 88), ("3-task-create", 12), ("4-task-move", 53), ("5-events", 3)],
)
def test_the_examples_of_graphiql_cost(name: str, points: int) -> None:
    (example,) = [each for each in EXAMPLES if each.stem == name]
    variables = example.with_suffix(".json")
    given = json.loads(variables.read_text(encoding="utf-8")) if variables.exists() else {}

    assert only(example.read_text(encoding="utf-8")).check(given).points == points
    assert len(EXAMPLES) == 5


def test_the_examples_of_the_readme_cost() -> None:
    asked = re.findall(r'"query":\s*"(.*?)(?<!\\)"[\s,}]', README)
    keyed = re.findall(r"^mutation\(\$key.*$", README, re.MULTILINE)
    (task,) = re.findall(r'const TASK = "(.*)";', README)
    copied = re.findall(r"(?:`|ask\(\")((?:query|subscription) .*?)[`\"]", README, re.DOTALL)

    documents = [text.replace('\\"', '"').replace("${TASK}", task) for text in (*asked, *keyed, *copied)]

    found = [only(text.replace("{...}", "{}")).check({}).points for text in documents]
    assert found == [10, 2 + 30, 11, 11, 400, 5, 1]


SIZES = """
query ($n: Int, $m: Int = 5) {
  tasks(organizationId: 1, first: $n) { nodes { comments(last: $m) { nodes { id } } } }
}
"""


@pytest.mark.parametrize(
    ("variables", "points"),
    [
        ({}, 20 + 20 * 5),
        ({"n": 3}, 3 + 3 * 5),
        ({"n": 3, "m": 7}, 3 + 3 * 7),
        ({"n": None, "m": None}, 20 + 20 * 20),
        ({"n": 3.0}, 3 + 3 * 5),
        ({"n": 100, "m": 100}, 10_100),
        *[({"n": wrong}, 20 + 20 * 5) for wrong in ("3", True, -1, [3], {"n": 3}, 3.5, float("nan"), float("inf"))],
        ({"n": 10**400}, MOST),
        ({"n": 1e300}, MOST),
        ({"other": "x" * 100, "n": 1}, 6),
    ],
)
def test_variables_say_how_many(variables: dict[str, Any], points: int) -> None:
    found = only(SIZES, AT_ANY_COST)

    assert found.check(variables).points == points
    assert found.check(variables).points == points


@pytest.mark.parametrize(
    ("document", "variables", "points"),
    [
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 9}, 9),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": "a"}, 1),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": 7}, 1),
        ("query ($ids: [ID!]! = [1, 2]) { nodes(ids: $ids) { id } }", {}, 2),
        ("query ($id: ID!) { nodes(ids: [$id, $id]) { id } }", {"id": "a"}, 2),
        (
            "mutation ($items: [TaskBulkUpdateItem!]!) { taskBulkUpdate(items: $items) { results { task { id } } } }",
            {"items": [{}] * 100},
            1_100,
        ),
        # Two sizes of one page: what the first says, unless it says nothing.
        (
            "query ($f: Int, $l: Int) { task(id: 1) { comments(first: $f, last: $l) { nodes { id } } } }",
            {"f": 5},
            1 + 5,
        ),
        (
            "query ($f: Int, $l: Int) { task(id: 1) { comments(first: $f, last: $l) { nodes { id } } } }",
            {"f": 5, "l": 2},
            1 + 2,
        ),
        ("query ($l: Int) { task(id: 1) { comments(first: 7, last: $l) { nodes { id } } } }", {"l": None}, 1 + 7),
        # Nowhere defined, and defined in another operation.
        ("{ tasks(organizationId: 1, first: $n) { nodes { id } } }", {"n": 3}, 3),
    ],
)
def test_variables_say_it_in_lists_and_in_several_places(document: str, variables: dict[str, Any], points: int) -> None:
    assert cost(document, variables) == points


def test_operations_have_their_own_defaults_for_what_they_share() -> None:
    document = """
    query A($n: Int = 2) { ...F }
    query B($n: Int = 9) { ...F }
    fragment F on Query { tasks(organizationId: 1, first: $n) { nodes { id } } }
    """

    found = measured(SCHEMA, parsed(document))

    assert {name: each.check({}).points for name, each in found.items()} == {"A": 2, "B": 9}


def test_what_is_kept_for_sizes_is_bounded() -> None:
    found = only(SIZES)

    costs = [found.check({"n": n, "m": 0}).points for n in range(1, 3 * MOST_KEPT)]

    assert costs == list(range(1, 3 * MOST_KEPT))
    assert len(found._sum._kept) <= MOST_KEPT


def test_the_limit_lets_its_own_number_through_and_not_one_more() -> None:
    pages = "tasks(organizationId: 1, first: 100) { nodes { comments(first: 99) { nodes { id } } } }"

    assert only(f"{{ {pages} }}").check({}).points == LIMITS.cost
    with pytest.raises(TooComplex) as refused:
        only(f"{{ {pages} viewer {{ email }} }}").check({})

    assert refused.value.details == {
        "limit": "cost",
        "allowed": 10_000,
        "found": 10_001,
        "cost": 10_001,
        "dearest": [
            {"path": ["tasks", "nodes", "comments"], "cost": 9_900},
            {"path": ["tasks"], "cost": 100},
            {"path": ["viewer"], "cost": 1},
        ],
    }
    assert refused.value.message == (
        "The document is too complex: cost 10,001, at most 10,000. "
        "The dearest: tasks.nodes.comments 9,900, tasks 100, viewer 1."
    )


def test_the_dearest_paths_are_told_by_response_keys_through_fragments() -> None:
    document = """
    query ($n: Int) { all: tasks(organizationId: 1, first: $n) { ...P } }
    fragment P on TaskConnection { edges { node { ...T said: comments(first: 100) { nodes { id } } ...T } } }
    fragment T on Task { in: project { id } labels { id } }
    """

    with pytest.raises(TooComplex) as refused:
        only(document).check({"n": 100})

    assert refused.value.details["cost"] == 100 + 10_000 + 2 * 100 + 2 * 1_000
    assert refused.value.details["dearest"] == [
        {"path": ["all", "edges", "node", "said"], "cost": 10_000},
        # Both places where the fragment stands.
        {"path": ["all", "edges", "node", "labels"], "cost": 2_000},
        {"path": ["all", "edges", "node", "in"], "cost": 200},
    ]
