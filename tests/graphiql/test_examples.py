"""The example tabs of GraphiQL fit the API's contract."""

import json
from pathlib import Path

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate
from graphql.execution.values import get_variable_values

from graph.graphiql import page

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "01-core.graphql"
EXAMPLES = sorted((Path(page.__file__).parent / "examples").glob("*.graphql"))


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(CONTRACT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_fits_the_contract(path: Path, schema: GraphQLSchema) -> None:
    document = parse(path.read_text(encoding="utf-8"))
    variables_file = path.with_suffix(".json")
    variables = json.loads(variables_file.read_text(encoding="utf-8")) if variables_file.exists() else {}

    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    values = get_variable_values(schema, operation.variable_definitions or (), variables)

    assert validate(schema, document) == []
    assert not isinstance(values, list), values
    assert values.coerced == variables
