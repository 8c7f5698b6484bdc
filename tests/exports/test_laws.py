"""Laws over the tables of what goes into an archive: a new table, column or name has to choose."""

import subprocess
import sys

import pytest
from graphql import GraphQLObjectType
from strawberry.utils.str_converters import to_camel_case

from domain.base.settings import Settings
from domain.exports.entities import ENTITIES, NOT_EXPORTED, Entity
from domain.exports.fields import camel
from graph.base.nodes import nodes_by_kind
from tests.factories import rows
from tests.isolation.calls import SCHEMA

# What a column is called whose like no type of the API shows.
OF_THE_ARCHIVE_ALONE = {
    "events": {"seq"},
    "subscription": {"pastDueSince", "createdAt", "updatedAt"},
    "labels": {"createdAt", "updatedAt"},
    "invitations": {"updatedAt"},
    "attachments": {"updatedAt"},
    # Keys that are revoked, and people who have left, are in no list of the API.
    "api_keys": {"userId", "updatedAt", "revokedAt"},
    # The person, whom the API has as an object of its own.
    "memberships": {"userName", "userEmail", "userAvatarUrl", "updatedAt", "endedAt"},
    # The API shows the states that may follow.
    "workflow_states": {"projectId", "restricted", "createdAt", "updatedAt"},
    # The API shows a relation from one of its tasks.
    "task_relations": {"fromId", "toId", "createdAt", "updatedAt"},
}
# Kinds of ids that the API shows, but by no node.
KINDS_WITHOUT_NODE = {"api_key"}


async def _columns(settings: Settings) -> dict[str, set[str]]:
    """Table of an organization -> its columns, without the one that says whose a row is."""
    found = await rows(
        "SELECT c.relname AS table, array_agg(a.attname::text) AS columns FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') GROUP BY c.relname"
    )
    tables = {row["table"]: set(row["columns"]) for row in found}
    return {
        table: columns - {"org_id"}
        for table, columns in tables.items()
        if "org_id" in columns or table == "organization"
    }


async def test_every_table_of_an_organization_is_exported_or_has_a_reason_not_to_be(settings: Settings) -> None:
    exported = [entity.table.name for entity in ENTITIES]

    assert sorted([*exported, *NOT_EXPORTED]) == sorted(await _columns(settings))
    assert all(len(reason.split()) > 3 for reason in NOT_EXPORTED.values())


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
async def test_every_column_is_a_field_or_has_a_reason_not_to_be(settings: Settings, entity: Entity) -> None:
    of_table = (await _columns(settings))[entity.table.name]
    used = {column for field in entity.fields for column in field.columns}
    own = {column for column in used if column in of_table or column not in entity.table.computed}

    assert own & set(entity.left_out) == set()
    assert own | set(entity.left_out) == of_table


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_fields_are_named_as_in_the_api(entity: Entity) -> None:
    names = [field.name for field in entity.fields]
    shown = _names_in_api(entity)
    alone = OF_THE_ARCHIVE_ALONE.get(entity.name, set())

    assert len(set(names)) == len(names)
    assert shown is None or {name for name in names if name not in shown} == alone


def _names_in_api(entity: Entity) -> set[str] | None:
    """The names of the type's fields, of the ids of what they lead to, and of the kinds of doers."""
    type_name = "BillingSubscription" if entity.name == "subscription" else None
    if entity.kind is not None:
        type_name = "ApiKey" if entity.kind in KINDS_WITHOUT_NODE else nodes_by_kind()[entity.kind].__name__
    if type_name is None:
        return None
    type_ = SCHEMA.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    return {f"{name}{end}" for name in type_.fields for end in ("", "Id", "Kind")}


def test_ids_are_of_kinds_that_the_api_knows() -> None:
    kinds = {field.kind for entity in ENTITIES for field in entity.fields if field.kind is not None}

    assert kinds - set(nodes_by_kind()) - KINDS_WITHOUT_NODE == set()
    for entity in ENTITIES:
        own = [field.kind for field in entity.fields if field.name == "id"]
        assert own == ([] if entity.kind is None else [entity.kind])


def test_names_are_put_in_camel_case_as_the_api_does() -> None:
    columns = {column for entity in ENTITIES for field in entity.fields for column in field.columns}

    assert {camel(column) for column in columns} == {to_camel_case(column) for column in columns}


def test_a_worker_knows_every_event_that_it_has_to_write() -> None:
    told = "from domain.events.log import CLASSES; from domain.events.types import EventType; "
    script = f"import domain.exports.service; {told}print(sorted(set(EventType) - set(CLASSES)))"

    # In a process of its own: in this one everything is loaded.
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603

    assert ended.stdout == "[]\n"
