"""What is declared as cached can be: a law over the schema."""

from collections.abc import Sequence
from typing import Any

import pytest
from graphql import GraphQLObjectType

from domain.base.actor import Actor, Standing
from domain.base.cached_rows import readers
from domain.base.clock import new_id
from domain.base.permissions import Role
from domain.base.reads import Statement
from domain.base.sql import Row
from domain.projects import queries as projects
from domain.tasks import queries as tasks
from graph.base.fields import pages
from graph.base.selection import Declared, declaration
from graph.projects import project_page
from graph.schema import schema
from graph.task_filters import project_task_page


def cached_fields() -> list[Any]:
    """Every list of the schema that may come from the cache."""
    types: Sequence[Any] = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
    found = []
    for type_ in types:
        for name, field in type_.fields.items():
            strawberry_field = (field.extensions or {}).get("strawberry-definition")
            if strawberry_field is not None and declaration(strawberry_field).cached_s is not None:
                found.append(pytest.param(declaration(strawberry_field), id=f"{type_.name}.{name}"))
    return found


@pytest.mark.parametrize("declared", cached_fields())
def test_a_cached_list_is_the_same_for_all_who_may_do_the_same_and_its_rows_can_be_kept(declared: Declared) -> None:
    # Whatever else stands in its predicate would have to be in the key.
    org_id = new_id()
    standing = Standing.of_role(Role.MEMBER)
    person = Actor.of_user(new_id(), {org_id: standing}, session_id=new_id())
    key = Actor.of_api_key(new_id(), new_id(), {org_id: standing})
    statement = Statement(declared.read.visible.piece, Row)

    assert statement.bound(person) == statement.bound(key)
    assert set(readers(declared.read.table.row)) == set(declared.read.table.columns)
    assert declared.read.key == f"{declared.read.table.name}.{declared.read.table.org}"


def test_a_list_of_anything_but_an_organization_is_not_cached() -> None:
    pages(projects.of_organizations, arguments=project_page, description="A to Z.", cached_s=300)

    with pytest.raises(TypeError, match=r"task\.project_id is not the organization of a task"):
        pages(tasks.of_projects, arguments=project_task_page, description="A to Z.", cached_s=300)
