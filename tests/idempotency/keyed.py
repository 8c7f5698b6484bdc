"""Operations under a key, and what is kept of them."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from graphql import FieldNode, OperationDefinitionNode, parse, print_ast

from tests.factories import rows

CREATE_LABEL = """
mutation ($org: ID!, $name: String!, $key: String!) {
  labelCreate(input: {organizationId: $org, name: $name, color: "#123456"}) @idempotent(key: $key) {
    label { id name color } errors { code message path }
  }
}
"""
PREFERENCES = """
mutation ($key: String!) { preferencesUpdate(input: {locale: "en"}) @idempotent(key: $key) { errors { code } } }
"""


def new_key() -> str:
    """A key that nothing else has."""
    return uuid4().hex


def under(key: str, document: str) -> str:
    """The operation with the key on its root field."""
    example = parse(f'{{ field @idempotent(key: "{key}") }}').definitions[0]
    (operation,) = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert isinstance(example, OperationDefinitionNode)
    (field,), (keyed,) = operation.selection_set.selections, example.selection_set.selections
    assert isinstance(field, FieldNode)
    selections = replace(operation.selection_set, selections=(replace(field, directives=keyed.directives),))
    return print_ast(replace(operation, selection_set=selections))


async def labels(org_id: UUID) -> list[str]:
    """The names of the organization's labels."""
    return [row["name"] for row in await rows("SELECT name FROM label WHERE org_id = $1 ORDER BY name", org_id)]


async def kept(key: str) -> list[dict[str, Any]]:
    """What is kept under the key, whoever's it is."""
    return await rows("SELECT * FROM idempotency WHERE key = $1 ORDER BY created_at, id", key)
