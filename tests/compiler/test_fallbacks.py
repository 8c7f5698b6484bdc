"""What the compiler leaves to graphql-core: introspection, and nothing else.

That no query of a test does is seen by tests/client.py, which every test asks through.
"""

from pathlib import Path
from typing import Any

import pytest
from graphql import parse

from graph.compiler.plan import Plan
from graph.compiler.run import Compiled
from graph.schema import schema
from tests.client import fallen_back
from tests.compiler.referee import reference
from tests.factories import Tenant
from tests.graphiql.test_examples import EXAMPLES, variables_of

INTROSPECTIONS = [
    "{ __schema { queryType { name } } }",
    '{ __type(name: "Task") { name } viewer { __typename } }',
    "query { ...F } fragment F on Query { s: __schema { mutationType { name } } }",
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_is_left_to_graphql_core(example: Path) -> None:
    executor: Any = Compiled.build(
        schema, parse(example.read_text(encoding="utf-8")), raw_variable_values=variables_of(example)
    )

    assert Plan(executor).fallback is None


@pytest.mark.parametrize("document", INTROSPECTIONS)
async def test_introspection_is_left_to_graphql_core_and_counted(acme: Tenant, document: str) -> None:
    before = fallen_back()

    answer = await acme.admin.client.run(document)

    theirs, _ = await acme.admin.client.execute(reference(), document, {})
    assert fallen_back() == before + 1
    assert answer.errors == []
    assert answer.data == theirs.data


async def test_a_typename_is_no_introspection(acme: Tenant) -> None:
    before = fallen_back()

    data = await acme.admin.client.ok("{ __typename viewer { __typename user { __typename } } }")

    assert data == {"__typename": "Query", "viewer": {"__typename": "Viewer", "user": {"__typename": "User"}}}
    assert fallen_back() == before
